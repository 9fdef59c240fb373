"""Stages of a recipe's chain: which of their fields go together, who teaches whom, and the files that they name.

`misfits` looks at the tables as their author wrote them, `resolved` at the stages of a recipe without problems.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from snnkd import formats
from snnkd.base import schema
from snnkd.base.errors import MismatchError, closest
from snnkd.base.schema import Place, Problem
from snnkd.ir.network import IntNet, Shape
from snnkd.recipe import crossing, outside, stage_files
from snnkd.recipe.tables import FROZEN, Recipe, Stage

# What an ANN's stage may not have, and why.
_NOT_OF_ANNS = {
    "distil": "learns from the labels alone",
    "features": "learns from the labels alone",
    "cross": "learns from the labels alone",
    "rate": "has no spikes",
    "prune": "is never deployed",
    "start": "cannot start from an integer network",
}

_FILES = {
    "net": "a .net or .nir file",
    "start": "a .net or .nir file",
    "logits": "an .npz file of logits",
    "weights": "the file of a model's weights",
}
_WHAT = {"net": "the network of a file", "model": "a model from outside", "logits": "a file of logits"}


def misfits(tables: Mapping[str, Any], recipe: Recipe | None) -> list[Problem]:
    """Returns what is wrong with the tables [chain.<stage>] beyond what their model tells: fields that are missing or
    do not go together, and stages that nothing or no earlier stage teaches.

    tables: by the stages' names. recipe: what they are part of, None where something in it is not valid: then each
    stage that is valid by itself is looked at.
    """
    problems: list[Problem] = []
    for number, (name, table) in enumerate(tables.items()):
        if isinstance(table, dict):
            problems += _odd_fields(name, table, last=number == len(tables) - 1)
    earlier: list[str] = []
    for name, table in tables.items():
        stage = recipe.chain[name] if recipe is not None else schema.validate(Stage, table)[0]
        if stage is not None:
            problems += _untaught(stage, ("chain", name), earlier)
        earlier.append(name)
    return problems


def _odd_fields(name: str, table: dict[str, Any], last: bool) -> Iterator[Problem]:
    def problem(field: str, text: str) -> Problem:
        place = ("chain", name, field)
        return Problem(place, f"{schema.dotted(place)}: {text}")

    frozen = [field for field in FROZEN if field in table]
    for field in ("net", "start", "logits", "weights"):
        if misplaced := outside.belongs_to(table.get(field), field):
            yield problem(field, f"is for {_FILES[field]}{misplaced}")
    if frozen:
        yield from _odd_in_frozen(name, table, *frozen)
    else:
        for field in ("network", "epochs"):
            if field not in table:
                yield problem(field, f"missing; it is {Stage.model_fields[field].description}")
        if "start" not in table and "sha256" in table:
            text = "it belongs to the file in net or start, model or logits, and there is none; leave it out"
            yield problem("sha256", text)
        for field in FROZEN["model"]:
            if field in table and field != "sha256":
                yield problem(field, "belongs to a teacher that model names; leave it out")
        if "data" in table and table.get("neuron") != "relu":
            yield problem("data", "only an ANN (neuron = 'relu') learns from images of its own; leave it out")
    if table.get("neuron") == "relu" and not frozen:
        for field, why in _NOT_OF_ANNS.items():
            if field in table and field in Stage.model_fields:
                yield problem(field, f"an ANN (neuron = 'relu') {why}; leave it out")
        label, batch = table.get("label"), table.get("batch")
        if isinstance(label, dict) and label.get("loss", "cross-entropy") != "cross-entropy":
            yield problem("label", "an ANN (neuron = 'relu') learns by loss = 'cross-entropy' alone; leave loss out")
        if batch == 1:
            yield problem("batch", "expected at least 2: an ANN's batch normalization needs them, found 1")
    if last and (frozen or table.get("neuron") == "relu"):
        what, field = (_WHAT[frozen[0]], frozen[0]) if frozen else ("an ANN", "neuron")
        yield problem(field, f"the last stage is the student that is trained and deployed, which {what} cannot be")


def _odd_in_frozen(name: str, table: dict[str, Any], kind: str, *others: str) -> Iterator[Problem]:
    for field in Stage.model_fields:
        if field not in table or field in FROZEN[kind]:
            continue
        place, own = ("chain", name, field), field in FROZEN["model"]
        text = f"a stage with {kind} trains nothing; leave it out"
        if field in others:
            text = f"a stage is one of {', '.join(FROZEN)}; leave it out, or {kind}"
        elif own:
            text = f"belongs to a teacher that model names, and this one has {kind}; leave it out"
        yield Problem(place, f"{schema.dotted(place)}: {text}")
    if kind == "model":
        yield from outside.misfits(name, table)


def _untaught(stage: Stage, place: Place, earlier: list[str]) -> list[Problem]:
    distil, where = stage.distil, schema.dotted(place)
    if stage.features is not None and stage.features.weight:
        named, field = stage.features.teacher, f"{where}.features"
        if not earlier:
            advice = "leave it out, or put the stage of a teacher in front"
            return [Problem((*place, "features"), f"{field}: the first stage has no teacher before it; {advice}")]
        if named is not None and named not in earlier:
            hint = closest(named, earlier)
            return [Problem((*place, "features"), f"{field}.teacher: '{named}' is no earlier stage{hint}")]
    if stage.cross is not None:
        named, field = stage.cross.teacher, f"{where}.cross"
        if not earlier:
            advice = "put the stage of an ANN that has data in front"
            return [Problem((*place, "cross"), f"{field}: the first stage has no frames before it; {advice}")]
        if named is not None and named not in earlier:
            hint = closest(named, earlier)
            return [Problem((*place, "cross"), f"{field}.teacher: '{named}' is no earlier stage{hint}")]
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
    if distil.taught and not earlier:
        advice = "leave it out, or put the stage of a teacher in front"
        return [Problem(place, f"{where}.distil: the first stage has no teacher before it; {advice}")]
    if distil.teacher is not None and distil.teacher not in earlier:
        hint = closest(distil.teacher, earlier)
        return [Problem(place, f"{where}.distil.teacher: '{distil.teacher}' is no earlier stage{hint}")]
    return []


def resolved(recipe: Recipe, folder: Path) -> tuple[dict[str, Stage], list[Problem]]:
    """Returns the chain with what its author left out: each stage's teacher and window, and of each file the absolute
    path and the digest, as `stage_files.located` finds them.
    """
    chain: dict[str, Stage] = {}
    problems: list[Problem] = []
    previous = ""
    for name, stage in recipe.chain.items():
        if "neuron" not in stage.model_fields_set and not stage.frozen:
            stage = stage.model_copy(update={"neuron": recipe.neuron.kind})
        taught = _with_guide(_with_teacher(stage, previous, recipe.encoding.steps), previous)
        chain[name], missing = stage_files.located(name, crossing.filled(recipe, taught, previous), folder)
        problems += missing
        previous = name
    return chain, problems


def _with_teacher(stage: Stage, previous: str, steps: int) -> Stage:
    if stage.distil is None:
        return stage
    window = stage.distil.window or min(steps, max(2, steps // 5))
    teacher = (stage.distil.teacher or previous) if stage.distil.taught else None
    filled = {"teacher": teacher, "window": window}
    return stage.model_copy(update={"distil": stage.distil.model_copy(update=filled)})


def _with_guide(stage: Stage, previous: str) -> Stage:
    """With the teacher of its features, which need none where their weight is 0."""
    if stage.features is None:
        return stage
    of_distil = stage.distil.teacher if stage.distil else None
    teacher = (stage.features.teacher or of_distil or previous) if stage.features.weight else None
    return stage.model_copy(update={"features": stage.features.model_copy(update={"teacher": teacher})})


def opened(stage: Stage, shape: Shape) -> IntNet:
    """Reads the network in the file of a resolved stage's net or start, which takes images of `shape` (C, H, W).

    Warns as `formats.load` does. Raises MismatchError where the file is gone or another one than it was, FormatError
    where it cannot be used.
    """
    path = Path(stage.net or stage.start or "")
    if not path.is_file():
        raise MismatchError(f"{path}: no such file; a stage of the recipe needs it to be trained")
    stage_files.check_digest(path, path, stage.sha256)
    net, told = _read(path, stage.sha256, shape)
    for warning in told:
        warnings.warn(warning, stacklevel=2)
    return net


@lru_cache(maxsize=4)
def _read(path: Path, sha256: str | None, shape: Shape) -> tuple[IntNet, list[Warning | str]]:
    """Reads the file with that digest once for all who ask; what is warned of meanwhile is for each of them."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        net = formats.load(path, shape)
    return net, [entry.message for entry in told]
