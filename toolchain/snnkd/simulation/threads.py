"""All cores for kernels that run without the GIL."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise

import numpy as np

_PARTS = 2  # of the items per thread, so that none waits long for a slow one


def spread(kernel: Callable, items: int, arguments: tuple, threads: int | None = None) -> tuple[int, int]:
    """Runs `kernel(*arguments, first, last)` on parts of the range of `items`, on all cores or so many `threads`.

    The calling thread takes part at once, since others are slow to wake. Returns the totals of the two counts that
    the kernel returns.
    """
    threads = threads or cores()
    parts = min(items, _PARTS * threads)
    if parts == 1 or threads == 1:
        return kernel(*arguments, 0, items)
    spans = pairwise(np.linspace(0, items, parts + 1).astype(int).tolist())

    def work() -> tuple[int, int]:
        made = [kernel(*arguments, *span) for span in spans]
        return sum(one[0] for one in made), sum(one[1] for one in made)

    pool = _pool(os.getpid(), threads)
    others = [pool.submit(work) for _ in range(threads - 1)]
    totals = [work(), *(other.result() for other in others if not other.cancel())]
    return sum(one[0] for one in totals), sum(one[1] for one in totals)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=1)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Kept, since threads take longer to start than a batch to run; another one after a fork, which leaves none."""
    return ThreadPoolExecutor(threads, thread_name_prefix="snnkd")
