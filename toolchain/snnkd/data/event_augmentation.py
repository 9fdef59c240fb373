"""Augmentation of recordings: variants that are moved, mirrored, thinned out and shaken in time.

As with images, what becomes of a recording depends on (seed, its index, the variant's number) alone, and what becomes
of one of its events on its number in the recording too.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from snnkd.base.hashing import hash64, mix
from snnkd.data import augmentation
from snnkd.data.recordings.collection import Recordings
from snnkd.data.recordings.recording import Recording
from snnkd.ir.event_encoding import TIME_LIMIT, Sensor


def variants(
    recordings: Recordings,
    indices: np.ndarray,
    number: int,
    *,
    shift: int,
    flip: bool,
    drop: float,
    jitter_us: int,
    seed: int,
) -> Iterator[Recording]:
    """Yields variant `number` of each recording; variant 0 is the original.

    indices: (N,) position of each recording in its split. It is mirrored and moved as images are
    (`augmentation.moves`), and what leaves the sensor is gone. With h = hash64(seed, index, number, k) of its k-th
    event: the event is dropped where h[0:32] < round(drop * 2^32), else moved by (h[32:64] * (2 jitter_us + 1) >> 32)
    - jitter_us microseconds, but not before the start. Events are in the order of their times then.
    """
    down, right, mirrored = augmentation.moves(indices, number, shift=shift, flip=flip, seed=seed)
    for place, one in enumerate(recordings):
        if number == 0:
            yield one
            continue
        moved = _moved(one, recordings.sensor, int(down[place]), int(right[place]), bool(mirrored[place]))
        yield _thinned(moved, hash64(seed, int(indices[place]), number), drop, jitter_us)


def _moved(one: Recording, sensor: Sensor, down: int, right: int, mirror: bool) -> Recording:
    height, width = sensor
    x, y = one.x.astype(np.int32), one.y.astype(np.int32) + down
    x = (width - 1 - x if mirror else x) + right
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return Recording(one.t, x.astype(np.uint16), y.astype(np.uint16), one.p).take(inside)


def _thinned(one: Recording, word: np.ndarray, drop: float, jitter_us: int) -> Recording:
    if not (drop or jitter_us):
        return one
    low_word = np.uint64(0xFFFFFFFF)
    words = mix(word ^ np.arange(len(one), dtype=np.uint64))
    kept = (words & low_word) >= np.uint64(round(drop * (1 << 32)))
    later = (words >> np.uint64(32)).astype(np.int64) * (2 * jitter_us + 1) >> 32
    times = np.clip(one.t.astype(np.int64) + later - jitter_us, 0, TIME_LIMIT - 1).astype(np.uint32)
    shaken = Recording(times, one.x, one.y, one.p).take(kept)
    return shaken.take(np.argsort(shaken.t, kind="stable"))
