"""One recording of a sensor of events: what every format is read to, and how a damaged one is reported."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from snnkd.base.errors import DataError
from snnkd.ir.event_encoding import TIME_LIMIT, Sensor


class Damaged(DataError):
    """What is wrong with a recording, and at which byte or event of it; whoever opened the file names it."""

    def __init__(self, what: str, at: int | None = None, unit: str = "byte"):
        super().__init__(what if at is None else f"{unit} {at:,}: {what}")


@dataclass(frozen=True, eq=False)
class Recording:
    """The events of one recording in the order in which they were sent; all arrays are (events,).

    t: uint32, microseconds from the recording's start. x, y: uint16, column and row from the top left. p: uint8,
    polarity, 0 OFF (darker), 1 ON; sensors without polarity send 1.
    """

    t: np.ndarray
    x: np.ndarray
    y: np.ndarray
    p: np.ndarray

    def __len__(self) -> int:
        return len(self.t)

    def take(self, chosen: np.ndarray) -> Recording:
        """Copies the events that an index or a mask chooses."""
        return Recording(self.t[chosen], self.x[chosen], self.y[chosen], self.p[chosen])

    @property
    def sha256(self) -> bytes:
        """Digest of the events, whatever format they came in."""
        digest = hashlib.sha256()
        for values, kind in ((self.t, "<u4"), (self.x, "<u2"), (self.y, "<u2"), (self.p, "u1")):
            digest.update(np.ascontiguousarray(values, dtype=kind).data)
        return digest.digest()


def recording(
    t: np.ndarray, x: np.ndarray, y: np.ndarray, p: np.ndarray, sensor: Sensor, offsets: np.ndarray | None = None
) -> Recording:
    """Makes a Recording of integer arrays (events,), each of any width.

    offsets: (events,) where each event lies in its file, in bytes; else messages count events. Raises Damaged for an
    event outside the sensor, a time before the start or beyond TIME_LIMIT, a polarity that is neither 0 nor 1, and
    where there is no event at all. Times may go back: an encoder then counts the event at the latest time before it.
    """
    if not len(t):
        raise Damaged("no event in it")
    height, width = sensor
    for name, values, limit, expected in (
        ("x", x, width, f"0 to {width - 1}, the sensor's columns"),
        ("y", y, height, f"0 to {height - 1}, the sensor's rows"),
        ("t", t, TIME_LIMIT, f"0 to {TIME_LIMIT - 1} microseconds from the start"),
        ("p", p, 2, "0 or 1"),
    ):
        if values.min() < 0 or values.max() >= limit:
            first = int(np.flatnonzero((values < 0) | (values >= limit))[0])
            at, unit = (first, "event") if offsets is None else (int(offsets[first]), "byte")
            raise Damaged(f"{name} is {values[first]}, expected {expected}", at, unit)
    return Recording(t.astype(np.uint32), x.astype(np.uint16), y.astype(np.uint16), p.astype(np.uint8))
