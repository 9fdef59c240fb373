"""A network before it is trained: of its description's shape, every weight present and of full width. What fits, or
does not, is known from that."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np

from snnkd.base import files
from snnkd.ir.network import Conv, Cuba, Dense, IntNet, Layer, NeuronKind, Shape, Sigma, SigmaDelta
from snnkd.recipe import architecture, reading
from snnkd.recipe.architecture import Architecture
from snnkd.recipe.tables import Recipe


def outline(
    described: Architecture, bits: int = 8, message_bits: int = 0, kind: NeuronKind = "cuba", bias: bool = False
) -> IntNet:
    """Makes an integer network of a description, with weights of `bits`, both signs among them, and delays of
    `max_delay`; it is to be counted, not run.

    message_bits: as of `IntNet`. kind: of its neurons, 'cuba' or 'sigma-delta', which a Sigma output reads. bias:
    whether they have one.
    """
    layers = [_layer(layer, read, bits, kind, bias) for layer, read in described.inputs()]
    if kind == "sigma-delta":
        layers[-1] = replace(layers[-1], neuron=Sigma())
    return IntNet(described.input, tuple(layers), message_bits=message_bits)


def student(recipe: Recipe) -> IntNet:
    """Makes the outline of a recipe's student, with the recipe's bits and neurons."""
    described, stage, neuron = recipe.architecture(recipe.student), recipe.chain[recipe.student], recipe.neuron
    kind = "sigma-delta" if stage.neuron == "sigma-delta" else "cuba"
    bits, bias = recipe.quantization.weight_bits, neuron.bias or neuron.batch_norm or kind == "sigma-delta"
    return outline(described, bits, recipe.encoder().message_bits, kind, bias)


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


def _layer(layer: architecture.Layer, read: Shape, bits: int, kind: NeuronKind, bias: bool) -> Layer:
    biases = np.ones(layer.output(read)[0], np.int32) if bias else None
    neuron = Cuba(*(np.array(value, np.int32) for value in (4096, 0, 1)), bias=biases)
    if kind == "sigma-delta":
        neuron = SigmaDelta(0, biases)
    fan_in = layer.fan_in(read)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    weight = np.where(np.arange(layer.weights(read)) % 2, low, high).astype(np.int32)
    if isinstance(layer, architecture.Conv):
        kernel = weight.reshape(layer.channels, read[0] // layer.groups, *layer.kernel)
        how = (layer.stride, layer.padding, layer.dilation, layer.groups)
        return Conv(kernel, neuron, layer.output(read), *how)
    delay = None if layer.max_delay is None else np.full((layer.neurons, fan_in), layer.max_delay, np.int32)
    return Dense(weight.reshape(layer.neurons, prod(read)), neuron, delay=delay)
