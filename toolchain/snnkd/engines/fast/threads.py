"""All cores for work that runs without the GIL."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

Item = TypeVar("Item")
Result = TypeVar("Result")

_sharing = 1  # processes that share this machine's cores

_PARTS = 2  # of the items per thread, so that none waits long for a slow one


def each(work: Callable[[Item], Result], items: Sequence[Item], threads: int | None = None) -> list[Result]:
    """Computes [work(item) for item in items] on all cores, or on so many `threads`; raises what `work` raises.

    The calling thread takes part at once, since others are slow to wake.
    """
    threads = min(threads or cores(), len(items))
    if threads <= 1:
        return [work(item) for item in items]
    results: list[Any] = [None] * len(items)
    queue = enumerate(items)

    def take() -> None:
        for place, item in queue:
            results[place] = work(item)

    pool = _pool(os.getpid())
    helpers = [pool.submit(take) for _ in range(threads - 1)]
    take()
    for helper in helpers:
        if not helper.cancel():
            helper.result()
    return results


def spread(kernel: Callable, items: int, arguments: tuple, threads: int | None = None) -> tuple[int, int]:
    """Runs `kernel(*arguments, first, last)` on parts of the range of `items`, on all cores or on so many `threads`.

    Returns the totals of the two counts that the kernel returns.
    """
    threads = threads or cores()
    parts = min(items, _PARTS * threads)
    if parts == 1 or threads == 1:
        return kernel(*arguments, 0, items)
    spans = list(pairwise(np.linspace(0, items, parts + 1).astype(int).tolist()))
    first, second = zip(*each(lambda span: kernel(*arguments, *span), spans, threads), strict=True)
    return sum(first), sum(second)


def cores() -> int:
    """Counts the cores that this process may use."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, here // _sharing)


@contextlib.contextmanager
def shared_by(processes: int) -> Iterator[None]:
    """Has this process take only its share of the cores within, as one of so many that work at the same time."""
    global _sharing
    before, _sharing = _sharing, processes
    try:
        yield
    finally:
        _sharing = before


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """Kept, since threads take longer to start than a batch to run; another one after a fork, which leaves none."""
    return ThreadPoolExecutor(max(cores(), 2), thread_name_prefix="snnkd")
