"""From the events of a recording to the cells of T time steps, in integer arithmetic only.

`docs/encodings.md` has the formulas; the C99 runtime follows the same ones, event by event.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import prod

import numpy as np

from snnkd import __version__
from snnkd.data.recordings import cache
from snnkd.data.recordings.collection import Recordings
from snnkd.data.recordings.recording import Recording
from snnkd.ir.event_encoding import EventEncoding

_MOST = 1 << 30  # bytes of a split's cells that are kept on disk


def encode(encoding: EventEncoding, recordings: Iterable[Recording]) -> np.ndarray:
    """Encodes N recordings as (N, T, C, H, W), uint8, or int16 where cells are signed."""
    cells = [encode_one(encoding, one) for one in recordings]
    if not cells:
        return np.zeros((0, encoding.steps, *encoding.shape), dtype=np.int16 if encoding.signed else np.uint8)
    return np.stack(cells)


def bits(encoding: EventEncoding, recordings: Recordings) -> np.ndarray | None:
    """Encodes scanned recordings once and for all: rows (N, bytes) of `unpacked`, mapped from the disk.

    None where the rows take more than _MOST bytes, or nobody has scanned the recordings.
    """
    size = -(-encoding.steps * prod(encoding.shape) * _bits_of(encoding) // 8)
    if recordings.digests is None or not 0 < len(recordings) * size <= _MOST:
        return None
    key = cache.key_of([__version__, recordings.sha256, json.dumps(encoding.to_json(), sort_keys=True)])

    def rows() -> np.ndarray:
        found = np.empty((len(recordings), size), np.uint8)
        for row, one in zip(found, recordings, strict=True):
            row[:] = _packed(encode_one(encoding, one) + _offset(encoding), _bits_of(encoding))
        return found

    return cache.kept(key, (len(recordings), size), rows)


def unpacked(encoding: EventEncoding, rows: np.ndarray) -> np.ndarray:
    """Makes of rows (N, bytes) what `encode` gives."""
    width, shape = _bits_of(encoding), (len(rows), encoding.steps, *encoding.shape)
    bits = np.unpackbits(rows, axis=1, count=prod(shape[1:]) * width)
    if width == 1:
        return bits.reshape(shape)
    flat = np.zeros((bits.size // width, 16), np.uint8)
    flat[:, 16 - width :] = bits.reshape(-1, width)
    values = np.packbits(flat, axis=1).view(">u2").reshape(shape)
    return values.astype(np.int16) - _offset(encoding) if encoding.signed else values.astype(np.uint8)


def _packed(values: np.ndarray, width: int) -> np.ndarray:
    """The bits of non-negative integers below 2^width, at most 16, as whole bytes."""
    octets = values.astype(">u2").reshape(-1, 1).view(np.uint8)
    return np.packbits(np.unpackbits(octets, axis=1)[:, 16 - width :])


def _offset(encoding: EventEncoding) -> np.int16:
    """What is added to a cell so that none is negative."""
    return np.int16(encoding.largest if encoding.signed else 0)


def _bits_of(encoding: EventEncoding) -> int:
    """Bits of a cell that was made non-negative."""
    return (encoding.bits if encoding.cell == "count" else 1) + encoding.signed


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
