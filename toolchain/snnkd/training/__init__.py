"""Training with lava-dl SLAYER blocks; the only package besides `engines/lava` that knows lava-dl."""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import os

from snnkd.errors import LimitError

# Threads that wait for each other by spinning make a training many times slower where the cores are shared.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _keep_freed_memory() -> None:
    """Tells glibc to keep what a step frees for the next one: from the system it comes page by page."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # there is no glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_keep_freed_memory()
# On import lava-dl prints about an optional package and torch's extension loader logs about CUDA: neither is for users.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
try:
    with contextlib.redirect_stdout(io.StringIO()):
        from lava.lib.dl import slayer
except ImportError as error:
    raise LimitError(
        f"training needs lava-dl 0.6.0, which runs on Python 3.10 only ({error}): run it with `uv run`, or install "
        "'lava-nc==0.10.0' and 'lava-dl==0.6.0' into a Python 3.10 environment"
    ) from error

__all__ = ["slayer"]
