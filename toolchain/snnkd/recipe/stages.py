"""Stages of a recipe that are no plain training of a spiking network: ANNs, and integer networks from `.net` files.

What such a stage may say, where its file is, and whether the file fits the data, the encoding and the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from snnkd.base import provenance, schema
from snnkd.base.errors import FormatError, MismatchError
from snnkd.base.schema import Problem
from snnkd.data.encoding import Encoding
from snnkd.formats import netx
from snnkd.ir.arithmetic import THRESHOLD_LIMIT, WEIGHT_MAX, WEIGHT_MIN
from snnkd.ir.network import Conv as NetConv
from snnkd.ir.network import Dense as NetDense
from snnkd.ir.network import IntNet, Layer, Shape
from snnkd.recipe.architecture import Architecture, Conv
from snnkd.recipe.tables import Stage

# What an ANN's stage may not have, and why.
_NOT_OF_ANNS = {
    "distil": "learns from the labels alone",
    "rate": "has no spikes",
    "prune": "is never deployed",
    "start": "cannot start from an integer network",
}
_COMPARE_SPIKES = ("l1", "l2", "sliding_l1", "sliding_l2")


def unfit(tables: dict[str, Any]) -> list[Problem]:
    """Fields of the stages, as their author wrote them, that are missing or do not go together."""
    problems: list[Problem] = []
    for number, (name, table) in enumerate(tables.items()):
        if isinstance(table, dict):
            problems += _unfit(name, table, last=number == len(tables) - 1)
    return problems


def _unfit(name: str, table: dict[str, Any], last: bool) -> Iterator[Problem]:
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


def located(chain: Mapping[str, Stage], folder: Path) -> tuple[dict[str, Stage], list[Problem]]:
    """The chain with the absolute path and the digest of each file, looked up in `folder`, then in the current one.

    Where the digest is there already, as in the recipe of a run, the file may be gone: only a training needs it.
    """
    stages = dict(chain)
    problems: list[Problem] = []
    for name, stage in chain.items():
        stages[name], found = _located(name, stage, folder)
        problems += found
    return stages, problems


def _located(name: str, stage: Stage, folder: Path) -> tuple[Stage, list[Problem]]:
    named = stage.net or stage.start
    if named is None:
        return stage, []
    field = "net" if stage.net else "start"
    found = next((path for path in (folder / named, Path(named)) if path.is_file()), None)
    if found is None and stage.sha256:
        return stage, []
    place = ("chain", name, field)
    if found is None:
        where = f"in {folder.absolute()} nor in {Path.cwd()}" if not Path(named).is_absolute() else "there"
        text = f"no such file {where}; give the path of a .net file"
        return stage, [Problem(place, f"{schema.dotted(place)}: {named}: {text}")]
    try:
        sha256 = stage.sha256 or provenance.file_digest(found)
    except OSError as error:
        return stage, [Problem(place, f"{schema.dotted(place)}: {found}: cannot be read: {error.strerror}")]
    return stage.model_copy(update={field: str(found.absolute()), "sha256": sha256}), []


def opened(stage: Stage, shape: Shape) -> IntNet:
    """The network in the file of a located stage's net or start, which reads images of `shape`.

    Raises MismatchError where the file is gone or another one than it was, FormatError where it cannot be used.
    """
    path = Path(stage.net or stage.start or "")
    if not path.is_file():
        raise MismatchError(f"{path}: no such file; a stage of the recipe needs it to be trained")
    if stage.sha256 != provenance.file_digest(path):
        raise MismatchError(
            f"{path}: not the file that the recipe means (its sha256 is another one); put that file back, or leave "
            "sha256 out of the recipe"
        )
    return netx.load(path, shape)


def misfits(
    name: str, stage: Stage, network: Architecture | None, encoding: Encoding, readout: str, shape: Shape, classes: int
) -> list[Problem]:
    """What does not fit in the file of a located stage: as a teacher with images of `shape`, as the start of `network`.

    Nothing where the file is gone or another one: `opened` says so when it is needed.
    """
    place = ("chain", name, "net" if stage.net else "start")
    where = f"{schema.dotted(place)}: {stage.net or stage.start}"
    try:
        net = opened(stage, shape)
    except MismatchError:
        return []
    except FormatError as error:
        return [Problem(place, f"{where}: {error}; it has to read the images of the data set, {shape}")]
    texts = _teacher_misfits(net, encoding, classes) if network is None else _start_misfits(net, network, readout)
    return [Problem(place, f"{where}: {text}") for text in texts]


def _teacher_misfits(net: IntNet, encoding: Encoding, classes: int) -> Iterator[str]:
    outputs = prod(net.layers[-1].shape)
    if net.readout.population != 1:
        yield f"reads each class from {net.readout.population} outputs, expected one output for each class"
    elif outputs != classes:
        yield f"has {outputs} outputs, expected {classes}, one for each class"
    if encoding.message_bits > net.message_bits:
        what = f"{net.message_bits} bits" if net.message_bits else "0 and 1"
        yield (
            f"reads events of {what}, but encoding.kind '{encoding.kind}' sends graded ones of {encoding.message_bits} "
            "bits; use the encoding that it was trained with"
        )


def _start_misfits(net: IntNet, network: Architecture, readout: str) -> Iterator[str]:
    if net.readout.kind != readout:
        yield f"its classes are read by '{net.readout.kind}', expected readout.kind '{readout}'"
    elif readout == "membrane" and (net.layers[-1].neuron.threshold != THRESHOLD_LIMIT).any():
        yield f"its output neurons may fire; expected a threshold of {THRESHOLD_LIMIT}, which readout 'membrane' needs"
    if len(net.layers) != len(network.layers):
        yield f"has {len(net.layers)} layers, expected {len(network.layers)} as the network '{network.name}' has"
        return
    for label, layer, (plan, shape) in zip(net.names, net.layers, network.inputs(), strict=True):
        if isinstance(plan, Conv):
            size = (plan.channels, shape[0] // plan.groups, *plan.kernel)
            form = ("conv", size, plan.stride, plan.padding, plan.dilation, plan.groups)
        else:
            form = ("dense", (plan.neurons, prod(shape)))
        if _form(layer) != form:
            yield f"{label} is {_said(_form(layer))}, expected {_said(form)} as the network '{network.name}' has"
        elif text := _not_trainable(layer):
            yield f"{label}.{text}"


def _form(layer: Layer) -> tuple[Any, ...]:
    if isinstance(layer, NetConv):
        return ("conv", layer.weight.shape, layer.stride, layer.padding, layer.dilation, layer.groups)
    return ("dense", layer.weight.shape) if isinstance(layer, NetDense) else ("input",)


def _said(form: tuple[Any, ...]) -> str:
    parts = zip(("weights", "stride", "padding", "dilation", "groups"), form[1:], strict=False)
    return " ".join([form[0], *(f"{name} {tuple(v) if name != 'groups' else v}" for name, v in parts)])


def _not_trainable(layer: Layer) -> str | None:
    """The first field of a layer that the neurons or the weights of a training cannot have, and why."""
    neuron = layer.neuron
    if neuron.bias is not None:
        return "bias: networks are trained without; only a file without biases can be a start"
    for field in ("threshold", "current_decay", "voltage_decay"):
        values = getattr(neuron, field)
        if values.min() != values.max():
            return f"{field}: differs from neuron to neuron, {values.min()} to {values.max()}; expected one per layer"
    if not 1 <= neuron.threshold.min() <= THRESHOLD_LIMIT:
        return f"threshold: expected 1 to {THRESHOLD_LIMIT}, found {neuron.threshold.min()}"
    if isinstance(layer, NetDense) and layer.delay is not None:
        return "delay: networks are trained without; only a file without delays can be a start"
    if isinstance(layer, NetDense) and layer.weight_exp:
        return f"weight_exp: expected 0, found {layer.weight_exp}"
    assert isinstance(layer, NetDense | NetConv)
    weight = layer.weight
    if (weight % 2).any() or weight.min() < WEIGHT_MIN or weight.max() > WEIGHT_MAX:
        odd = int(np.count_nonzero(weight % 2))
        return (
            f"weight: expected even integers in [{WEIGHT_MIN}, {WEIGHT_MAX}], found {odd} odd ones in "
            f"[{weight.min()}, {weight.max()}]"
        )
    return None


def warnings(name: str, stage: Stage, chain: Mapping[str, Stage], encoding: Encoding, shape: Shape) -> Iterator[str]:
    """What the valid stage `name` of a chain, with a file or with an ANN as its teacher, probably does not mean."""
    if stage.distil is not None and chain[stage.distil.teacher or name].neuron == "relu":
        spikes = [loss for loss, weight in stage.distil.losses.items() if weight and loss in _COMPARE_SPIKES]
        if spikes:
            yield (
                f"chain.{name}.distil: {', '.join(spikes)} compare spikes, but the teacher '{stage.distil.teacher}' is "
                "an ANN, which gives logits; use kl"
            )
    if stage.net is None and stage.start is None:
        return
    try:
        known = opened(stage, shape).encoding
    except (MismatchError, FormatError):
        return
    ours = encoding.to_json()
    for key in ("kind", "bits") if encoding.kind == "direct" else ("kind",):
        if known and known.get(key) != ours[key]:
            yield (
                f"chain.{name}: {stage.net or stage.start} was trained with encoding.{key} = {known.get(key)!r}, the "
                f"recipe has {ours[key]!r}: it may answer little better than chance"
            )
            return
