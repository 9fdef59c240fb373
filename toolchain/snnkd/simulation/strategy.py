"""Whether a layer runs by events or as matrix products: what is possible, and which is estimated to be quicker."""

from __future__ import annotations

from math import prod

import numpy as np

from snnkd.network import Conv, Dense
from snnkd.simulation import layouts, products
from snnkd.simulation.kernels import LANES, ROW_LIMIT

_SAMPLED = 16  # samples in which events are counted
_INT16 = 32767
_LARGEST_LAYOUT = 1 << 25  # elements of a convolution's blocks, which a wide dilation fills with zeros

# Nanoseconds on one core as `benchmarks/simulation.py` measured them; only their ratios matter.
_PER_EVENT, _PER_VECTOR = 2.0, 0.4  # an event, and LANES sums that it adds to
_PER_COLUMN, _PER_PRODUCT = 1.0, 0.03  # an element of the unfolded input, a multiplication


def takes_events(layer: Dense | Conv, events: np.ndarray, bound: int) -> bool:
    """Whether to run `layer` by events (N, D, *input shape), whose sums are at most `bound`."""
    return possible(layer, events, bound) and pays(layer, events)


def possible(layer: Dense | Conv, events: np.ndarray, bound: int) -> bool:
    """Whether the kernels are exact: events 0 or 1, weights that fit 16 bits, sums that do not wrap."""
    if events.dtype != np.uint8 or int(events.max()) > 1 or not products.fits(layer, bound):
        return False
    largest = max(-int(layer.weight.min()), int(layer.weight.max()))
    if isinstance(layer, Dense):
        return largest <= ROW_LIMIT
    rows, _, row = layouts.block(layer)
    return largest <= _INT16 and events.shape[2] * prod(layer.stride) * rows * row <= _LARGEST_LAYOUT


def pays(layer: Dense | Conv, events: np.ndarray) -> bool:
    """Whether events are the cheaper strategy, judged by how many there are in a few samples."""
    some = events[:: max(1, len(events) // _SAMPLED)]
    active = np.count_nonzero(some) / some.size * prod(events.shape[2:])
    if isinstance(layer, Dense):
        vectors = layer.weight.shape[0] / LANES
        return active * (_PER_EVENT + _PER_VECTOR * vectors) < _PER_PRODUCT * layer.weight.size
    rows, _, row = layouts.block(layer)
    pixels = prod(layer.shape[1:])
    columns = events.shape[2] * prod(layer.weight.shape[2:]) * pixels
    dense = _PER_COLUMN * columns + _PER_PRODUCT * layer.weight.size * pixels
    return active * (_PER_EVENT + _PER_VECTOR * rows * row / LANES) < dense
