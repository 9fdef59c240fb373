"""Chains whose teacher learns from frames and whose student from events: what is filled in, and what must fit."""

from __future__ import annotations

from collections.abc import Iterator

from snnkd.base import schema
from snnkd.base.schema import Problem
from snnkd.data.datasets.origins import ORIGINS
from snnkd.recipe.tables import Recipe, Stage


def filled(recipe: Recipe, stage: Stage, previous: str) -> Stage:
    """Returns a stage with the pairing of its frames and the teacher and layers of its cross distillation.

    previous: the stage before it. Its own teachers are filled in already.
    """
    if stage.data is not None:
        origin = ORIGINS.get(recipe.data.set)
        pair = stage.data.pair or ("sample" if origin is not None and origin.set == stage.data.set else "class")
        stage = stage.model_copy(update={"data": stage.data.model_copy(update={"pair": pair})})
    if stage.cross is not None:
        teacher = stage.cross.teacher or (stage.distil.teacher if stage.distil else None) or previous
        network = recipe.networks.get(stage.network)
        last = f"layer{len(network.layers) - 2}" if network is not None else ""
        cross = {"teacher": teacher, "layers": stage.cross.layers or (last,)}
        stage = stage.model_copy(update={"cross": stage.cross.model_copy(update=cross)})
    return stage


def misfits(recipe: Recipe, name: str) -> Iterator[Problem]:
    """Yields what does not fit in a resolved stage between recordings, frames and the tables that speak of them."""
    stage, events = recipe.chain[name], recipe.encoding.kind == "events"
    if stage.data is not None and not events:
        yield _problem(name, "data", "is for teachers of students that read recordings; leave it out")
    if events and stage.neuron == "relu" and stage.data is None:
        text = "missing; an ANN reads images, and data.set has recordings: name a set, {set = 'mnist'}"
        yield _problem(name, "data", text)
    if stage.cross is not None:
        yield from _crossed(recipe, name, stage)


def _crossed(recipe: Recipe, name: str, stage: Stage) -> Iterator[Problem]:
    cross = stage.cross
    assert cross is not None
    if recipe.chain[cross.teacher or ""].data is None:
        yield _problem(name, "cross.teacher", f"'{cross.teacher}' has no data of its own, and so no frames")
    if stage.distil is not None and stage.distil.teacher not in (None, cross.teacher):
        text = f"'{stage.distil.teacher}' teaches on frames of '{cross.teacher}'; name one stage in both"
        yield _problem(name, "distil.teacher", text)
    if stage.features is not None:
        yield _problem(name, "features", "does not go together with cross, which compares hidden layers of its own")
    if not stage.label.weight:
        yield _problem(name, "label.weight", "expected more than 0: nothing else teaches the stream of events")
    hidden = [f"layer{number}" for number in range(len(recipe.architecture(name).layers) - 1)]
    for layer in cross.layers or ():
        if cross.similarity and layer not in hidden:
            known = ", ".join(hidden) or "none; set cross.similarity = 0"
            yield _problem(name, "cross.layers", f"'{layer}' is no hidden layer; there are: {known}")
    if cross.steps == "learned" and (stage.label.loss != "temporal-cross-entropy" or not cross.similarity):
        text = "'learned' needs label.loss = 'temporal-cross-entropy' and a similarity, between which it chooses"
        yield _problem(name, "cross.steps", text)


def _problem(name: str, field: str, text: str) -> Problem:
    place = ("chain", name, *field.split("."))
    return Problem(place, f"{schema.dotted(place)}: {text}")
