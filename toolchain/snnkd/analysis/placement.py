"""On which cores of a chip would a network's neurons lie? Blocks of each layer, counted before anything runs.

The rules are those of the compilers whose results are public; `docs/fit.md` has them with their sources, and says how
far they reproduce what those compilers did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from itertools import pairwise
from math import ceil, prod
from typing import Any

import numpy as np

from snnkd.ir.network import Conv, IntNet, Layer, Shape
from snnkd.targets import Limits, Target

Extent = tuple[int, int, int]  # channels, rows, columns


@dataclass(frozen=True)
class Block:
    """The neurons of one layer on one core: those at these channels, rows and columns of its output (C, H, W), which
    has one row and column for a dense layer."""

    layer: int
    channels: range
    rows: range
    columns: range

    @property
    def extent(self) -> Extent:
        """Gives its size, (channels, rows, columns)."""
        return len(self.channels), len(self.rows), len(self.columns)

    @property
    def neurons(self) -> int:
        """Counts its neurons."""
        return prod(self.extent)


@dataclass(frozen=True)
class Core:
    """What one core holds. utilization: the largest share of a limit as used in practice; binds: that limit.

    synapse_bytes: of its weights as the chip packs them, a convolution's kernel once. input_axons: sources that send
    to it; output_axons: pairs of a source on it and a core that reads it. A source is a neuron, or a pixel with all
    its channels where a convolution reads.
    """

    core: int
    layer: str
    neurons: int
    synapse_bytes: int
    input_axons: int
    output_axons: int
    utilization: float
    binds: str


@dataclass(frozen=True)
class Placement:
    """A network on cores. chips: as many as the cores need. lower_bound: the fewest cores that its neurons and weights
    could need, all layers packed together. binds: the limit that made most cores."""

    cores: int
    chips: int
    lower_bound: int
    binds: str
    by_core: list[Core]

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data."""
        return asdict(self)


NEEDED = ("cores", "neurons_per_core", "synapse_memory_per_core", "stored_bits_per_weight")


def blocks(net: IntNet, target: Target) -> list[Block] | None:
    """Cuts the layers of `net` into blocks for the cores of `target`, in the layers' order; None where the target does
    not have the limits NEEDED.

    What does not fit even alone, one neuron, is a block all the same.
    """
    if not set(NEEDED) <= target.limits.keys():
        return None
    found: list[Block] = []
    for number, (_, shape, layer) in enumerate(net.inputs()):
        found += _cut(number, layer, shape, target)
    return found


def place(net: IntNet, target: Target, lower_bound: int) -> Placement | None:
    """Places `net` on the cores of `target`, one block a core; None where its limits do not say enough."""
    placed = blocks(net, target)
    if placed is None:
        return None
    read = [(layer, shape) for _, shape, layer in net.inputs()]
    sizes = {(block.layer, block.extent) for block in placed}  # far fewer than blocks
    bits = {(number, size): synapse_bits(*read[number], size, target) for number, size in sizes}
    by_core = []
    for number, (block, leaving) in enumerate(zip(placed, _output_axons(net, placed), strict=True)):
        used, sources = bits[block.layer, block.extent], input_axons(*read[block.layer], block)
        axons = {"input_axons_per_core": sources, "output_axons_per_core": leaving}
        shares = _shares(block.neurons, used, target.limits)
        shares |= {name: count / target.limits[name].typical for name, count in axons.items() if name in target.limits}
        binds = max(shares, key=lambda limit: shares[limit])
        sizes_of = (block.neurons, ceil(used / 8), sources, leaving)
        by_core.append(Core(number, net.names[block.layer], *sizes_of, round(shares[binds], 4), binds))
    count = [core.binds for core in by_core]
    chips = ceil(len(by_core) / target.limits["cores"].high)
    return Placement(len(by_core), chips, lower_bound, max(sorted(set(count)), key=count.count), by_core)


def _cut(number: int, layer: Layer, shape: Shape, target: Target) -> Iterator[Block]:
    """Halves columns, then rows, then the channels of the blocks of one layer until one fits on a core."""
    whole = extent(layer.shape)
    size = list(whole)
    for axis in (2, 1):
        while size[axis] > 1 and _largest(layer, shape, size, target) > 1:
            size[axis] = 1 << (size[axis] - 1).bit_length() - 1  # the next smaller power of two
    parts = 1
    while size[0] > 1 and (share := _largest(layer, shape, size, target)) > 1:
        parts *= ceil(share)
        size[0] = ceil(whole[0] / parts)
    for channels in _even(whole[0], max(parts, ceil(whole[0] / size[0]))):
        for rows in _strips(whole[1], size[1]):
            for columns in _strips(whole[2], size[2]):
                yield Block(number, channels, rows, columns)


def _largest(layer: Layer, shape: Shape, size: list[int], target: Target) -> float:
    channels, rows, columns = size
    bits = synapse_bits(layer, shape, (channels, rows, columns), target)
    return max(_shares(prod(size), bits, target.limits).values())


def _strips(total: int, size: int) -> Iterator[range]:
    for first in range(0, total, size):
        yield range(first, min(first + size, total))


def _even(total: int, parts: int) -> Iterator[range]:
    parts = min(parts, total)
    edges = [total * part // parts for part in range(parts + 1)]
    for first, last in pairwise(edges):
        yield range(first, last)


def extent(shape: Shape) -> Extent:
    """Gives a layer's shape as (channels, rows, columns)."""
    channels, *rest = shape
    rows, columns = rest or (1, 1)
    return channels, rows, columns


def _shares(neurons: int, bits: int, limits: Limits) -> dict[str, float]:
    """Which share of each limit a block takes with so many neurons and bits of weights; limits as they are used in
    practice."""
    used = bits / 8
    shares = {
        "neurons_per_core": neurons / limits["neurons_per_core"].typical,
        "synapse_memory_per_core": used / limits["synapse_memory_per_core"].typical,
    }
    if {"memory_per_core", "state_per_neuron"} <= limits.keys():
        state = neurons * limits["state_per_neuron"].typical
        shares["memory_per_core"] = (used + state) / limits["memory_per_core"].typical
    return shares


def synapse_bits(layer: Layer, shape: Shape, size: Extent, target: Target) -> int:
    """Counts the bits of the weights into a block of this size, as `target` packs them.

    A dense layer keeps, for each neuron that it reads, the weights to the block's neurons, of `stored_bits_per_weight`
    each (`typical`); a convolution each weight of its kernel once, at its own width. Delays take their bits as well.
    """
    if layer.kind == "input":
        return 0
    if layer.kind == "dense":
        delay = layer.longest_delay.bit_length()
        return prod(shape) * _packed(size[0], ceil(target.limits["stored_bits_per_weight"].typical) + delay, target)
    per_group = len(layer.weight) // layer.groups
    groups = ceil(size[0] / per_group)
    taps = groups * prod(layer.weight.shape[1:])
    return taps * _packed(min(size[0], per_group), weight_bits(layer.weight), target)


def weight_bits(weight: np.ndarray) -> int:
    """Returns the bits of a synapse that holds these integer weights, of any shape.

    A power of two that all weights share costs none, and a sign only where both occur (Lava's sign modes): even values
    in [-256, 254] need 8.
    """
    step = common_step(weight)
    low, high = int(weight.min(initial=0)) // step, int(weight.max(initial=0)) // step
    if low == high == 0:
        return 1
    return max(high.bit_length(), (-low - 1).bit_length()) + 1 if low < 0 < high else max(-low, high).bit_length()


def common_step(weight: np.ndarray) -> int:
    """Returns the largest power of two that divides all of these integer weights, 1 where all are 0."""
    common = int(np.bitwise_or.reduce(np.abs(weight.astype(np.int64)), axis=None, initial=0))
    return common & -common or 1


def _packed(weights: int, bits: int, target: Target) -> int:
    """Bits of the weights that one source has on a core: in blocks with a header, each in whole words."""
    packing = target.packing
    if packing is None:
        return weights * bits
    full, rest = divmod(weights, packing.weights)

    def words(count: int) -> int:
        return ceil((count * bits + packing.header_bits) / packing.word_bits) if count else 0

    return (full * words(packing.weights) + words(rest)) * packing.word_bits


def input_axons(layer: Layer, shape: Shape, block: Block) -> int:
    """Counts the sources that send to a block: neurons, of a convolution pixels."""
    if layer.kind == "input":
        return 0
    if layer.kind == "dense":
        return prod(shape)
    rows, columns = reached(layer, shape)
    return int(rows[:, block.rows].any(axis=1).sum() * columns[:, block.columns].any(axis=1).sum())


def reached(layer: Conv, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Counts the connections of a convolution along each side: (H, H of the output) and (W, W of the output) int64,
    how many rows or columns of the kernel lead from one of the input to one of the output."""
    found = []
    for axis in (0, 1):
        size, out = shape[1 + axis], layer.shape[1 + axis]
        counts = np.zeros((size, out), np.int64)
        for tap in range(layer.weight.shape[2 + axis]):
            source = np.arange(out) * layer.stride[axis] - layer.padding[axis] + tap * layer.dilation[axis]
            inside = (source >= 0) & (source < size)
            counts[source[inside], np.flatnonzero(inside)] += 1
        found.append(counts)
    return found[0], found[1]


def _output_axons(net: IntNet, placed: list[Block]) -> list[int]:
    """For each block, pairs of a source in it and a core that reads that source."""
    readers = [[block for block in placed if block.layer == number] for number in range(1, len(net.layers))]
    counting = [
        _pixels_read(layer, shape) if layer.kind == "conv" else _neurons_read
        for _, shape, layer in list(net.inputs())[1:]
    ]
    return [
        sum(counting[block.layer](block, reader) for reader in readers[block.layer])
        if block.layer < len(readers)
        else 0
        for block in placed
    ]


def _neurons_read(block: Block, reader: Block) -> int:
    return block.neurons


def _pixels_read(layer: Conv, shape: Shape) -> Callable[[Block, Block], int]:
    sides = reached(layer, shape)

    @cache
    def along(side: int, of: range, by: range) -> int:
        return int(sides[side][of.start : of.stop, by.start : by.stop].any(axis=1).sum())

    return lambda block, reader: along(0, block.rows, reader.rows) * along(1, block.columns, reader.columns)
