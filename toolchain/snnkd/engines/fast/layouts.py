"""What the kernels read: neuron parameters and dense weights, arranged so that an event's work is contiguous."""

from __future__ import annotations

from math import prod

import numpy as np

from snnkd.engines.fast.kernels.sizes import TILE
from snnkd.ir.arithmetic import DECAY_BITS, STATE_SHIFT
from snnkd.ir.network import Layer, cuba_of, per_neuron

_LINE = 32  # int16 in 64 bytes


def parameters(layer: Layer) -> np.ndarray:
    """Lays out (3, neurons) int32: 4096 - current_decay, 4096 - voltage_decay, threshold << 6 of each, in `order`."""
    neuron, shape = cuba_of(layer), layer.shape
    rows = (
        (1 << DECAY_BITS) - per_neuron(neuron.current_decay, shape),
        (1 << DECAY_BITS) - per_neuron(neuron.voltage_decay, shape),
        per_neuron(neuron.threshold, shape) << STATE_SHIFT,
    )
    return np.stack([np.broadcast_to(row, shape).reshape(-1)[order(layer)] for row in rows]).astype(np.int32)


def bias(layer: Layer) -> np.ndarray:
    """Lays out (1, neurons) int32: the bias << 6 of each neuron, in `order`."""
    neuron, shape = layer.neuron, layer.shape
    values = np.zeros((), np.int64) if neuron.bias is None else per_neuron(neuron.bias, shape) << STATE_SHIFT
    return np.broadcast_to(values, shape).reshape(-1)[order(layer)].reshape(1, -1).astype(np.int32)


def order(layer: Layer) -> np.ndarray:
    """Lists the place in the order (C, H, W) of each neuron as the engine keeps them in memory: (neurons,).

    (C, H, W) are kept as (groups, H, W, channels per group), as a convolution's sums are made.
    """
    places = np.arange(prod(layer.shape))
    return places.reshape(_groups(layer), -1, prod(layer.shape[1:])).swapaxes(1, 2).reshape(-1)


def _groups(layer: Layer) -> int:
    return layer.groups if layer.kind == "conv" else 1


def in_order(values: np.ndarray, layer: Layer) -> np.ndarray:
    """Views values (N, T, neurons), as kept in memory, as (N, T, *layer.shape); copies them where groups need that."""
    if len(layer.shape) == 1:
        return values
    _, high, wide = layer.shape
    grouped = values.reshape(*values.shape[:2], _groups(layer), high, wide, -1)
    return np.moveaxis(grouped, -1, 3).reshape(*values.shape[:2], *layer.shape)


def aligned(values: np.ndarray) -> np.ndarray:
    """Copies int16 values so that they are contiguous and begin at a line of the cache: no tile takes a line more."""
    memory = np.empty(values.size + _LINE, np.int16)
    start = -(memory.ctypes.data // 2) % _LINE
    copy = memory[start : start + values.size].reshape(values.shape)
    copy[...] = values
    return copy


def dense_weight(weight: np.ndarray) -> np.ndarray:
    """Lays out (O, I) as (tiles, I + 1, TILE) int16: TILE outputs' weights from one input side by side, 0 past the end.

    The last row is 0, so that lists of inputs can be filled up with I.
    """
    outputs, inputs = weight.shape
    tiles = -(-outputs // TILE)
    padded = np.zeros((tiles * TILE, inputs + 1), np.int16)
    padded[:outputs, :inputs] = weight
    return aligned(padded.reshape(tiles, TILE, inputs + 1).swapaxes(1, 2))
