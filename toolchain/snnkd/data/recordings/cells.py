"""From the events of a recording to the cells of T time steps, in integer arithmetic only.

`docs/encodings.md` has the formulas; the C99 runtime follows the same ones, event by event.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

import numpy as np

from snnkd.data.recordings.recording import Recording
from snnkd.ir.event_encoding import EventEncoding


def encode(encoding: EventEncoding, recordings: Iterable[Recording]) -> np.ndarray:
    """Encodes N recordings as (N, T, C, H, W), uint8, or int16 where cells are signed."""
    cells = [encode_one(encoding, one) for one in recordings]
    if not cells:
        return np.zeros((0, encoding.steps, *encoding.shape), dtype=np.int16 if encoding.signed else np.uint8)
    return np.stack(cells)


def encode_one(encoding: EventEncoding, one: Recording) -> np.ndarray:
    """Encodes a recording as (T, C, H, W), of the type that `encode` has."""
    top, left, height, width = encoding.window
    # Differences of unsigned numbers: what lies above or left of the window becomes large.
    row, column = one.y - np.uint16(top), one.x - np.uint16(left)
    seen = (row < height) & (column < width)
    if encoding.window_us is not None:
        step = np.maximum.accumulate(one.t) // np.uint32(encoding.window_us)
    else:
        assert encoding.count is not None
        step = (np.cumsum(seen) - 1) // encoding.count
    kept = seen & (step < encoding.steps)
    channels, rows, columns = encoding.shape
    on, pool = one.p[kept], np.int64(encoding.pool)
    place = step[kept].astype(np.int64) * channels
    if encoding.polarity == "channels":
        place += on
    place = (place * rows + row[kept] // pool) * columns + column[kept] // pool
    return _cells(encoding, place, on).reshape(encoding.steps, *encoding.shape)


def _cells(encoding: EventEncoding, place: np.ndarray, on: np.ndarray) -> np.ndarray:
    """(cells,) of the places and polarities (events,) of all events that count."""
    size, largest = encoding.steps * prod(encoding.shape), encoding.largest
    if encoding.cell == "binary" and not encoding.signed:
        cells = np.zeros(size, dtype=np.uint8)
        cells[place] = 1
        return cells
    total = np.bincount(place, minlength=size)
    if not encoding.signed:
        return np.minimum(total, largest).astype(np.uint8)
    return np.clip(2 * np.bincount(place[on > 0], minlength=size) - total, -largest, largest).astype(np.int16)
