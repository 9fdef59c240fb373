"""Recipes: what a .toml says about data, encoding, neurons and the chain of trainings, checked before any of it runs.

`load` reads a recipe and resolves it: defaults, the teacher of each stage, sliding windows and the networks are then
part of it, so that the recipe that a run folder keeps needs no other file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import Field

from snnkd import architecture, encoding, files, recipe_stages, schema
from snnkd.architecture import Architecture
from snnkd.errors import RecipeError, SnnkdError
from snnkd.overrides import apply, extended, note
from snnkd.recipe_tables import (
    Data,
    Distil,
    EarlyExitRule,
    Encoding,
    Identifier,
    Label,
    Neuron,
    Optimizer,
    Quantization,
    ReadoutRule,
    Stage,
    TargetName,
)
from snnkd.schema import Place, Problem, Table

__all__ = [
    "Architecture",
    "Data",
    "Distil",
    "EarlyExitRule",
    "Encoding",
    "Label",
    "Neuron",
    "Optimizer",
    "Quantization",
    "ReadoutRule",
    "Recipe",
    "Stage",
    "TargetName",
    "load",
    "names",
    "parse",
    "warnings",
]

# Shape (C, H, W) and classes of the data sets that are known here; others are checked when they are opened.
DATA_SETS = {
    "digits": ((1, 8, 8), 10),
    "mnist": ((1, 28, 28), 10),
    "fashion-mnist": ((1, 28, 28), 10),
    "cifar10": ((3, 32, 32), 10),
}


class Recipe(Table):
    """A whole recipe. chain: the stages in the order of training; networks: descriptions by the stages' `network`."""

    name: Identifier = Field(description="the run's name")
    description: str = ""
    seed: int = Field(default=1, ge=0, lt=1 << 32)
    data: Data = Data()
    encoding: Encoding = Field(description="the table [encoding] with at least steps")
    neuron: Neuron = Neuron()
    quantization: Quantization = Quantization()
    readout: ReadoutRule = ReadoutRule()
    early_exit: EarlyExitRule = EarlyExitRule()
    target: TargetName = TargetName()
    chain: dict[Identifier, Stage] = Field(
        min_length=1, description="the trainings in their order, each a table [chain.<stage>]"
    )
    networks: dict[str, Architecture] = Field(default_factory=dict)

    @property
    def student(self) -> str:
        """Name of the last stage, whose network is deployed."""
        return list(self.chain)[-1]

    def architecture(self, stage: str) -> Architecture:
        """The network of `stage`."""
        return self.networks[self.chain[stage].network]

    @property
    def images(self) -> tuple[tuple[int, int, int], int]:
        """Shape (C, H, W) and classes of the data set; of one that is not known here, those of the first network."""
        first = next(self.architecture(name) for name, stage in self.chain.items() if stage.network)
        return DATA_SETS.get(self.data.set, (first.input, first.outputs))

    def encoder(self) -> encoding.Encoding:
        """The encoder of training, evaluation, simulation and hand-off; Poisson spikes are seeded by the recipe."""
        return encoding.Encoding(self.encoding.kind, self.encoding.steps, self.encoding.bits, self.seed)

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `parse` takes back, in a fixed order (the stages' order counts)."""
        return self.model_dump(mode="json", exclude_none=True)

    def to_json(self) -> str:
        """The resolved recipe on one line, for digests."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    def to_toml(self) -> str:
        """The resolved recipe as a file that `load` reads back to an equal one."""
        return tomli_w.dumps(self.to_dict())


def names() -> dict[str, Path]:
    """The shipped recipes by name."""
    return files.names("models", "recipes/**/*.toml")


def load(name_or_path: str | Path, overrides: list[str] | None = None) -> Recipe:
    """The shipped recipe of that name or the user's own .toml, with `overrides` ("a.b=value") put in, resolved.

    Raises RecipeError that lists everything that is wrong with it: fields, networks and how they fit each other.
    """
    try:
        path = files.find(name_or_path, names(), "recipe")
        data = files.read_toml(path)
    except SnnkdError as error:
        raise RecipeError(str(error)) from error
    data = extended(data, path, names())
    return parse({"name": path.stem, **data}, overrides, source=path)


def parse(data: dict[str, Any], overrides: list[str] | None = None, source: str | Path = "recipe") -> Recipe:
    """A resolved recipe from plain data; `source` names it in messages, and networks are looked up beside it too.

    Raises RecipeError as `load` does.
    """
    data, changes = apply(data, overrides or [])
    plain = {key: value for key, value in data.items() if key != "networks"}
    recipe, problems = schema.validate(Recipe, plain)
    chain = data.get("chain")
    tables = chain if isinstance(chain, dict) else {}
    networks, found = _networks(tables, data.get("networks", {}), Path(source).parent)
    problems += found + recipe_stages.unfit(tables) + _untaught(tables)
    if recipe is not None and not problems:
        stages, problems = recipe_stages.located(_resolved(recipe), Path(source).parent)
        recipe = recipe.model_copy(update={"networks": networks, "chain": stages})
        problems = problems or _misfits(recipe)
    if recipe is None or problems:
        raise RecipeError(schema.report(source, [note(problem, changes) for problem in problems]))
    return recipe


def warnings(recipe: Recipe) -> list[str]:
    """What a valid recipe probably does not mean, as sentences for the user."""
    found = []
    data, encoding = recipe.data, recipe.encoding
    if data.variants > 1 and not (data.shift or data.flip):
        found.append(f"data.variants = {data.variants} has no effect without data.shift or data.flip")
    if data.variants == 1 and (data.shift or data.flip):
        found.append("data.shift and data.flip have no effect with data.variants = 1, the original images alone")
    for name, stage in recipe.chain.items():
        if stage.distil and not any(stage.distil.losses.values()):
            found.append(f"chain.{name}.distil.losses are all 0: '{name}' learns from the labels alone")
        if stage.rate and stage.network and len(recipe.architecture(name).layers) == 1:
            found.append(f"chain.{name}.rate has no effect: '{stage.network}' has no hidden layer")
        found += recipe_stages.warnings(name, stage, recipe.chain, recipe.encoder(), recipe.images[0])
        if encoding.kind == "direct" and stage.net is None and stage.neuron == "cuba":
            found += _range_warnings(recipe, name)
    return found


def _range_warnings(recipe: Recipe, stage: str) -> list[str]:
    """Direct encoding: float32 sums stay exact below 2^24, and u should stay within 24 bits for usual weights."""
    layer, shape = next(recipe.architecture(stage).inputs())
    fan_in, bits = layer.fan_in(shape), recipe.encoding.bits
    peak = (1 << bits) - 1
    memory = min(1 / max(recipe.neuron.current_decay, 1e-9), recipe.encoding.steps)
    # Usual: weights of random sign and a quarter of the range; twice the standard deviation of their sum.
    usual = 2 * fan_in**0.5 * peak * 64 * memory * 64
    what = f"encoding.bits = {bits} with {fan_in} inputs per neuron in the first layer of chain.{stage}"
    if fan_in * peak * 256 >= 1 << 24:
        return [f"{what}: sums may reach 2^24, where float32 training is no longer exact; use fewer bits"]
    if usual >= 1 << 23:
        return [f"{what}: the current u may leave its 24 bits with usual weights; use fewer bits"]
    return []


def _untaught(tables: dict[str, Any]) -> list[Problem]:
    """Stages that have a teacher which is no earlier stage, or nothing to learn from; invalid ones are passed over."""
    problems: list[Problem] = []
    before: list[str] = []
    for name, table in tables.items():
        stage, _ = schema.validate(Stage, table)
        if stage is not None:
            problems += _untaught_stage(stage, ("chain", name), before)
        before.append(name)
    return problems


def _untaught_stage(stage: Stage, place: Place, before: list[str]) -> list[Problem]:
    distil, where = stage.distil, schema.dotted(place)
    if not stage.label.weight and not (distil and any(distil.losses.values())):
        return [Problem(place, f"{where}: label.weight and all weights of distil.losses are 0: it would learn nothing")]
    if distil is None:
        return []
    if not stage.label.weight and not distil.taught:
        return [Problem(place, f"{where}: label.weight is 0 and no loss has a teacher: it would learn from itself")]
    place = (*place, "distil")
    if distil.scale == "learned" and not stage.learns_scale:
        text = "no loss learns it; use kl or temporal_kl, label.scale = 'learned' or a number"
        return [Problem((*place, "scale"), f"{where}.distil.scale: {text}")]
    if distil.taught and not before:
        advice = "leave it out, or put the stage of a teacher in front"
        return [Problem(place, f"{where}.distil: the first stage has no teacher before it; {advice}")]
    if distil.teacher is not None and distil.teacher not in before:
        hint = schema.closest(distil.teacher, before)
        return [Problem(place, f"{where}.distil.teacher: '{distil.teacher}' is no earlier stage{hint}")]
    return []


def _networks(tables: dict[str, Any], own: Any, folder: Path) -> tuple[dict[str, Architecture], list[Problem]]:
    """The description of each network that a stage names: from the recipe's own [networks], a file or the shipped."""
    if not isinstance(own, dict):
        return {}, [schema.unexpected(("networks",), "tables [networks.<name>]", own)]
    found: dict[str, Architecture] = {}
    problems: list[Problem] = []
    wanted = {table.get("network"): stage for stage, table in reversed(tables.items()) if isinstance(table, dict)}
    for name, stage in reversed(wanted.items()):
        if not isinstance(name, str) or not name:
            continue
        if name in own:
            table = {"name": name, **own[name]} if isinstance(own[name], dict) else own[name]
            network, wrong = architecture.parse(table, ("networks", name))
        else:
            network, wrong = _network_file(name, folder, ("chain", stage, "network"), own)
        problems += wrong
        if network is not None:
            found[name] = network
    return found, problems


def _network_file(
    name: str, folder: Path, place: Place, own: dict[str, Any]
) -> tuple[Architecture | None, list[Problem]]:
    beside = folder / name
    try:
        return architecture.load(beside if name.endswith(".toml") and beside.is_file() else name), []
    except RecipeError as error:
        also = f"; in [networks] here: {', '.join(own)}" if own else ""
        return None, [Problem(place, f"{schema.dotted(place)}: {error}{also}")]


def _resolved(recipe: Recipe) -> dict[str, Stage]:
    """The chain with each stage's teacher and window filled in."""
    chain: dict[str, Stage] = {}
    steps, previous = recipe.encoding.steps, ""
    for name, stage in recipe.chain.items():
        if stage.distil is not None:
            window = stage.distil.window or min(steps, max(2, steps // 5))
            teacher = (stage.distil.teacher or previous) if stage.distil.taught else None
            filled = {"teacher": teacher, "window": window}
            stage = stage.model_copy(update={"distil": stage.distil.model_copy(update=filled)})
        chain[name], previous = stage, name
    return chain


def _misfits(recipe: Recipe) -> list[Problem]:
    """What does not fit between data, encoding and the networks of the stages."""
    problems: list[Problem] = []
    shape, classes = recipe.images
    whose = f"the data set '{recipe.data.set}'" if recipe.data.set in DATA_SETS else "the first stage"
    for name, stage in recipe.chain.items():
        network = recipe.architecture(name) if stage.network else None
        if stage.net or stage.start:
            rules = (recipe.encoder(), recipe.readout.kind, shape, classes)
            problems += recipe_stages.misfits(name, stage, network, *rules)
        if network is None:
            continue
        if recipe.quantization.centered and stage.start:
            place = ("chain", name, "start")
            text = "weights would be others once they are centered; leave it out, or quantization.centered"
            problems.append(Problem(place, f"{schema.dotted(place)}: {text}"))
        place = ("chain", name, "network")
        what = f"{schema.dotted(place)}: '{stage.network}'"
        if network.input != shape:
            problems.append(Problem(place, f"{what} reads {network.input}, expected {shape} as {whose} has"))
        if network.outputs != classes:
            problems.append(Problem(place, f"{what} has {network.outputs} outputs, expected {classes} as {whose} has"))
        window, steps = stage.distil.window if stage.distil else None, recipe.encoding.steps
        if window is not None and window > steps:
            expected = f"at most encoding.steps = {steps}"
            problems.append(schema.unexpected(("chain", name, "distil", "window"), expected, window))
    return problems
