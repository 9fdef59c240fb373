"""By how much one layer would have to be narrower for a network to fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from math import prod

import numpy as np

from snnkd.ir.network import Conv, IntNet, Layer, Neuron, Shape

_LEAST = 25  # percent: what is left of a network below that is another network


def narrower(net: IntNet, fits: Callable[[IntNet], bool]) -> str | None:
    """Says in numbers how narrow a network could be so that `fits` tells True: "48 output channels of layer1 instead of
    64" where one layer may keep half of its own, else a share of all hidden layers. None where less than a quarter of
    them would be left.

    fits: is asked about networks whose layers have their first channels alone, with all weights from and to them.
    """
    hidden = [index for index in range(len(net.layers) - 1) if _can_be(net, index)]
    for index in sorted(hidden, key=lambda k: -_size(net.layers[k])):
        layer = net.layers[index]
        most = layer.shape[0]
        fitting = _most(most, lambda channels, index=index: fits(narrowed(net, index, channels)))
        if 2 * fitting >= most:
            what = "output channels" if layer.kind == "conv" else "neurons"
            return f"{fitting} {what} of {net.names[index]} instead of {most}"
    share = _most(100, lambda percent: fits(_scaled(net, hidden, percent)))
    return f"{share} % of the channels of all hidden layers" if hidden and share >= _LEAST else None


def _most(total: int, fits: Callable[[int], bool]) -> int:
    """The largest number below `total` that fits, 0 where none does."""
    fitting, beyond = 0, total
    while beyond - fitting > 1:
        middle = (fitting + beyond) // 2
        fitting, beyond = (middle, beyond) if fits(middle) else (fitting, middle)
    return fitting


def _scaled(net: IntNet, hidden: Sequence[int], percent: int) -> IntNet:
    for index in hidden:
        net = narrowed(net, index, max(1, net.layers[index].shape[0] * percent // 100))
    return net


def narrowed(net: IntNet, index: int, channels: int) -> IntNet:
    """Returns `net` with the first `channels` of the layer `index` alone, which is neither its last nor an input."""
    layers, shapes = list(net.layers), [net.input_shape, *(layer.shape for layer in net.layers)]
    own, reader = layers[index], layers[index + 1]
    layers[index] = _cut_outputs(own, channels)
    weight = getattr(reader, "weight", None)
    assert weight is not None and reader.kind != "input"
    if isinstance(reader, Conv):
        layers[index + 1] = replace(reader, weight=weight[:, :channels])
    else:
        kept = np.arange(prod(shapes[index + 1])).reshape(shapes[index + 1])[:channels].ravel()
        delay = None if reader.delay is None else reader.delay[:, kept]
        layers[index + 1] = replace(reader, weight=weight[:, kept], delay=delay)
    return replace(net, layers=tuple(layers))


def _cut_outputs(layer: Layer, channels: int) -> Layer:
    assert layer.kind != "input"
    neuron, weight = _first(layer.neuron, layer.shape, channels), layer.weight[:channels]
    if isinstance(layer, Conv):
        return replace(layer, weight=weight, neuron=neuron, shape=(channels, *layer.shape[1:]))
    return replace(layer, weight=weight, neuron=neuron, delay=None if layer.delay is None else layer.delay[:channels])


def _first(neuron: Neuron, shape: Shape, channels: int) -> Neuron:
    """The neurons of the first channels; parameters that all share stay."""
    cut = {}
    for field in fields(neuron):
        values = getattr(neuron, field.name)
        if isinstance(values, np.ndarray) and values.ndim and values.shape[0] == shape[0]:
            cut[field.name] = values[:channels]
    return replace(neuron, **cut)


def _can_be(net: IntNet, index: int) -> bool:
    """Whether a layer's channels can be left out one by one: not of an input, not in groups."""
    own, reader = net.layers[index], net.layers[index + 1]
    grouped = any(isinstance(layer, Conv) and layer.groups > 1 for layer in (own, reader))
    return own.kind != "input" and reader.kind != "input" and not grouped


def _size(layer: Layer) -> int:
    return prod(layer.shape) + (0 if layer.kind == "input" else layer.weight.size)
