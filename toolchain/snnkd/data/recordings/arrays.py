"""Reader of one recording in an .npy or .npz file.

.npy: a structured array with the fields t, x, y, p, as tonic has them; or integers (events, 4), the columns t, x, y, p.
.npz: arrays t, x, y, p. p may be missing where the sensor has no polarity, y where it is one row. Times are
microseconds from the recording's start.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

import numpy as np

from snnkd.base.arrays import check
from snnkd.data.recordings.recording import Damaged, Recording, recording
from snnkd.ir.event_encoding import Sensor

_MOST = 1 << 30  # bytes of an array in a .npz: what it announces is checked before it is unpacked
KEYS = ("t", "x", "y", "p")


def decode(data: bytes, sensor: Sensor) -> Recording:
    """Reads the events in a file's bytes. Raises Damaged, see `recording`."""
    return of_columns(columns(data), sensor)


def columns(data: bytes) -> dict[str, np.ndarray]:
    """Reads the arrays in a file's bytes by name. Raises Damaged where they cannot be read."""
    try:
        if data[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(data)) as packed:
                if sum(entry.file_size for entry in packed.infolist()) > _MOST:
                    raise Damaged(f"its arrays have more than {_MOST:,} bytes")
        check(data)
        read = np.load(io.BytesIO(data), allow_pickle=False)
        if not isinstance(read, np.ndarray):
            return {name: read[name] for name in read.files}
        if read.dtype.names:
            return {name: read[name] for name in read.dtype.names}
    except Damaged:
        raise
    except Exception as error:  # numpy's readers raise nearly anything on damaged files
        raise Damaged(f"not an array that can be read ({str(error)[:200]})") from error
    if read.ndim != 2 or read.shape[1] != len(KEYS):
        raise Damaged(f"expected fields t, x, y, p or integers (events, 4), found {read.dtype} {read.shape}"[:200])
    return dict(zip(KEYS, read.T, strict=True))


def of_columns(given: Mapping[str, np.ndarray], sensor: Sensor) -> Recording:
    """Makes a recording of arrays t, x, y, p (events,). Raises Damaged that names the one that does not fit."""
    for name in ("t", "x"):
        if name not in given:
            raise Damaged(f"no '{name}': expected t, x, y, p, found {', '.join(map(str, given))}"[:200])
    t = given["t"]
    whole = {"y": np.zeros(t.shape, np.int64), "p": np.ones(t.shape, np.int64)} | dict(given)
    for name in KEYS:
        values = whole[name]
        if values.ndim != 1 or values.shape != t.shape or values.dtype.kind not in "biu":
            raise Damaged(f"{name}: expected integers {t.shape}, found {values.dtype} {values.shape}"[:200])
    # Where uint64 would not fit, the check of its range has to see it.
    t, x, y, p = (whole[k].astype(np.int64) if whole[k].dtype != np.uint64 else whole[k] for k in KEYS)
    return recording(t, x, y, p, sensor)
