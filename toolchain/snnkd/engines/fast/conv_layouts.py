"""What the kernels of convolutions read: weights by the event that they belong to, and tables of sums by pattern."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnkd.engines.fast.kernels.sizes import LANES, TILE
from snnkd.engines.fast.layouts import aligned
from snnkd.ir.network import Conv, Shape


@dataclass(frozen=True, eq=False)
class Scatter:
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
        """Lists its fields in the order of `convolutions.run_scatter`."""
        return tuple(getattr(self, name) for name in self.__dataclass_fields__)


def block(layer: Conv) -> tuple[int, int, int]:
    """Sizes what one event adds, (rows, columns, elements of a row): see `Scatter`."""
    rows, columns = (-(-extent // stride) for extent, stride in zip(layer.extent, layer.stride, strict=True))
    return rows, columns, -(-columns * (layer.weight.shape[0] // layer.groups) // LANES) * LANES


def scatter(layer: Conv, shape: Shape, source: np.ndarray) -> Scatter:
    """Lays out `layer`, whose input has the shape (C, H, W) and is kept in the order `source`: see `layouts.order`."""
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
    return Scatter(
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
    """Flat int16 weights of `Scatter`."""
    outputs, per_group, high, wide = layer.weight.shape
    (stride_h, stride_w), (dilation_h, dilation_w) = layer.stride, layer.dilation
    kernel = np.zeros((outputs, per_group, rows * stride_h, columns * stride_w), np.int16)
    kernel[:, :, : dilation_h * (high - 1) + 1 : dilation_h, : dilation_w * (wide - 1) + 1 : dilation_w] = layer.weight
    grouped = kernel.reshape(layer.groups, -1, per_group, rows, stride_h, columns, stride_w)[..., ::-1, :, ::-1, :]
    blocks = grouped.transpose(0, 2, 4, 6, 3, 5, 1)  # group, channel, phases, row, column, output channel
    padded = np.zeros((*blocks.shape[:5], row), np.int16)
    padded[..., : columns * blocks.shape[6]] = blocks.reshape(*blocks.shape[:5], -1)
    return aligned(padded.reshape(-1))


@dataclass(frozen=True, eq=False)
class Patterns:
    """A convolution from the output's side, several inputs at a time, as dense activity has it.

    Inputs are packed into bits, (groups, padded H, padded W, channels), a row filled up to bytes. What an output pixel
    sees of a row of the kernel is a window of W x channels bits (or, with dilation, one of channels bits for each
    weight); it is cut into pieces of `width` bits, and a table has the sum of the weights for each of the 2^width
    patterns of a piece. No pattern, 0, adds nothing and is skipped.

    table: (groups, tiles, pieces << width, TILE) int16; row 0 is 0. offsets: (pieces,) int64, bits from where an output
    pixel's view begins to each piece. high, wide: of the output. row_step, step, plane: bits from one row, pixel and
    group to the next one. places: (inputs / run,) int64; where each `run` of inputs begins in the padded bytes; size:
    how many of these there are.
    """

    table: np.ndarray
    offsets: np.ndarray
    width: int
    high: int
    wide: int
    row_step: int
    step: int
    plane: int
    places: np.ndarray
    run: int
    size: int

    @property
    def arguments(self) -> tuple:
        """Lists its fields in the order of `convolutions.run_patterns`."""
        return tuple(getattr(self, name) for name in self.__dataclass_fields__)


_TABLE = 24 << 10  # bytes of one tile's table that the nearest cache holds


def pieces(layer: Conv) -> tuple[int, int]:
    """Chooses (how many pieces an output pixel sees, bits of each): the widest whose table stays near, else 4 bits."""
    channels, high, wide = layer.weight.shape[1:]
    windows, bits = (1, wide * channels) if layer.dilation[1] == 1 or wide == 1 else (wide, channels)
    for width in (6, 5):
        count = high * windows * -(-bits // min(width, bits))
        if (count << min(width, bits)) * TILE * 2 <= _TABLE:
            return count, min(width, bits)
    return high * windows * -(-bits // min(4, bits)), min(4, bits)


def patterns(layer: Conv, shape: Shape, source: np.ndarray) -> Patterns:
    """Tabulates `layer`, whose input (C, H, W) is kept in the order `source`: see `layouts.order`."""
    channels, high, wide = layer.weight.shape[1:]
    count, width = pieces(layer)
    windows = 1 if layer.dilation[1] == 1 or wide == 1 else wide
    padded_h, padded_w = (size + 2 * pad for size, pad in zip(shape[1:], layer.padding, strict=True))
    row = -(-padded_w * channels // 8) * 8
    per_window = count // (high * windows)
    offsets = (
        (np.arange(high) * layer.dilation[0] * row)[:, None, None]
        + (np.arange(windows) * layer.dilation[1] * channels)[:, None]
        + np.arange(per_window) * width
    )
    places, run = _runs(layer, shape, source, row)
    return Patterns(
        _table(layer, windows, per_window, width),
        offsets.reshape(-1),
        width,
        layer.shape[1],
        layer.shape[2],
        layer.stride[0] * row,
        layer.stride[1] * channels,
        padded_h * row,
        places,
        run,
        layer.groups * padded_h * row,
    )


def _table(layer: Conv, windows: int, per_window: int, width: int) -> np.ndarray:
    """`Patterns.table`."""
    outputs, channels, high, _ = layer.weight.shape
    by_window = layer.weight.reshape(layer.groups, -1, channels, high, windows, layer.weight.shape[3] // windows)
    bits = by_window.transpose(0, 3, 4, 5, 2, 1).reshape(layer.groups, high * windows, -1, outputs // layer.groups)
    padded = np.zeros((*bits.shape[:2], per_window * width, bits.shape[3]), np.float32)
    padded[:, :, : bits.shape[2]] = bits
    chosen = (np.arange(1 << width)[:, None] >> np.arange(width) & 1).astype(np.float32)
    sums = chosen @ padded.reshape(layer.groups, -1, width, bits.shape[3])  # (groups, pieces, patterns, channels)
    tiles = -(-bits.shape[3] // TILE)
    table = np.zeros((layer.groups, sums.shape[1] << width, tiles * TILE), np.int16)
    table[:, :, : bits.shape[3]] = sums.reshape(layer.groups, -1, bits.shape[3])
    return aligned(table.reshape(layer.groups, -1, tiles, TILE).swapaxes(1, 2))


def _runs(layer: Conv, shape: Shape, source: np.ndarray, row: int) -> tuple[np.ndarray, int]:
    """`Patterns.places` and `Patterns.run`: the longest of some runs that stay together."""
    channels = layer.weight.shape[1]
    c, y, x = np.unravel_index(source, shape)
    line = c // channels * (shape[1] + 2 * layer.padding[0]) + y + layer.padding[0]
    places = line * row + (x + layer.padding[1]) * channels + c % channels
    for run in (shape[2] * channels, channels):
        if len(places) % run == 0:
            apart = np.diff(places.reshape(-1, run), axis=1)
            if (apart == 1).all():
                return np.ascontiguousarray(places[::run]), run
    return places, 1
