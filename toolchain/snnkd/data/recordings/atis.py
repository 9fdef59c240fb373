"""Reader of .bin files: N-MNIST, N-Caltech101 and others of the ATIS camera.

Five bytes an event: x, y, then polarity (the top bit) and 23 bits of microseconds, big-endian. An event with y = 240
is no event: the camera's clock has run over, and all later ones are 2^13 microseconds later (Orchard et al.,
"Converting Static Image Datasets to Spiking Neuromorphic Datasets Using Saccades", 2015, and its Read_Ndataset.m).
"""

from __future__ import annotations

import numpy as np

from snnkd.data.recordings.recording import Damaged, Recording, recording
from snnkd.ir.event_encoding import Sensor

_BYTES = 5
_OVERFLOW_ROW = 240
_OVERFLOW_US = 1 << 13


def decode(data: bytes, sensor: Sensor) -> Recording:
    """Reads the events in a file's bytes. Raises Damaged with the byte, see `recording`."""
    if left := len(data) % _BYTES:
        raise Damaged(f"the file ends within an event: {left} of {_BYTES} bytes", len(data) - left)
    columns = np.frombuffer(data, np.uint8).reshape(-1, _BYTES)
    x, y = columns[:, 0], columns[:, 1]
    word = columns[:, 2:].astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    marks = y == _OVERFLOW_ROW
    t = (word & 0x7FFFFF) + _OVERFLOW_US * np.cumsum(marks)
    kept = np.flatnonzero(~marks)
    return recording(t[kept], x[kept], y[kept], word[kept] >> 23, sensor, kept * _BYTES)
