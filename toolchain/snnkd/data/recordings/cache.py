"""What was computed of recordings, kept on disk under a digest of all that it was computed from.

In SNNKD_CACHE, else snnkd/ in the user's folder for such things. A file that is missing, damaged or cannot be written
only costs the time to compute it again; deleting the folder is always safe.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from snnkd.base.files import atomic


def folder() -> Path:
    """Returns the folder of the cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(os.environ.get("SNNKD_CACHE") or Path(base, "snnkd"))


def key_of(parts: Iterable[str]) -> str:
    """Returns the digest of texts: of all that a result depends on."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()


def kept(key: str, shape: tuple[int, ...], compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Returns the uint8 array of `shape` under `key`, read-only and mapped from disk; else computes and keeps it."""
    path = folder() / f"{key}.npy"
    with contextlib.suppress(OSError, ValueError, EOFError):
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        if found.dtype == np.uint8 and found.shape == shape:
            return found
    values = compute()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as temporary, temporary.open("wb") as file:
            np.save(file, values)
    return values
