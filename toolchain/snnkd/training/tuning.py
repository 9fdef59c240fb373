"""What a training changes in the process that it runs in, and changes back: how threads wait, how many there are, and
what becomes of freed memory. To import it changes nothing, and loads no torch."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

from snnkd.base import progress

_POLICY = "OMP_WAIT_POLICY"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGEST = 32 << 20  # bytes; how far glibc raises the threshold of mmap by itself on 64 bits (malloc.c)


def load_torch() -> None:
    """Loads torch, if it is not loaded yet, with OpenMP threads that do not spin while they wait for each other.

    Spinning makes a training many times slower where the cores are shared. torch's OpenMP runtime, libgomp, reads
    OMP_WAIT_POLICY when it is loaded and never again: so where torch is loaded already this does nothing, and the
    environment is afterwards as it was before. An OMP_WAIT_POLICY that is set stays.
    """
    chosen = _POLICY in os.environ
    os.environ.setdefault(_POLICY, "PASSIVE")
    try:
        with progress.doing("loading torch"):
            import torch  # noqa: F401
    finally:
        if not chosen:
            os.environ.pop(_POLICY, None)


@contextlib.contextmanager
def kept_memory() -> Iterator[None]:
    """Has glibc keep what a step frees for the next one: from the system it comes page by page.

    Behind it, freed memory goes back to the system. glibc does not tell what its thresholds were, and raises them no
    more by itself once they are set; so they end where that comes to in a program that frees blocks of many MB, as a
    training does. Nothing happens where there is no glibc.
    """
    try:
        libc = ctypes.CDLL(None)
        mallopt, trim = libc.mallopt, libc.malloc_trim
    except (OSError, AttributeError, TypeError):
        yield
        return
    mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
    try:
        yield
    finally:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST)
        trim(0)


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Gives torch so many threads within, and as many as before behind."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
