"""A network before it is trained: of its description's shape, every weight present and of full width. What fits, or
does not, is known from that."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np

from snnkd.base import files
from snnkd.ir.network import Conv, Cuba, Dense, IntNet, Layer, Shape, Sigma, SigmaDelta
from snnkd.recipe import architecture, reading
from snnkd.recipe.architecture import Architecture
from snnkd.recipe.tables import Recipe

# Neurons of the kind that a network has unless its recipe says otherwise.
_CUBA = Cuba(*(np.array(value, np.int32) for value in (4096, 0, 1)))


def outline(described: Architecture, bits: int = 8, message_bits: int = 0, neuron: Cuba | SigmaDelta = _CUBA) -> IntNet:
    """Makes an integer network of a description, with weights of `bits`, both signs among them, and delays of
    `max_delay`; it is to be counted, not run.

    message_bits: as of `IntNet`. neuron: of all layers; a bias, and a threshold of shape (1,), becomes one for each
    channel. Sigma-delta neurons are read by a Sigma output.
    """
    layers = [_layer(layer, read, bits, neuron) for layer, read in described.inputs()]
    if neuron.kind == "sigma-delta":
        layers[-1] = replace(layers[-1], neuron=Sigma())
    return IntNet(described.input, tuple(layers), message_bits=message_bits)


def student(recipe: Recipe) -> IntNet:
    """Makes the outline of a recipe's student, with all that its memory depends on: bits, neurons, encoding,
    readout."""
    described, encoder, settings = recipe.architecture(recipe.student), recipe.encoder(), recipe.neuron
    bias = np.array(1, np.int32)
    if recipe.chain[recipe.student].neuron == "sigma-delta":
        neuron = SigmaDelta(0, bias)
    else:
        decay = np.array(round(4096 * settings.current_decay), np.int32)
        neuron = replace(_CUBA, current_decay=decay, bias=bias if settings.bias or settings.batch_norm else None)
        if settings.per_channel:
            neuron = replace(neuron, threshold=np.array([1], np.int32))
    net = outline(described, recipe.quantization.weight_bits, encoder.message_bits, neuron)
    return replace(net, steps=encoder.steps, encoding=encoder.to_json(), readout=recipe.readout.rule())


def named(name: str) -> IntNet | None:
    """Makes the outline of the network, or of the student of the recipe, that is shipped under this name or described
    in this .toml; None where there is none of that name.

    Raises RecipeError for a file that says something wrong.
    """
    if name.endswith(".toml"):
        data = files.read_toml(Path(name))
        return outline(architecture.load(name)) if "layers" in data else student(reading.load(name))
    if name in architecture.names():
        return outline(architecture.load(name))
    return student(reading.load(name)) if name in reading.names() else None


def _layer(layer: architecture.Layer, read: Shape, bits: int, neuron: Cuba | SigmaDelta) -> Layer:
    channels = layer.output(read)[0]
    if neuron.bias is not None:
        neuron = replace(neuron, bias=np.ones(channels, np.int32))
    if neuron.kind == "cuba" and neuron.threshold.ndim:
        neuron = replace(neuron, threshold=np.repeat(neuron.threshold, channels))
    fan_in = layer.fan_in(read)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    weight = np.where(np.arange(layer.weights(read)) % 2, low, high).astype(np.int32)
    if isinstance(layer, architecture.Conv):
        kernel = weight.reshape(layer.channels, read[0] // layer.groups, *layer.kernel)
        how = (layer.stride, layer.padding, layer.dilation, layer.groups)
        return Conv(kernel, neuron, layer.output(read), *how)
    delay = None if layer.max_delay is None else np.full((layer.neurons, fan_in), layer.max_delay, np.int32)
    return Dense(weight.reshape(layer.neurons, prod(read)), neuron, delay=delay)
