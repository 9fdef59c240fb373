"""Which strategy runs a layer: what is possible, and what is estimated to be quicker at the activity that there is."""

from __future__ import annotations

from math import ceil, prod

import numpy as np

from snnkd.engines.fast import conv_layouts, products
from snnkd.engines.fast.kernels.sizes import GROUP, LANES, ROW_LIMIT, TILE
from snnkd.ir.network import Conv, Dense

_SAMPLED = 16  # samples in which events are counted
_INT16 = 32767
_LARGEST_BLOCKS = 1 << 26  # elements

# Nanoseconds on one core, measured on an AMD EPYC of 2021; only their ratios matter.
_EVENT, _VECTOR = 2.0, 0.6  # scattering: an event, and LANES sums that it adds to
_SPLIT_VECTOR = 1.5  # where sums of LANES channels do not begin at every pixel
_PIECE, _ADDITION = 1.0, 4.5  # patterns: to look one up, and to add GROUP rows of a tile
_COPY = 1.5  # of one input, where channels do not come last in memory


def by_events(layer: Dense | Conv, events: np.ndarray, bound: int) -> bool:
    """Tells whether a kernel is exact for events 0 or 1 and sums up to `bound`: 16 bits hold weights, sums never wrap.

    A dense layer then takes it at any activity: quicker than a matrix product below 80 %, at most a tenth slower above.
    """
    if events.dtype != np.uint8 or not products.fits(layer, bound):
        return False
    if layer.kind == "dense":
        return products.largest_weight(layer) <= ROW_LIMIT
    return _patterns_fit(layer) or (products.largest_weight(layer) <= _INT16 and _blocks_fit(layer))


def follows_messages(layer: Dense | Conv, events: np.ndarray, bound: int) -> bool:
    """Tells whether a kernel adds the weights of each message, times it: where 32 bits hold sums of up to `bound`."""
    if layer.kind == "dense":
        return bound << min(max(layer.weight_exp, 0), 64) < 1 << 31
    return bound < 1 << 31 and products.largest_weight(layer) <= _INT16 and _blocks_fit(layer)


def scatters(layer: Conv, events: np.ndarray) -> bool:
    """Tells whether events (N, D, C, H, W), for which `by_events` holds, are scattered; else patterns are looked up."""
    return not _patterns_fit(layer) or (_blocks_fit(layer) and pays_to_scatter(layer, events))


def _patterns_fit(layer: Conv) -> bool:
    _, width = conv_layouts.pieces(layer)
    return products.largest_weight(layer) * width <= ROW_LIMIT


def _blocks_fit(layer: Conv) -> bool:
    """Dilation fills blocks with zeros: a wide one would need any amount of memory."""
    rows, _, row = conv_layouts.block(layer)
    return layer.groups * layer.weight.shape[1] * prod(layer.stride) * rows * row <= _LARGEST_BLOCKS


def pays_to_scatter(layer: Conv, events: np.ndarray) -> bool:
    """Estimates whether it is quicker to add what each event sends than to look up what each output pixel sees.

    events: (N, D, C, H, W), of which some samples are counted.
    """
    sampled = events[:: max(1, len(events) // _SAMPLED)]
    active = np.count_nonzero(sampled) / sampled.size
    inputs, channels = prod(events.shape[2:]), layer.weight.shape[0] // layer.groups
    rows, _, row = conv_layouts.block(layer)
    vector = _SPLIT_VECTOR if channels % LANES else _VECTOR
    scattering = active * inputs * (_EVENT + vector * rows * row / LANES)
    pieces, width = conv_layouts.pieces(layer)
    additions = ceil(pieces * (1 - (1 - active) ** width) / GROUP) * ceil(channels / TILE)
    looking_up = layer.groups * prod(layer.shape[1:]) * (_PIECE * pieces + _ADDITION * additions)
    if layer.weight.shape[1] > 1 and events.strides[2] > 1:
        looking_up += _COPY * inputs
    return scattering < looking_up
