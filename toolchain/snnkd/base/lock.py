"""A lock on a folder: one process at a time writes there, and whoever is refused learns who holds it."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import socket
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from snnkd.base.errors import LimitError, SnnkdError, SnnkdWarning

try:
    import fcntl
except ImportError:  # Windows has no such locks: nobody is refused there
    fcntl = None

NAME = ".lock"


@contextlib.contextmanager
def held(folder: Path, what: str) -> Iterator[None]:
    """Holds the lock of `folder` while the block runs. what: the command that does, for whoever has to wait.

    The system frees the lock of a process that has died; the file that is left of it is taken over with a warning.
    Raises LimitError, which names process, host and start, where another process holds the lock or one on another host
    may hold it; SnnkdError where the folder cannot be written to.
    """
    path = folder / NAME
    handle = _opened(path)
    try:
        while (locked := _locked(handle)) and not os.fstat(handle).st_nlink:  # deleted when its holder was done
            os.close(handle)
            handle = _opened(path)
        owner = _owner(path)
        if not locked:
            raise LimitError(f"{folder}: in use by {_said(owner)}; wait until it is done, or work on another folder")
        if owner is not None and owner.get("host") not in (None, socket.gethostname()):
            raise LimitError(
                f"{folder}: in use by {_said(owner)}, which cannot be seen from here; if it has ended, delete {path}"
            )
        _warn_of(folder, owner)
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(_self(what)).encode(), 0)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)  # before it is freed: whoever opens this name next makes a new file
    finally:
        os.close(handle)


def inherit(folder: Path, patience: float = 30.0) -> None:
    """Makes way for a process that goes on where another one was ended, and that knows so.

    Waits so many seconds at most for the end of that one, and removes with a warning the lock that it has left, also
    one of another host, of which nobody can see from here whether it has ended.
    """
    path, until = folder / NAME, time.monotonic() + patience
    if not path.exists():
        return
    handle = _opened(path)
    try:
        while not (locked := _locked(handle)) and time.monotonic() < until:
            time.sleep(0.1)
        if locked and os.fstat(handle).st_nlink:
            _warn_of(folder, _owner(path))
            path.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _warn_of(folder: Path, owner: dict[str, Any] | None) -> None:
    if owner is not None:
        text = f"{folder}: taken over from {_said(owner)}, which ended without a word"
        warnings.warn(text, SnnkdWarning, stacklevel=4)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
    except OSError as error:
        raise SnnkdError(f"{path}: cannot be written: {error.strerror}; choose another folder") from error


def _locked(handle: int) -> bool:
    """Takes the lock without waiting; False where another process has it."""
    if fcntl is not None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def _self(what: str) -> dict[str, Any]:
    user = next((os.environ[name] for name in ("USER", "LOGNAME") if name in os.environ), "")
    with contextlib.suppress(OSError, KeyError):
        user = user or getpass.getuser()
    began = time.strftime("%Y-%m-%d %H:%M:%S")
    return {"what": what, "pid": os.getpid(), "host": socket.gethostname(), "user": user, "since": began}


def _owner(path: Path) -> dict[str, Any] | None:
    """Reads who holds the lock, or held it last; None for an empty file, {} where it cannot be told."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        owner = json.loads(text) if text else None
    except (OSError, ValueError):
        return {}
    return owner if owner is None or isinstance(owner, dict) else {}


def _said(owner: dict[str, Any] | None) -> str:
    if not owner:
        return "another process"
    user = f" of {owner['user']}" if owner.get("user") else ""
    pid, host, what, since = (owner.get(key) for key in ("pid", "host", "what", "since"))
    return f"process {pid}{user} on {host} (snnkd {what}, since {since})"
