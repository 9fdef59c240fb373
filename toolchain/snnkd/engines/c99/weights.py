"""Weights as the C99 runtime stores them: by input, in as few bits as hold them, with the shifts of their sums."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from snnkd.ir.arithmetic import STATE_SHIFT
from snnkd.ir.network import Conv, Dense, Shape

_WORD = 32  # bits of a sum; a weight that is shifted beyond them adds nothing


@dataclass(frozen=True, eq=False)
class Stored:
    """Synaptic weights of a layer, and how their sum S becomes a * 64 in 32 bits: S << left, 30 bits of it of a
    convolution; where right is not 0, ((S << left) >> right) << 6. Of sigma-delta neurons, it becomes a: 24 bits of a
    convolution, and nothing is << 6.

    values: (rows, columns) int32, one row for each input (dense) or for each input channel, kernel row and kernel
    column (convolution), outputs of a group as columns. bits: 4, 8, 16 or 32 of a value. delay_left, delay_right:
    where the latter is not 0, (S << delay_left) >> delay_right of the sum of each delay is what is sent.
    """

    values: np.ndarray
    bits: int
    left: int
    right: int = 0
    delay_left: int = 0
    delay_right: int = 0

    @property
    def row(self) -> int:
        """Counts the elements of the array that a row takes; an element of the array of 4 bit weights holds two."""
        return (self.values.shape[1] + 1) // 2 if self.bits == 4 else self.values.shape[1]

    @property
    def bytes(self) -> int:
        """Counts the bytes of the stored array."""
        return len(self.values) * self.row * max(8, self.bits) // 8

    def elements(self) -> np.ndarray:
        """Lays out the stored array, flat; two weights of 4 bits, each + 8, are a byte, the first in its low bits."""
        if self.bits != 4:
            return self.values.reshape(-1)
        padded = np.pad(self.values, ((0, 0), (0, self.row * 2 - self.values.shape[1]))) + 8
        return (padded[:, 0::2] | padded[:, 1::2] << 4).reshape(-1)


def stored(layer: Dense | Conv, shape: Shape) -> Stored:
    """Stores the weights of `layer`, which reads a (C, H, W) or (features,) `shape`, with its inputs channels last."""
    rows, power = _without_common_power(_rows(layer, shape))
    aligned = STATE_SHIFT if layer.neuron.kind == "cuba" else 0
    if layer.kind == "conv":
        # The 24 bits to which a wraps are 30 of a * 64.
        rows, left = _within_word(rows, power + aligned)
        return Stored(rows, _bits(rows), left)
    if layer.weight_exp >= 0:
        rows, left = _within_word(rows, power + layer.weight_exp + aligned)
        return Stored(rows, _bits(rows), left)
    right = min(-layer.weight_exp, _WORD - 1)
    if layer.delay is None:
        return Stored(rows, _bits(rows), power, right)
    return Stored(rows, _bits(rows), aligned, delay_left=power, delay_right=right)


def _rows(layer: Dense | Conv, shape: Shape) -> np.ndarray:
    """(rows, columns) as `Stored.values` has them."""
    weight = layer.weight
    if layer.kind == "conv":
        grouped = weight.reshape(layer.groups, -1, *weight.shape[1:])
        return grouped.transpose(0, 2, 3, 4, 1).reshape(-1, grouped.shape[1])
    return by_input(weight, shape)


def channels_last(values: np.ndarray, leading: int) -> np.ndarray:
    """Views (..., C, H, W) as (..., H, W, C), behind `leading` dimensions that stay; (..., features) as it is."""
    return np.moveaxis(values, leading, -1) if values.ndim == leading + 3 else values


def by_input(synapses: np.ndarray, shape: Shape) -> np.ndarray:
    """Turns (O, I), whose inputs are flattened as `shape`, into (I, O) with inputs channels last."""
    if len(shape) == 3:
        synapses = channels_last(synapses.reshape(-1, *shape), 1).reshape(len(synapses), prod(shape))
    return np.ascontiguousarray(synapses.T)


def _without_common_power(weight: np.ndarray) -> tuple[np.ndarray, int]:
    """(values, power): weight = values << power, with the largest power that all of them share; 0 where all are 0."""
    common = int(np.bitwise_or.reduce(np.abs(weight.astype(np.int64)), axis=None))
    power = (common & -common).bit_length() - 1 if common else 0
    return weight >> power, power


def _within_word(weight: np.ndarray, left: int) -> tuple[np.ndarray, int]:
    return (weight, left) if left < _WORD else (np.zeros_like(weight), 0)


def _bits(weight: np.ndarray) -> int:
    """4 bits only where that takes less memory than 8: not in rows of one weight."""
    low, high = int(weight.min(initial=0)), int(weight.max(initial=0))
    needed = max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0) + 1
    widths = (4, 8, 16, 32) if weight.shape[1] > 1 else (8, 16, 32)
    return next(bits for bits in widths if needed <= bits)
