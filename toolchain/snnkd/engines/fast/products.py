"""The dense strategy: sums as matrix products, in a float type where these are exact, and what never fits 32 bits.

For many events at a time, graded input, and weights so large that sums wrap.
"""

from __future__ import annotations

from math import prod

import numpy as np

from snnkd.base.errors import FormatError
from snnkd.engines.fast.kernels import layers
from snnkd.engines.fast.threads import spread
from snnkd.ir.arithmetic import STATE_SHIFT, shift, wrap24, wrap32
from snnkd.ir.network import Conv, Dense
from snnkd.ir.network import largest_sum as exact_bound

_COLUMNS = 1 << 22  # elements of an unfolded input at a time: 16 MB


def largest_sum(layer: Dense | Conv, largest_event: int) -> int:
    """Bounds |sum of weight * s|, all partial sums included. Raises FormatError where 64 bits are not enough."""
    bound = largest_weight(layer) * prod(layer.weight.shape[1:]) * largest_event
    if bound < 1 << 23 and fits(layer, bound):  # quicker, and often enough
        return bound
    bound = exact_bound(layer, largest_event)
    if bound >= 1 << 63:
        raise FormatError(f"weights and input: sums of up to {bound} do not fit 64 bits")
    return bound


def largest_weight(layer: Dense | Conv) -> int:
    """Gives the largest magnitude of a weight."""
    return max(-int(layer.weight.min()), int(layer.weight.max()))


def fits(layer: Dense | Conv, bound: int) -> bool:
    """Tells whether sums of up to `bound` neither wrap nor lose a bit of a << 6."""
    if layer.kind == "conv":
        return bound < 1 << 23
    return bound << min(max(layer.weight_exp, 0), 64) < 1 << 25


def sums(layer: Dense | Conv, events: np.ndarray, bound: int) -> tuple[np.ndarray, int]:
    """Computes (a, overflows): a (N, D, neurons) int32, in `layouts.order`, so that a << 6 is the activation.

    events: (N, D, inputs) for a dense layer, (N, D, C, H, W) else. bound: as from `largest_sum`. overflows: how many
    sums or shifted sums wrapped, one count per neuron, sample and distinct step. Not for layers with delays.
    """
    total = _total(layer, events, bound)
    if fits(layer, bound):
        exact = total.astype(np.int32)
        return (shift(exact, layer.weight_exp) if layer.kind == "dense" and layer.weight_exp else exact), 0
    exact = total.astype(np.int64)
    if layer.kind == "dense":
        return in_32_bits(shift(wrap32(exact), layer.weight_exp))
    wrapped = wrap24(exact)
    a, overflows = in_32_bits(wrapped)
    return a, overflows + int(np.count_nonzero(wrapped != exact))


def exact_sums(layer: Dense | Conv, events: np.ndarray, bound: int) -> tuple[np.ndarray, int]:
    """Computes (a, overflows) as `sums` does, but a as it is, int64, and overflows of the sums alone."""
    exact = _total(layer, events, bound).astype(np.int64)
    wrapped = wrap24(exact) if layer.kind == "conv" else wrap32(exact)
    a = shift(wrapped, layer.weight_exp) if layer.kind == "dense" else wrapped
    return a, int(np.count_nonzero(wrapped != exact))


def delayed_sums(layer: Dense, events: np.ndarray) -> tuple[np.ndarray, int]:
    """Computes (a, overflows) as `exact_sums` does, of a layer with delays and events (N, T, inputs) of all steps."""
    assert layer.delay is not None
    waits, slot = np.unique(layer.delay, return_inverse=True)
    slot = np.ascontiguousarray(slot.reshape(layer.weight.shape).T)
    weight = np.ascontiguousarray(layer.weight.T, dtype=np.int64)
    every = np.ascontiguousarray(events, dtype=np.int32)
    sums = np.zeros((*events.shape[:2], layer.weight.shape[0]), np.int64)
    exponent = max(-63, min(63, layer.weight_exp))
    arguments = (every, weight, slot, waits.astype(np.int64), exponent, sums)
    return sums, spread(layers.delayed_sums, len(events), arguments)[0]


def _total(layer: Dense | Conv, events: np.ndarray, bound: int) -> np.ndarray:
    """Sums (N, D, neurons), in a type in which they are exact."""
    dtype = np.float32 if bound < 1 << 24 else np.float64 if bound < 1 << 53 else np.int64
    flat = events.reshape(-1, *events.shape[2:])
    total = _convolve(layer, flat, dtype) if layer.kind == "conv" else _multiply(layer, flat, dtype)
    return total.reshape(*events.shape[:2], -1)


def in_32_bits(a: np.ndarray) -> tuple[np.ndarray, int]:
    """Returns the int32 that give the same activation, a << 6 wrapped to 32 bits, and how many of them changed."""
    aligned = a << STATE_SHIFT
    activation = wrap32(aligned)
    return (activation >> STATE_SHIFT).astype(np.int32), int(np.count_nonzero(aligned != activation))


def _multiply(layer: Dense, events: np.ndarray, dtype: type) -> np.ndarray:
    return events.reshape(len(events), -1).astype(dtype) @ layer.weight.astype(dtype).T


def _convolve(layer: Conv, events: np.ndarray, dtype: type) -> np.ndarray:
    """(M, neurons) from events (M, C, H, W), one matrix product over each group's unfolded input."""
    outputs, per_group, high, wide = layer.weight.shape
    pixels = layer.shape[1] * layer.shape[2]
    kernels = layer.weight.reshape(layer.groups, -1, per_group * high * wide).astype(dtype)
    pad = [(0, 0), (0, 0), *((padding, padding) for padding in layer.padding)]
    total = np.empty((len(events), layer.groups, pixels, outputs // layer.groups), dtype)
    count = max(1, _COLUMNS // (events.shape[1] * high * wide * pixels))
    for start in range(0, len(events), count):
        part = np.pad(events[start : start + count], pad)
        columns = _unfold(layer, part, dtype).reshape(layer.groups, kernels.shape[2], -1)
        product = (kernels @ columns).reshape(layer.groups, -1, len(part), pixels)
        total[start : start + count] = product.transpose(2, 0, 3, 1)
    return total


def _unfold(layer: Conv, padded: np.ndarray, dtype: type) -> np.ndarray:
    """(C, kH, kW, M, H', W'): what each weight sees of padded events (M, C, H, W)."""
    high, wide = layer.weight.shape[2:]
    channels = padded.swapaxes(0, 1)
    columns = np.empty((len(channels), high, wide, len(padded), *layer.shape[1:]), dtype)
    for i in range(high):
        for j in range(wide):
            columns[:, i, j] = channels[(..., *layer.seen_by(i, j))]
    return columns
