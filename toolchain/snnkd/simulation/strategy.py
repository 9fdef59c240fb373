"""Which strategy runs a layer: what is possible, and what is estimated to be quicker at the activity that there is."""

from __future__ import annotations

from math import prod

import numpy as np

from snnkd.network import Conv, Dense
from snnkd.simulation import conv_layouts, products
from snnkd.simulation.vectors import GROUP, LANES, ROW_LIMIT, TILE

_SAMPLED = 16  # samples in which events are counted
_INT16 = 32767

# Nanoseconds on one core, measured on an AMD EPYC of 2021; only their ratios matter.
_EVENT, _VECTOR = 1.0, 0.9  # scattering: an event, and LANES sums that it adds to
_PIECE, _GROUP_OF_ROWS = 1.0, 2.5  # patterns: to look one up, and to add GROUP rows of a tile


def by_events(layer: Dense | Conv, events: np.ndarray, bound: int) -> bool:
    """Whether the kernels are exact for sums of up to `bound`: weights fit 16 bits, sums do not wrap."""
    if events.dtype != np.uint8 or not products.fits(layer, bound):
        return False
    largest = max(-int(layer.weight.min()), int(layer.weight.max()))
    return largest <= (ROW_LIMIT if isinstance(layer, Dense) else _INT16)


def scatters(layer: Conv, events: np.ndarray) -> bool:
    """Whether a convolution of events (N, D, C, H, W) scatters them, or else looks up patterns of them."""
    count, width = conv_layouts.pieces(layer)
    if int(np.abs(layer.weight).max()) * width > ROW_LIMIT:
        return True
    some = events[:: max(1, len(events) // _SAMPLED)]
    active = np.count_nonzero(some) / some.size
    rows, _, row = conv_layouts.block(layer)
    scattering = active * prod(events.shape[2:]) * (_EVENT + _VECTOR * rows * row / LANES)
    groups_of_rows = np.ceil(count * (1 - (1 - active) ** width) / GROUP)
    tiles = np.ceil(layer.shape[0] / layer.groups / TILE)
    looking_up = layer.groups * prod(layer.shape[1:]) * (_PIECE * count + _GROUP_OF_ROWS * groups_of_rows * tiles)
    return scattering < looking_up
