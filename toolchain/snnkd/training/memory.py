"""Copies and views of tensors by their order in memory, which need not be that of their shape.

Here time comes first, channels last, and the inputs of a dense layer's weights first.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod

import numpy as np
import torch


def over_steps(a: torch.Tensor, steps: int) -> torch.Tensor:
    """Makes an empty float32 (steps, N, ...), each step of it in the memory order of a step of a (D, N, ...)."""
    return torch.empty_strided((steps, *a.shape[1:]), (a.numel() // len(a), *a.stride()[1:]), device=a.device)


def dense(a: torch.Tensor) -> torch.Tensor:
    """Copies a (D, N, ...), unless it is contiguous, or would be with its channels (dimension 2) last."""
    kept = a.ndim > 3 and a.movedim(2, -1).is_contiguous()
    return a if kept else a.contiguous()


def like(values: torch.Tensor, model: torch.Tensor) -> torch.Tensor:
    """Copies `values` into the memory order of `model`, which has the same shape, unless they are in it already."""
    pairs = zip(values.shape, values.stride(), model.stride(), strict=True)
    same = all(stride == wanted for size, stride, wanted in pairs if size > 1)
    return values if same else torch.empty_like(model).copy_(values)


def flat(a: torch.Tensor, leading: int = 1) -> torch.Tensor:
    """Views a dense tensor (D, N, ...) as (D, M), or as (M,) with leading = 0, in the order of memory."""
    count = a.shape[leading:].numel()
    return a.as_strided((*a.shape[:leading], count), (*(count,) * leading, 1))


def rows(x: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Views the memory of x (T, N, ...) on the CPU, whose rows x[t, n] have no gaps, as a flat array.

    Returns that array, which starts with x[0, 0], and where in it each row begins, (T N,) int64.
    """
    (steps, samples, *size), (step, sample, *_) = x.shape, x.stride()
    length = (steps - 1) * step + (samples - 1) * sample + prod(size)
    return x.as_strided((length,), (1,)).numpy(), places((steps, step), (samples, sample))


@lru_cache(maxsize=64)
def places(*axes: tuple[int, int]) -> np.ndarray:
    """Lists where the elements of an array are in memory, (elements,) int64; not to be written to.

    axes: the array's, each as (length, distance of neighbours in elements).
    """
    offsets = np.zeros(1, np.int64)
    for length, distance in axes:
        offsets = np.add.outer(offsets, np.arange(length) * distance).reshape(-1)
    return offsets
