"""HDF5 files of spike lists, as the Heidelberg data sets have them, read one list at a time in a child process.

Groups and arrays: spikes/times (N) lists of seconds, spikes/units (N) lists of channels, labels (N). A damaged file
makes the HDF5 library crash, hang or fill memory; the child (`spike_lists_worker.py`) has limits, and what it says is
checked.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np

from snnkd.base.errors import FormatError

SECONDS = 60.0  # for one answer
_MOST = 1 << 31  # bytes of one answer
_PACKAGES = Path(__file__).parents[2]
_BOOT = """if True:
    import json, sys
    sys.path[:] = json.loads(sys.argv[1])
    from snnkd.formats import spike_lists_worker
    spike_lists_worker.main()
"""


class SpikeLists:
    """The lists in one file. The child that reads it ends with this object.

    labels: (N,) int64. Raises FormatError where the file is not such a file, cannot be read, or has changed its mind.
    """

    def __init__(self, path: Path):
        self._path, self._lock = path, threading.Lock()
        self.folder: object = None  # what has to live as long
        command = [sys.executable, "-c", _BOOT, json.dumps([str(_PACKAGES), *sys.path])]
        environment = {**os.environ, "HDF5_USE_FILE_LOCKING": "FALSE"}
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        weakref.finalize(self, _end, self._process)
        (labels,) = self._asked({"open": os.path.abspath(path)}, 1)  # noqa: PTH100
        if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels):
            raise self._error("labels: expected integers (N,)")
        self.labels = labels.astype(np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Reads one list: times in seconds (spikes,), float64, and units (spikes,), int64."""
        times, units = self._asked({"read": index}, 2)
        if times.ndim != 1 or units.shape != times.shape or times.dtype.kind != "f" or units.dtype.kind not in "iu":
            raise self._error(f"list {index:,}: expected as many times, floats, as units, integers")
        if not np.isfinite(times).all():
            raise self._error(f"list {index:,}: times that are not finite")
        return times.astype(np.float64), units.astype(np.int64)

    def _asked(self, request: dict[str, object], count: int) -> list[np.ndarray]:
        """The arrays with which the child answers a request."""
        with self._lock:
            timer = threading.Timer(SECONDS, self._process.kill)
            timer.start()
            try:
                return self._exchanged(request, count)
            except (OSError, ValueError, KeyError, TypeError) as error:
                self._process.kill()
                what = "list" if "read" in request else "file"
                where = f"{what} {request['read']}" if "read" in request else what
                raise self._error(f"{where}: damaged: the HDF5 library fails or does not end") from error
            finally:
                timer.cancel()

    def _exchanged(self, request: dict[str, object], count: int) -> list[np.ndarray]:
        source, sink = self._process.stdout, self._process.stdin
        assert source is not None and sink is not None
        sink.write(json.dumps(request).encode() + b"\n")
        sink.flush()
        arrays = []
        for _ in range(count):
            head = json.loads(source.readline(1 << 12))
            if "problem" in head:
                raise self._error(str(head["problem"])[:300])
            dtype, shape = np.dtype(str(head["dtype"])), tuple(int(size) for size in head["shape"])
            size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
            if dtype.hasobject or not 0 <= size <= _MOST:
                raise ValueError(size)
            arrays.append(np.frombuffer(source.read(size), dtype).reshape(shape))
        return arrays

    def _error(self, problem: str) -> FormatError:
        return FormatError(f"{self._path}: {problem}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            assert pipe is not None
            pipe.close()
    process.wait()
