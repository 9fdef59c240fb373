"""Memory: what something takes is compared with what is left before it is asked for.

Linux hands out more than it has, and ends the process later that fills it; numpy's own error is a traceback.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from snnkd.base.errors import LimitError

_MEMINFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")  # of a container: version 2, then version 1
_GROUPS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
_UNKNOWN = 1 << 40  # where the system does not say


def check(what: str, size: int, advice: str, left: int | None = None) -> None:
    """Refuses what needs more memory than there is.

    what: in words, for the message. size: its bytes, or fewer. advice: what makes it smaller. left: bytes that are
    free, those of `available` where None. Raises LimitError.
    """
    left = available() if left is None else left
    if size > left:
        raise LimitError(f"{what}: needs {said(size)} of memory, and {said(left)} are free here; {advice}")


def available() -> int:
    """Returns the bytes of memory that a process can still get here, a container's limit included."""
    return min(_of_system(), _of_group())


def said(size: int) -> str:
    """Writes a number of bytes for people: '931 GiB'."""
    for power, unit in ((6, "EiB"), (5, "PiB"), (4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if size >= 1 << 10 * power:
            count = size / (1 << 10 * power)
            return f"{count:.3g} {unit}" if count < 999 else f"{count:,.0f} {unit}"
    return f"{size} bytes"


def _of_system() -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    with contextlib.suppress(AttributeError, OSError, ValueError):  # macOS: all that is built in
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return _UNKNOWN


def _of_group() -> int:
    for limit, usage in _GROUPS:
        with contextlib.suppress(OSError, ValueError):  # 'max' is no number: no limit
            return max(0, int((_GROUP / limit).read_text()) - int((_GROUP / usage).read_text()) + _reclaimable())
    return _UNKNOWN


def _reclaimable() -> int:
    """Bytes of files that the group has read, which the system gives up first."""
    with contextlib.suppress(OSError, ValueError):
        for line in (_GROUP / "memory.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "inactive_file":
                return int(value)
    return 0
