"""What has to fit in a recipe: teachers, networks, data and encoding; and what it probably does not mean."""

from __future__ import annotations

from typing import Any

from snnkd.base import schema
from snnkd.base.schema import Place, Problem
from snnkd.recipe import stages
from snnkd.recipe.tables import DATA_SETS, Recipe, Stage


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
        found += stages.warnings(name, stage, recipe.chain, recipe.encoder(), recipe.images[0])
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


def untaught(tables: dict[str, Any]) -> list[Problem]:
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


def misfits(recipe: Recipe) -> list[Problem]:
    """What does not fit between data, encoding and the networks of the stages."""
    problems: list[Problem] = []
    shape, classes = recipe.images
    whose = f"the data set '{recipe.data.set}'" if recipe.data.set in DATA_SETS else "the first stage"
    for name, stage in recipe.chain.items():
        network = recipe.architecture(name) if stage.network else None
        if stage.net or stage.start:
            rules = (recipe.encoder(), recipe.readout.kind, shape, classes)
            problems += stages.misfits(name, stage, network, *rules)
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
