"""Stages of a recipe's chain: which of their fields go together, who teaches whom, and the `.net` files that they name.

`misfits` looks at the tables as their author wrote them, `resolved` at the stages of a recipe without problems.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from snnkd import formats
from snnkd.base import provenance, schema
from snnkd.base.errors import MismatchError
from snnkd.base.schema import Place, Problem
from snnkd.ir.network import IntNet, Shape
from snnkd.recipe.tables import Recipe, Stage

# What an ANN's stage may not have, and why.
_NOT_OF_ANNS = {
    "distil": "learns from the labels alone",
    "rate": "has no spikes",
    "prune": "is never deployed",
    "start": "cannot start from an integer network",
}


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

    if "net" in table:
        for field in Stage.model_fields:
            if field in table and field not in ("net", "sha256"):
                yield problem(field, "a stage with net trains nothing; leave it out")
    else:
        for field in ("network", "epochs"):
            if field not in table:
                yield problem(field, f"missing; it is {Stage.model_fields[field].description}")
        if "start" not in table and "sha256" in table:
            yield problem("sha256", "it belongs to the file in net or start, and there is none; leave it out")
    if table.get("neuron") == "relu" and "net" not in table:
        for field, why in _NOT_OF_ANNS.items():
            if field in table and field in Stage.model_fields:
                yield problem(field, f"an ANN (neuron = 'relu') {why}; leave it out")
        label, batch = table.get("label"), table.get("batch")
        if isinstance(label, dict) and label.get("loss", "cross-entropy") != "cross-entropy":
            yield problem("label", "an ANN (neuron = 'relu') learns by loss = 'cross-entropy' alone; leave loss out")
        if batch == 1:
            yield problem("batch", "expected at least 2: an ANN's batch normalization needs them, found 1")
    if last and ("net" in table or table.get("neuron") == "relu"):
        what, field = ("the network of a file", "net") if "net" in table else ("an ANN", "neuron")
        yield problem(field, f"the last stage is the student that is trained and deployed, which {what} cannot be")


def _untaught(stage: Stage, place: Place, earlier: list[str]) -> list[Problem]:
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
    if distil.taught and not earlier:
        advice = "leave it out, or put the stage of a teacher in front"
        return [Problem(place, f"{where}.distil: the first stage has no teacher before it; {advice}")]
    if distil.teacher is not None and distil.teacher not in earlier:
        hint = schema.closest(distil.teacher, earlier)
        return [Problem(place, f"{where}.distil.teacher: '{distil.teacher}' is no earlier stage{hint}")]
    return []


def resolved(recipe: Recipe, folder: Path) -> tuple[dict[str, Stage], list[Problem]]:
    """Returns the chain with what its author left out: each stage's teacher and window, and of each file the absolute
    path and the digest. Files are looked up in `folder`, then in the current one.

    Where the digest is there already, as in the recipe of a run, the file may be gone: only a training needs it.
    """
    chain: dict[str, Stage] = {}
    problems: list[Problem] = []
    previous = ""
    for name, stage in recipe.chain.items():
        taught = _with_teacher(stage, previous, recipe.encoding.steps)
        chain[name], missing = _located(name, taught, folder)
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


def _located(name: str, stage: Stage, folder: Path) -> tuple[Stage, list[Problem]]:
    named = stage.net or stage.start
    if named is None:
        return stage, []
    field = "net" if stage.net else "start"
    file = next((path for path in (folder / named, Path(named)) if path.is_file()), None)
    if file is None and stage.sha256:
        return stage, []
    place = ("chain", name, field)
    if file is None:
        where = f"in {folder.absolute()} nor in {Path.cwd()}" if not Path(named).is_absolute() else "there"
        text = f"no such file {where}; give the path of a .net or .nir file"
        return stage, [Problem(place, f"{schema.dotted(place)}: {named}: {text}")]
    try:
        sha256 = stage.sha256 or provenance.file_digest(file)
    except OSError as error:
        return stage, [Problem(place, f"{schema.dotted(place)}: {file}: cannot be read: {error.strerror}")]
    return stage.model_copy(update={field: str(file.absolute()), "sha256": sha256}), []


def opened(stage: Stage, shape: Shape) -> IntNet:
    """Reads the network in the file of a resolved stage's net or start, which takes images of `shape` (C, H, W).

    Warns as `formats.load` does. Raises MismatchError where the file is gone or another one than it was, FormatError
    where it cannot be used.
    """
    path = Path(stage.net or stage.start or "")
    if not path.is_file():
        raise MismatchError(f"{path}: no such file; a stage of the recipe needs it to be trained")
    sha256 = provenance.file_digest(path)
    if stage.sha256 != sha256:
        raise MismatchError(
            f"{path}: not the file that the recipe means (its sha256 is another one); put that file back, or leave "
            "sha256 out of the recipe"
        )
    net, told = _read(path, sha256, shape)
    for warning in told:
        warnings.warn(warning, stacklevel=2)
    return net


@lru_cache(maxsize=4)
def _read(path: Path, sha256: str, shape: Shape) -> tuple[IntNet, list[Warning | str]]:
    """Reads the file with that digest once for all who ask; what is warned of meanwhile is for each of them."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        net = formats.load(path, shape)
    return net, [entry.message for entry in told]
