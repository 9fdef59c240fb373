"""What an HDF5 file holds, read in a child process: a damaged one makes the HDF5 library crash, hang or fill memory.

The child (worker.py) is started for the first file and stays for the next ones; it forks a process with limits for
each. It ends with this process. What it says is checked, as a damaged file may make it say anything. Imports no numpy,
so that `warm` can start the child while that is being imported.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

from snnkd.base.errors import FormatError, SnnkdError

MAX_ELEMENTS = 1 << 24  # of all arrays of a file: the synapses of the largest networks for one board
LIMITS = {
    "elements": MAX_ELEMENTS,
    "entry": 512,  # a member of a group or an attribute takes as long to read as so many elements
    "chunk": 256,  # and in memory
    "megabytes": 640,
    "seconds": 5,  # of the processor
}
SECONDS = 60.0  # on the clock, on the busiest machine
_MAX_LINE, _MAX_TEXT, _AT_ONCE = 1 << 14, 1 << 20, 1 << 16
_NONSENSE = "damaged: the HDF5 library says of it what it should not"
# The child has the same search path. A third of numpy's start goes, up to version 1, to what h5py does not use.
_BOOT = """if True:
    import json, sys
    sys.path[:] = json.loads(sys.argv[1])
    for name in ("fft", "ma", "polynomial", "random"):
        sys.modules["numpy." + name] = type(sys)("numpy." + name)
    from snnkd.formats.hdf5 import worker
    worker.main()
"""
_PACKAGES = Path(__file__).parents[2]
_DTYPES = {"|i1", "|u1", *(f"{order}{kind}{size}" for order in "<>" for kind in "iuf" for size in (2, 4, 8))}


@dataclass(frozen=True)
class Wanted:
    """What of a file is read: so much is asked for by each format.

    members: of the root. deepest: how many groups lie above an array, at most. text: characters of one, at most.
    texts: whether arrays of several texts are read.
    """

    members: tuple[str, ...]
    deepest: int
    text: int = 256
    texts: bool = False


@dataclass(frozen=True)
class Item:
    """What lies at a place of a file: a group, numbers, a text, several of them (behind each other, with a zero in
    between), something else, or why it is not read (`problem`)."""

    kind: str
    shape: tuple[int, ...] = ()
    dtype: str = ""
    raw: bytes | bytearray = b""
    problem: str = ""


class _Failed(Exception):
    """Why a file is refused: the child failed on it, or said what it should not."""


class _Ended(Exception):
    """The child writes nothing more."""


class Reader:
    """The child process; for any number of threads.

    used: what the last file took, `seconds` of the processor and `megabytes` of memory.
    """

    def __init__(self) -> None:
        self.used = {"seconds": 0.0, "megabytes": 0.0}
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._ahead = b""  # what was read from it and nobody has asked for yet
        self._ready = self._late = False

    def warm(self) -> None:
        """Starts the child where there is none, and does not wait for it."""
        with self._lock:
            self._warm()

    def items(self, path: str, wanted: Wanted) -> dict[str, Item]:
        """Reads every item of the file at `path`, by its place: 'layer/0/type', '/name' for an attribute of the root.

        Raises FormatError where the library does not survive the file, SnnkdError where no child can be started.
        """
        asked = {"path": os.path.abspath(path), "wanted": asdict(wanted), "limits": LIMITS}  # noqa: PTH100
        request = json.dumps(asked).encode() + b"\n"
        with self._lock:
            self.used = dict.fromkeys(self.used, 0.0)
            timer = threading.Timer(SECONDS, self._expire)
            timer.daemon = True
            timer.start()
            try:
                self._wait_until_ready()
                return self._answer(request)
            except _Failed as error:
                problem = f"takes more than {SECONDS:.0f} s to read" if self._late else str(error)
                self.stop()
                raise FormatError(f"{path}: {plain(problem)}") from None
            except BaseException:
                self.stop()
                raise
            finally:
                timer.cancel()
                timer.join()
                if self._late:
                    self.stop()

    def forget(self) -> None:
        """Leaves the child to the process that this one was forked from."""
        if self._process is not None:
            _close(self._process)
            self._process.returncode = 0  # for Popen, which would complain
        self.__init__()

    def stop(self) -> None:
        """Ends the child."""
        process, self._process = self._process, None
        self._ahead, self._ready, self._late = b"", False, False
        if process is not None:
            _kill(process)
            process.wait()
            _close(process)

    def _warm(self) -> None:
        if self._process is None or self._process.poll() is not None:
            self._start()

    def _start(self) -> None:
        self.stop()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HDF5_")}
        environment |= {"HDF5_PLUGIN_PRELOAD": "::", "HDF5_USE_FILE_LOCKING": "FALSE"}  # '::': no plugins at all
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _BOOT, json.dumps([*filter(None, sys.path), str(_PACKAGES)])],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,  # Ctrl-C is for this process
            )
        except OSError as error:
            raise SnnkdError(f"the process that reads HDF5 files cannot be started: {error.strerror}") from error

    def _expire(self) -> None:
        self._late = True
        if (process := self._process) is not None:
            _kill(process)

    def _wait_until_ready(self) -> None:
        self._warm()
        if not self._ready:
            if (output := self._read("stderr")) != b"{}\n":
                while more := self._read("stderr"):
                    output += more
                lines = output.decode("utf-8", "replace").split("\n")
                last = next((line for line in reversed(lines) if line), "it ended")
                raise SnnkdError(f"the process that reads HDF5 files does not start: {plain(last)[:300]}")
            self._ready = True

    def _answer(self, request: bytes) -> dict[str, Item]:
        items: dict[str, Item] = {}
        allowed = MAX_ELEMENTS * 8  # bytes
        try:
            self._pipe("stdin").write(request)
            while line := self._line():
                place = _checked(line.get("place"), str)
                if place in items:
                    raise _Failed(f"{place}: damaged: is there twice")
                items[place] = self._item(line, allowed)
                allowed -= len(items[place].raw)
        except (_Ended, BrokenPipeError):
            items.clear()
        if not (report := self._read("stderr")):
            raise _Failed("the process that reads HDF5 files was ended from outside")
        ended = _parsed(report)
        self.used = {name: _checked(ended.get(name), float) for name in self.used}
        if ended.get("ended") != 0 or not items:
            raise _Failed(_reason(_checked(ended.get("ended"), int), _checked(ended.get("place"), str)))
        return items

    def _item(self, line: dict[str, Any], allowed: int) -> Item:
        """The item that `line` announces, with the data behind it, which may have so many bytes."""
        kind = line.get("kind")
        if kind == "group":
            return Item("group")
        if kind == "refused":
            return Item("refused", problem=_checked(line.get("problem"), str))
        shape = tuple(_checked(extent, int) for extent in _checked(line.get("shape"), list))
        dtype = _checked(line.get("dtype", ""), str)
        if kind == "other":
            return Item("other", shape, dtype)
        if kind == "text":
            size = _checked(line.get("size"), int)
            if shape not in ((), (1,)) or not 0 <= size <= _MAX_TEXT:
                raise _Failed(_NONSENSE)
            return Item("text", shape, "text", self._take(size))
        if kind == "texts":
            size = _checked(line.get("size"), int)
            if not 0 <= size <= _MAX_TEXT or len(shape) > 32 or min((0, *shape)) < 0 or prod(shape) > MAX_ELEMENTS:
                raise _Failed(_NONSENSE)
            return Item("texts", shape, "text", self._take(size))
        if kind != "numbers" or dtype not in _DTYPES or len(shape) > 32 or min((0, *shape)) < 0:
            raise _Failed(_NONSENSE)
        size = prod(shape) * int(dtype[2])
        if size > allowed or max((0, *shape)) > MAX_ELEMENTS:
            raise _Failed(_NONSENSE)
        return Item("numbers", shape, dtype, self._take(size))

    def _line(self) -> dict[str, Any]:
        while b"\n" not in self._ahead:
            output = self._read("stdout")
            self._ahead += output
            if not output:
                raise _Ended
            if len(self._ahead) > _MAX_LINE + _AT_ONCE:
                raise _Failed(_NONSENSE)
        line, _, self._ahead = self._ahead.partition(b"\n")
        return _parsed(line)

    def _take(self, size: int) -> bytearray:
        """The next `size` bytes that the child writes."""
        raw, start = bytearray(size), min(size, len(self._ahead))
        raw[:start], self._ahead = self._ahead[:start], self._ahead[start:]
        rest = memoryview(raw)[start:]
        while rest:
            if not (count := self._pipe("stdout").readinto(rest)):
                raise _Ended
            rest = rest[count:]
        return raw

    def _read(self, name: str) -> bytes:
        """What the child has written, at least a byte; nothing where it has ended."""
        return self._pipe(name).read(_AT_ONCE)

    def _pipe(self, name: str) -> Any:
        """One of the child's files. They are unbuffered: of a buffer, a thread may hold the lock during a fork."""
        if self._process is None:
            raise _Ended
        return getattr(self._process, name)


def plain(text: str) -> str:
    """Returns what a file says as a message may quote it: without control characters."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        return _checked(json.loads(line), dict)
    except (ValueError, RecursionError):
        raise _Failed(_NONSENSE) from None


def _checked(value: Any, expected: type) -> Any:
    if type(value) is not expected:
        raise _Failed(_NONSENSE)
    return value


def _reason(status: int, place: str) -> str:
    """Why a file is refused on which the process that read it ended with `status`, at `place`."""
    group, _, name = place.rpartition("/")
    where = f"attribute {name}: " if place.startswith("/") else "".join(f"{part}: " for part in (group, name) if part)
    if status == -getattr(signal, "SIGXCPU", 0):
        return f"{where}damaged: the HDF5 library takes more than {LIMITS['seconds']} s on it"
    return f"{where}damaged: the HDF5 library fails on it (status {status})"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends the child and what it forked."""
    if process.returncode is None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


READER = Reader()


def warm() -> None:
    """Starts what reads network files, so that the first of them is read sooner; does not wait for it."""
    READER.warm()


atexit.register(READER.stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=READER.forget)
