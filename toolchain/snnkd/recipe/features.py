"""Which hidden layers of a student are compared with which of its teacher: pairs that are named, or found by size.

Layers are called layer0, layer1, ..., as in traces and metrics; the last one is the output and no hidden one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from snnkd.base import schema
from snnkd.base.errors import FormatError, MismatchError
from snnkd.base.schema import Place, Problem
from snnkd.ir.network import Shape
from snnkd.recipe.stages import opened
from snnkd.recipe.tables import Features, Recipe

Layers = Mapping[str, Shape]  # hidden layers and the shapes of their outputs, (C, H, W) or (neurons,), in order


def paired(recipe: Recipe) -> tuple[Recipe, list[Problem]]:
    """Fills in pairs and kind of maps of every table `features`, and returns all that is wrong with these tables.

    Pairs are found where sizes are the same: for each (H, W), and for dense layers, the last hidden layer of the
    student that has it with the last one of the teacher. Of a teacher whose layers are not known here pairs have to be
    named, and are checked when it is asked for them.
    """
    chain, problems = dict(recipe.chain), []
    for name, stage in recipe.chain.items():
        if stage.features is None or stage.features.teacher is None:
            continue
        place, student = ("chain", name, "features"), _hidden(recipe.architecture(name).shapes())
        teacher = _layers(recipe, stage.features.teacher)
        maps = stage.features.maps or ("membrane" if stage.features.loss == "membrane" else "rate")
        pairs = stage.features.pairs or (by_size(student, teacher) if teacher is not None else ())
        features = stage.features.model_copy(update={"maps": maps, "pairs": pairs})
        chain[name] = stage.model_copy(update={"features": features})
        ann = recipe.chain[features.teacher or ""].neuron == "relu"
        problems += [
            *_unpaired(place, features, student, teacher),
            *_unmapped(place, features, student, ann, stage.epochs),
        ]
    return recipe.model_copy(update={"chain": chain}), problems


def by_size(student: Layers, teacher: Layers) -> tuple[tuple[str, str], ...]:
    """Pairs the last hidden layer of each size (H, W) in the student with the last one of that size in the teacher."""
    last_of_student, last_of_teacher = (
        {shape[1:]: name for name, shape in layers.items()} for layers in (student, teacher)
    )
    return tuple((name, last_of_teacher[size]) for size, name in last_of_student.items() if size in last_of_teacher)


def _hidden(shapes: list[Shape]) -> dict[str, Shape]:
    return {f"layer{number}": shape for number, shape in enumerate(shapes[:-1])}


def _layers(recipe: Recipe, name: str) -> Layers | None:
    """The hidden layers of the stage `name`; None where only its teacher itself knows them."""
    stage = recipe.chain[name]
    if stage.network:
        return _hidden(recipe.architecture(name).shapes())
    if stage.net is None:
        return None
    try:
        return _hidden([layer.shape for layer in opened(stage, recipe.images[0]).layers])
    except (MismatchError, FormatError):  # said by `net_files`, or when it is needed
        return None


def _unpaired(place: Place, features: Features, student: Layers, teacher: Layers | None) -> Iterator[Problem]:
    place = (*place, "pairs")
    where = schema.dotted(place)
    if not features.pairs:
        if teacher is None:
            text = f"missing; name the layers of the teacher '{features.teacher}' that are compared"
        else:
            text = (
                f"no hidden layers of both networks have the same size: {_shown(student)} here, {_shown(teacher)} there"
            )
            text += "; name pairs, whose larger maps are then averaged to the size of the smaller ones"
        yield Problem(place, f"{where}: {text}, such as [['layer0', 'layer1']], the student's first")
    for pair in features.pairs or ():
        for name, layers, whose in zip(pair, (student, teacher), ("the student", "its teacher"), strict=True):
            if layers is not None and name not in layers:
                known = f"hidden layers: {_shown(layers)}" if layers else "no hidden layer"
                yield Problem(place, f"{where}: '{name}' is no hidden layer of {whose}, which has {known}")
    if len({name for name, _ in features.pairs or ()}) < len(features.pairs or ()):
        yield Problem(place, f"{where}: a layer of the student is in two pairs; leave one of them out")


def _unmapped(place: Place, features: Features, student: Layers, ann: bool, epochs: int) -> Iterator[Problem]:
    """What loss, maps and epochs have against each other, the teacher or the layers."""
    maps, loss = schema.dotted((*place, "maps")), schema.dotted((*place, "loss"))
    if features.loss == "membrane" and features.maps != "membrane":
        yield schema.unexpected((*place, "maps"), "'membrane' with loss = 'membrane'", features.maps)
    elif features.maps == "membrane" and ann:
        text = f"the teacher '{features.teacher}' is an ANN, which has no membrane potentials; use maps = 'rate'"
        yield Problem((*place, "maps"), f"{maps}: {text} and another loss than 'membrane'")
    flat = [name for name, _ in features.pairs or () if student.get(name, (1, 2, 2))[1:] in ((), (1, 1))]
    if features.when == "before" and epochs < 2:
        text = f"expected at least 2 epochs of this stage with when = 'before', found {epochs}"
        yield Problem((*place, "when"), f"{schema.dotted((*place, 'when'))}: {text}")
    if features.loss == "attention" and flat:
        text = f"attention compares places of a map, and {', '.join(flat)} has one place only; leave that pair out"
        yield Problem((*place, "loss"), f"{loss}: {text}, or use 'mse' or 'cka'")


def _shown(layers: Layers) -> str:
    return ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in layers.items()) or "none"
