"""Integer networks from `.net` files, as teachers and as what a training starts from: whether they fit the recipe."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from snnkd.base import schema
from snnkd.base.errors import FormatError, MismatchError
from snnkd.base.schema import Problem
from snnkd.data.encoding import Encoder, read_by
from snnkd.formats.netx.read import NETX_EXP
from snnkd.ir.arithmetic import THRESHOLD_LIMIT, WEIGHT_MAX, WEIGHT_MIN
from snnkd.ir.network import Conv as NetConv
from snnkd.ir.network import Cuba, IntNet, Layer, SigmaDelta, by_channel, cuba_of
from snnkd.ir.network import Dense as NetDense
from snnkd.recipe.architecture import Conv, Dense
from snnkd.recipe.stages import opened
from snnkd.recipe.tables import Neuron, Recipe


def misfits(recipe: Recipe, name: str) -> list[Problem]:
    """Returns what does not fit in the file of the resolved stage `name`: of a teacher, which has to read the images
    and to tell their classes, or of a start, which has to be the stage's network.

    Nothing where the file is gone or another one: `stages.opened` says so when it is needed.
    """
    stage = recipe.chain[name]
    shape, classes = recipe.images
    place = ("chain", name, "net" if stage.net else "start")
    where = f"{schema.dotted(place)}: {stage.net or stage.start}"
    try:
        net = opened(stage, shape)
    except MismatchError:
        return []
    except FormatError as error:
        return [Problem(place, f"{where}: {error}; it has to read the images of the data set, {shape}")]
    texts = _teacher_misfits(net, recipe.encoder(), classes) if stage.net else _start_misfits(recipe, name, net)
    return [Problem(place, f"{where}: {text}") for text in texts]


def warnings(recipe: Recipe, name: str) -> Iterator[str]:
    """Yields that the file of the resolved stage `name`, if it has one, was trained with another encoding."""
    stage, encoding = recipe.chain[name], recipe.encoder()
    if stage.net is None and stage.start is None:
        return
    try:
        known = opened(stage, recipe.images[0]).encoding
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


def _teacher_misfits(net: IntNet, encoding: Encoder, classes: int) -> Iterator[str]:
    outputs = prod(net.layers[-1].shape)
    if net.readout.population != 1:
        yield f"reads each class from {net.readout.population} outputs, expected one output for each class"
    elif outputs != classes:
        yield f"has {outputs} outputs, expected {classes}, one for each class"
    if encoding.message_bits > net.message_bits and net.layers[0].kind != "input":
        what = f"{net.message_bits} bits" if net.message_bits else "0 and 1"
        yield (
            f"reads events of {what}, but encoding.kind '{encoding.kind}' sends graded ones of {encoding.message_bits} "
            "bits; use the encoding that it was trained with"
        )
    if net.longest_delay and read_by(net, encoding).steps < encoding.steps:
        yield (
            f"has delays of up to {net.longest_delay} steps, but sigma-delta neurons are told a still image in one, in "
            "which nothing late arrives; use an encoding.kind other than 'direct'"
        )


def _start_misfits(recipe: Recipe, name: str, net: IntNet) -> Iterator[str]:
    network, stage, readout = recipe.architecture(name), recipe.chain[name].neuron, recipe.readout.kind
    if net.layers[0].kind == "input":
        yield "its first layer is one of input neurons, which networks are trained without"
        return
    for label, layer in zip(net.names, net.layers, strict=True):
        expected = "cuba" if stage == "cuba" else "sigma" if layer is net.layers[-1] else "sigma-delta"
        if layer.neuron.kind != expected:
            yield f"{label}: its neurons are '{layer.neuron.kind}', expected '{expected}' as the stage trains '{stage}'"
            return
    if net.readout.kind != readout:
        yield f"its classes are read by '{net.readout.kind}', expected readout.kind '{readout}'"
    elif readout == "membrane" and stage == "cuba" and (cuba_of(net.layers[-1]).threshold != THRESHOLD_LIMIT).any():
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
            actual, expected = _described(_form(layer)), _described(form)
            yield f"{label} is {actual}, expected {expected} as the network '{network.name}' has"
        elif text := _neurons_not_trained(layer, recipe.neuron) or _synapses_not_trained(layer, plan):
            yield f"{label}.{text}"


def _form(layer: Layer) -> tuple[Any, ...]:
    if isinstance(layer, NetConv):
        return ("conv", layer.weight.shape, layer.stride, layer.padding, layer.dilation, layer.groups)
    return ("dense", layer.weight.shape) if isinstance(layer, NetDense) else ("input",)


def _described(form: tuple[Any, ...]) -> str:
    parts = zip(("weights", "stride", "padding", "dilation", "groups"), form[1:], strict=False)
    return " ".join([form[0], *(f"{name} {tuple(v) if name != 'groups' else v}" for name, v in parts)])


def _not_trained(delay: np.ndarray, plan: Conv | Dense) -> str | None:
    """Why the delays (O, I) of a file's layer cannot be those that `plan` trains, None where they can."""
    if isinstance(plan, Conv) or plan.delays is None or plan.max_delay is None:
        return "this layer is trained without; give it delays and max_delay, or start from a file without delays"
    if (delay != (delay[:1] if plan.delays == "input" else delay[:, :1])).any():
        return f"expected one of each {plan.delays}, as the layer's delays says; they differ from synapse to synapse"
    return (
        f"up to {delay.max()}, expected at most max_delay = {plan.max_delay}" if delay.max() > plan.max_delay else None
    )


def _neurons_not_trained(layer: Layer, settings: Neuron) -> str | None:
    """The first field of a layer's neurons that those of a training with these settings cannot have, and why."""
    if layer.neuron.kind == "cuba":
        return _cuba_not_trained(layer, layer.neuron, settings)
    return _sigma_delta_not_trained(layer, layer.neuron) if layer.neuron.kind == "sigma-delta" else None


def _cuba_not_trained(layer: Layer, neuron: Cuba, settings: Neuron) -> str | None:
    if neuron.bias is not None and not settings.bias:
        return "bias: the recipe trains networks without; set neuron.bias = true"
    for field in ("bias", "threshold", "current_decay", "voltage_decay"):
        values = getattr(neuron, field)
        if values is None or values.min() == values.max():
            continue
        found = f"{field}: differs from neuron to neuron, {values.min()} to {values.max()}"
        if field != "bias" and field not in settings.per_channel:
            return f"{found}; expected one per layer, or '{field}' in neuron.per_channel"
        if _differs_within_channels(values, layer):
            return f"{found}; expected one per channel"
    if neuron.threshold.min() < 1 or neuron.threshold.max() > THRESHOLD_LIMIT:
        return f"threshold: expected 1 to {THRESHOLD_LIMIT}, found {neuron.threshold.min()} to {neuron.threshold.max()}"
    return None


def _differs_within_channels(values: np.ndarray, layer: Layer) -> bool:
    of_channels = by_channel(values, layer.shape)
    return bool((of_channels != of_channels[:, :1]).any())


def _sigma_delta_not_trained(layer: Layer, neuron: SigmaDelta) -> str | None:
    for field, expected in (("spike_exp", NETX_EXP), ("state_exp", NETX_EXP), ("activation", "relu")):
        if getattr(neuron, field) != expected:
            return f"{field}: expected {expected!r}, found {getattr(neuron, field)!r}"
    if neuron.cumulative:
        return "cumulative: errors that add up are not trained; only a file without can be a start"
    if neuron.bias is not None and _differs_within_channels(neuron.bias, layer):
        return "bias: differs from neuron to neuron of a channel; expected one per channel"
    return None


def _synapses_not_trained(layer: Layer, plan: Conv | Dense) -> str | None:
    """The first field of a layer's synapses that those of a training cannot have, and why."""
    if isinstance(layer, NetDense) and layer.delay is not None and (text := _not_trained(layer.delay, plan)):
        return f"delay: {text}"
    if isinstance(layer, NetDense) and layer.weight_exp:
        return f"weight_exp: expected 0, found {layer.weight_exp}"
    assert isinstance(layer, NetDense | NetConv)
    weight = layer.weight
    if (weight % 2).any() or weight.min() < WEIGHT_MIN or weight.max() > WEIGHT_MAX:
        odd = int(np.count_nonzero(weight % 2))
        return (
            f"weight: expected even integers in [{WEIGHT_MIN}, {WEIGHT_MAX}], found {odd} odd ones in "
            f"[{weight.min()}, {weight.max()}]; `snnkd quantize` makes them so"
        )
    return None
