"""Reads spike lists for `spike_lists.py`, with h5py, in a process with limits.

Each line of stdin is a request as JSON: {"open": path}, answered with the labels, or {"read": index}, answered with
times and units. An array is a line of JSON, dtype and shape, and its bytes; {"problem": text} says why there is none.
"""

from __future__ import annotations

import json
import sys
from typing import Any

if sys.platform != "win32":
    import resource

import h5py
import numpy as np

_MEMORY = 3 << 30


def main() -> None:
    """Answers requests until stdin ends."""
    if sys.platform != "win32":
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    file: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "open" in request:
                file = h5py.File(request["open"], "r")
                arrays = [_opened(file)]
            else:
                arrays = [np.asarray(file[f"spikes/{name}"][request["read"]]) for name in ("times", "units")]
        except Exception as error:  # the library has many kinds of them for a damaged file
            _say(json.dumps({"problem": f"{_where(request)}damaged: {error.args[0] if error.args else error}"[:300]}))
            continue
        for array in arrays:
            _say(json.dumps({"dtype": array.dtype.str, "shape": array.shape}))
            sys.stdout.buffer.write(np.ascontiguousarray(array).tobytes())
        sys.stdout.buffer.flush()


def _opened(file: Any) -> np.ndarray:
    labels, times, units = (file[name] for name in ("labels", "spikes/times", "spikes/units"))
    if not len(labels) == len(times) == len(units):
        raise ValueError(f"{len(labels)} labels, {len(times)} lists of times and {len(units)} of units")
    return np.asarray(labels[()])


def _where(request: dict[str, Any]) -> str:
    return f"list {request['read']}: " if "read" in request else ""


def _say(text: str) -> None:
    sys.stdout.buffer.write(text.encode() + b"\n")
    sys.stdout.buffer.flush()
