"""Corrupted recordings: what an event camera adds to a scene, in integer arithmetic, the same events on every machine.

As with images (`corruption`), what is drawn depends on (seed, corruption, recording, number of the event) alone and not
on the severity: a severity is the noise of the one before it, and more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from snnkd.base.errors import RecipeError
from snnkd.base.hashing import hash64, mix
from snnkd.data.corruption import SEVERITIES
from snnkd.data.recordings.collection import Recordings, Source
from snnkd.data.recordings.recording import Recording
from snnkd.ir.event_encoding import Sensor

Add = Callable[[Recording, Sensor, int, np.ndarray], Recording]


@dataclass(frozen=True)
class EventCorruption:
    """What is done to recordings, and how strongly.

    meaning: of the constants, integers, one for each severity. apply(recording, sensor, constant, word): a new
    recording; word: (1,) uint64, random, of this recording.
    """

    meaning: str
    constants: tuple[int, ...]
    apply: Add


@dataclass(frozen=True)
class _Noisy:
    """A recording that is corrupted when it is read."""

    source: Source
    sensor: Sensor
    name: str
    severity: int
    word: np.ndarray

    @property
    def where(self) -> str:
        return self.source.where

    @property
    def stamp(self) -> str:
        return f"{self.source.stamp} {self.name} {self.severity} {self.word}"

    def read(self) -> Recording:
        how = EVENT_CORRUPTIONS[self.name]
        return how.apply(self.source.read(), self.sensor, how.constants[self.severity - 1], self.word)


def corrupt(recordings: Recordings, indices: np.ndarray, name: str, severity: int, seed: int = 0) -> Recordings:
    """Corrupts recordings, each when it is read.

    indices: (N,), the position of each recording in its split, on which its noise depends. name: one of
    EVENT_CORRUPTIONS. severity: 1 to 5. Raises RecipeError for another name or severity.
    """
    if name not in EVENT_CORRUPTIONS:
        raise RecipeError(f"corruption '{name}' of recordings: expected {', '.join(EVENT_CORRUPTIONS)}")
    if severity not in SEVERITIES:
        raise RecipeError(f"severity {severity} of '{name}': expected 1 to {SEVERITIES[-1]}")
    words = hash64(seed, int.from_bytes(name.encode()[:8], "little"), np.asarray(indices))
    sources = [
        _Noisy(source, recordings.sensor, name, severity, words[place : place + 1])
        for place, source in enumerate(recordings.sources)
    ]
    return Recordings(recordings.sensor, sources)


def _background(one: Recording, sensor: Sensor, rate: int, word: np.ndarray) -> Recording:
    """Events at random places and times, `rate` of each pixel in a second, as many as are expected.

    With h = mix(word ^ k) and g = mix(h) of the k-th: time h[0:32] * (last time + 1) >> 32, row h[32:64] * H >> 32,
    column g[0:32] * W >> 32, polarity g[63]; ON in a recording that has no OFF. Among events of the same time, those of
    the recording come first.
    """
    height, width = sensor
    clock = np.maximum.accumulate(one.t)
    length = int(clock[-1]) + 1
    count = (2 * rate * height * width * length + 1_000_000) // 2_000_000
    first = mix(word ^ np.arange(count, dtype=np.uint64))
    second = mix(first.copy())
    t = _share(first, length).astype(np.uint32)
    p = (second >> np.uint64(63)).astype(np.uint8) if (one.p == 0).any() else np.ones(count, np.uint8)
    x, y = _share(second, width).astype(np.uint16), _share(first >> np.uint64(32), height).astype(np.uint16)
    order = np.argsort(np.concatenate([clock, t]), kind="stable")
    columns = zip((one.t, one.x, one.y, one.p), (t, x, y, p), strict=True)
    return Recording(*(np.concatenate([own, added])[order] for own, added in columns))


def _share(words: np.ndarray, size: int) -> np.ndarray:
    """The lower 32 bits of random words as numbers below `size`."""
    return (words & np.uint64(0xFFFFFFFF)) * np.uint64(size) >> np.uint64(32)


EVENT_CORRUPTIONS: dict[str, EventCorruption] = {
    "background": EventCorruption("events of a pixel in a second", (1, 2, 3, 5, 10), _background),
}
