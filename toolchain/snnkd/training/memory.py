"""Tensors by their order in memory, which need not be that of their shape: time first, channels last, inputs first."""

from __future__ import annotations

import torch


def over_steps(a: torch.Tensor, steps: int) -> torch.Tensor:
    """An empty float32 (steps, N, ...), each step of it in the memory order of a step of a (D, N, ...)."""
    return torch.empty_strided((steps, *a.shape[1:]), (a.numel() // len(a), *a.stride()[1:]), device=a.device)


def dense(a: torch.Tensor) -> torch.Tensor:
    """a (D, N, ...), copied unless it is contiguous, or would be with its channels (dimension 2) last."""
    kept = a.ndim > 3 and a.movedim(2, -1).is_contiguous()
    return a if kept else a.contiguous()


def like(values: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """`values` in the memory order of `other`."""
    pairs = zip(values.shape, values.stride(), other.stride(), strict=True)
    same = all(stride == wanted for size, stride, wanted in pairs if size > 1)
    return values if same else torch.empty_like(other).copy_(values)


def flat(a: torch.Tensor, leading: int = 1) -> torch.Tensor:
    """(D, M) view of a dense tensor (D, N, ...), (M,) with leading = 0, in the order of memory."""
    count = a.shape[leading:].numel()
    return a.as_strided((*a.shape[:leading], count), (*(count,) * leading, 1))
