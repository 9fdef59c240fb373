"""What a layer reads."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from snnkd.ir.network import Dense, IntNet


@dataclass(frozen=True, eq=False)
class Source:
    """What a layer reads: events (N, D, inputs), contiguous, D = T or 1 where all steps are the same; images, the same
    as (N, D, *shape); order, (inputs,), the place in `shape` of each of `events`; largest, magnitude of an event."""

    events: np.ndarray
    images: np.ndarray
    order: np.ndarray
    largest: int

    @classmethod
    def of_input(cls, net: IntNet, events: np.ndarray) -> Source:
        distinct = events[:, :1] if events.strides[1] == 0 else events
        images = np.require(distinct, requirements=["C", "W"])  # the one type that kernels take
        flat = images.reshape(*images.shape[:2], -1)
        binary = images.dtype == np.uint8 and net.message_bits == 0
        return cls(flat, images, np.arange(flat.shape[2]), 1 if binary else largest_of(flat))


def rearranged(layer: Dense, order: np.ndarray) -> Dense:
    """Returns `layer` with its inputs as they are in memory."""
    delay = None if layer.delay is None else layer.delay[:, order]
    return replace(layer, weight=layer.weight[:, order], delay=delay)


def largest_of(events: np.ndarray) -> int:
    """Gives the largest magnitude of an event, at least 1."""
    return max(-int(events.min()), int(events.max()), 1)
