"""What the kernels read: weights and neuron parameters of a layer, arranged so that an event's work is contiguous."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from snnkd.fixedpoint import DECAY_BITS, STATE_SHIFT
from snnkd.network import Conv, Layer, Shape, per_neuron
from snnkd.simulation.kernels import LANES, TILE


def parameters(layer: Layer) -> np.ndarray:
    """(3, neurons) int32: 4096 - current_decay, 4096 - voltage_decay and threshold << 6 of each neuron, in `order`."""
    neuron, shape = layer.neuron, layer.shape
    rows = (
        (1 << DECAY_BITS) - per_neuron(neuron.current_decay, shape),
        (1 << DECAY_BITS) - per_neuron(neuron.voltage_decay, shape),
        per_neuron(neuron.threshold, shape) << STATE_SHIFT,
    )
    return np.stack([np.broadcast_to(row, shape).reshape(-1)[order(layer)] for row in rows]).astype(np.int32)


def bias(layer: Layer) -> np.ndarray:
    """(1, neurons) int32: the bias << 6 of each neuron, in `order`."""
    neuron, shape = layer.neuron, layer.shape
    values = np.zeros((), np.int64) if neuron.bias is None else per_neuron(neuron.bias, shape) << STATE_SHIFT
    return np.broadcast_to(values, shape).reshape(1, -1)[:, order(layer)].astype(np.int32)


def order(layer: Layer) -> np.ndarray:
    """(neurons,) the place in the order (C, H, W) of each neuron as the engine keeps them in memory.

    A convolution's are kept as (groups, H, W, channels per group), as its sums are made.
    """
    places = np.arange(prod(layer.shape))
    if not isinstance(layer, Conv):
        return places
    return places.reshape(layer.groups, -1, prod(layer.shape[1:])).swapaxes(1, 2).reshape(-1)


def in_order(values: np.ndarray, layer: Layer) -> np.ndarray:
    """(N, T, *layer.shape) view, or copy where groups need one, of values (N, T, neurons) as kept in memory."""
    if not isinstance(layer, Conv):
        return values.reshape(*values.shape[:2], *layer.shape)
    _, high, wide = layer.shape
    grouped = values.reshape(*values.shape[:2], layer.groups, high, wide, -1)
    return np.moveaxis(grouped, -1, 3).reshape(*values.shape[:2], *layer.shape)


def dense_weight(weight: np.ndarray) -> np.ndarray:
    """(O, I) as (tiles, I + 1, TILE) int16: TILE outputs' weights from one input side by side, 0 past the end.

    The last row is 0, so that lists of inputs can be filled up with I.
    """
    outputs, inputs = weight.shape
    tiles = -(-outputs // TILE)
    padded = np.zeros((tiles * TILE, inputs + 1), np.int16)
    padded[:outputs, :inputs] = weight
    return np.ascontiguousarray(padded.reshape(tiles, TILE, inputs + 1).swapaxes(1, 2))


@dataclass(frozen=True, eq=False)
class ConvLayout:
    """A convolution from the event's side: each event adds one block of weights to a corner of the sums.

    With stride S an event at padded row y reaches the output rows y // S - r through the kernel rows y % S + r * S,
    r = 0 .. ceil(K / S) - 1, and columns alike: which block depends on (y % S, x % S), the phase, only, and its outputs
    are next to each other. Sums have a margin that takes what falls outside the output, kernels are filled up with
    zeros (in dilation, too), so that all blocks have the same size and nothing needs a test.

    weight: flat int16, blocks (input channel, phase, row of block, columns x channels filled up to LANES).
    places: (inputs, 2) int32; where each input's block begins in the sums and in the weights. rows, row: of a block,
    how many and the elements of one. pitch: elements of a row of the sums; size: of all of them. inside: (groups * H',)
    int64; where each row of the output begins in the sums; width: its elements, W' * channels per group.
    """

    weight: np.ndarray
    places: np.ndarray
    rows: int
    row: int
    pitch: int
    size: int
    inside: np.ndarray
    width: int

    @property
    def arguments(self) -> tuple:
        """In the order of `kernels.run_conv`."""
        return tuple(getattr(self, name) for name in self.__dataclass_fields__)


def block(layer: Conv) -> tuple[int, int, int]:
    """(rows, columns, elements of a row) of what one event adds: see `ConvLayout`."""
    extents = [d * (k - 1) + 1 for d, k in zip(layer.dilation, layer.weight.shape[2:], strict=True)]
    rows, columns = (-(-extent // stride) for extent, stride in zip(extents, layer.stride, strict=True))
    return rows, columns, -(-columns * (layer.weight.shape[0] // layer.groups) // LANES) * LANES


def conv_layout(layer: Conv, shape: Shape, source: np.ndarray) -> ConvLayout:
    """The layout of `layer` whose input has the shape (C, H, W) and is kept in the order `source`, see `order`."""
    rows, columns, row = block(layer)
    channels = layer.weight.shape[0] // layer.groups
    (high, wide), (stride_h, stride_w) = shape[1:], layer.stride
    y, x = np.arange(high) + layer.padding[0], np.arange(wide) + layer.padding[1]
    height = max(int(y[-1]) // stride_h + rows, layer.shape[1] + rows - 1)
    pitch = max(int(x[-1]) // stride_w + columns, layer.shape[2] + columns - 1) * channels
    group = np.arange(shape[0])[:, None, None] // layer.weight.shape[1]
    corner = group * height * pitch + (y // stride_h * pitch)[:, None] + x // stride_w * channels
    phase = (y % stride_h * stride_w)[:, None] + x % stride_w
    first = (np.arange(shape[0])[:, None, None] * stride_h * stride_w + phase) * rows * row
    places = np.stack([corner.reshape(-1), first.reshape(-1)], axis=1)[source]
    margin = (rows - 1) * pitch + (columns - 1) * channels
    inside = np.arange(layer.groups)[:, None] * height * pitch + np.arange(layer.shape[1]) * pitch + margin
    return ConvLayout(
        _blocks(layer, rows, columns, row),
        places.astype(np.int32),
        rows,
        row,
        pitch,
        layer.groups * height * pitch,
        inside.reshape(-1),
        layer.shape[2] * channels,
    )


def _blocks(layer: Conv, rows: int, columns: int, row: int) -> np.ndarray:
    """Flat int16 weights of `ConvLayout`."""
    outputs, per_group, high, wide = layer.weight.shape
    (stride_h, stride_w), (dilation_h, dilation_w) = layer.stride, layer.dilation
    kernel = np.zeros((outputs, per_group, rows * stride_h, columns * stride_w), np.int16)
    kernel[:, :, : dilation_h * (high - 1) + 1 : dilation_h, : dilation_w * (wide - 1) + 1 : dilation_w] = layer.weight
    grouped = kernel.reshape(layer.groups, -1, per_group, rows, stride_h, columns, stride_w)[..., ::-1, :, ::-1, :]
    blocks = grouped.transpose(0, 2, 4, 6, 3, 5, 1)  # group, channel, phases, row, column, output channel
    padded = np.zeros((*blocks.shape[:5], row), np.int16)
    padded[..., : columns * blocks.shape[6]] = blocks.reshape(*blocks.shape[:5], -1)
    return padded.reshape(-1)
