"""Lists what is not 0 in spikes, in rows or in what each output pixel of a convolution sees, and multiplies by it.

Sums are in the order of the lists, which does not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
import torch.nn.functional as F

from snnkd.engines.fast.threads import spread
from snnkd.training import memory
from snnkd.training.kernels.list_kernels import fetch, fetch_patches, list_patches, list_rows, multiply, scatter
from snnkd.training.kernels.sizes import LANES, WIDE


@dataclass(frozen=True, eq=False)
class Lists:
    """The M rows of a matrix as lists of what is not 0.

    begins, ends: (M,) int64; the list of row m is indices[begins[m] : ends[m]], and its values at the same places.
    indices: columns, int32. values: float32, empty where all are 1.
    """

    begins: np.ndarray
    ends: np.ndarray
    indices: np.ndarray
    values: np.ndarray

    @classmethod
    def of_rows(cls, x: torch.Tensor) -> Lists:
        """Lists the T N rows of x (T, N, I)."""
        rows, inputs = x.shape[:2].numel(), x.shape[2]
        flat, starts = memory.rows(x)
        begins = np.arange(rows) * inputs
        ends, indices = np.empty_like(begins), np.empty(x.numel() + LANES, np.int32)  # written by whole vectors
        threads = torch.get_num_threads()
        graded, _ = spread(list_rows, rows, (flat, starts, inputs, begins, ends, indices), threads)
        values = np.empty(indices.size if graded else 0, np.float32)
        if graded:
            spread(fetch, rows, (flat, starts, begins, ends, indices, values), threads)
        return cls(begins, ends, indices, values)

    @classmethod
    def of_patches(cls, x: torch.Tensor, kernel: Sequence[int], stride: list[int], padding: list[int]) -> Lists:
        """Lists what each output pixel sees of x (T, N, H, W, C), whose images have no gaps: T N H' W' rows of kH kW C.

        kernel, stride, padding: [down, right].
        """
        images, (height, width, channels) = x.shape[:2].numel(), x.shape[2:]
        size, taps = reach((height, width), kernel, stride, padding), prod(kernel) * channels
        flat, starts = memory.rows(x)
        begins, ends = np.empty((2, images * prod(size)), np.int64)
        indices = np.empty(len(begins) * taps + LANES, np.int32)  # few of them are touched
        geometry = tuple(np.array(pair) for pair in ((height, width, channels), size, kernel, stride, padding))
        threads = torch.get_num_threads()
        graded, _ = spread(list_patches, images, (flat, starts, *geometry, begins, ends, indices), threads)
        values = np.empty(indices.size if graded else 0, np.float32)
        if graded:
            spread(fetch_patches, images, (flat, starts, *geometry, begins, ends, indices, values), threads)
        return cls(begins, ends, indices, values)

    def products(self, matrix: torch.Tensor) -> torch.Tensor:
        """Multiplies by a matrix (columns, O): (M, O), for each list the sum of value * matrix[index]."""
        tiled = _tiled(matrix)
        out = torch.empty(len(self.begins), len(tiled) * WIDE)
        arguments = (self.begins, self.ends, self.indices, self.values, tiled.numpy(), out.numpy())
        spread(multiply, len(self.begins), arguments, torch.get_num_threads())
        return out[:, : matrix.shape[1]]

    def scattered(self, matrix: torch.Tensor, inputs: int) -> torch.Tensor:
        """Multiplies the transposed rows by a matrix (M, O), on one thread.

        Returns (inputs, O): for each index the sum of value * matrix[list] over the lists that have it, in their order.
        """
        tiled = _tiled(matrix)
        out = torch.zeros(len(tiled), inputs, WIDE)
        scatter(self.begins, self.ends, self.indices, self.values, tiled.numpy(), out.numpy())
        return out.transpose(0, 1).flatten(1)[:, : matrix.shape[1]]


def _tiled(matrix: torch.Tensor) -> torch.Tensor:
    """(tiles, rows, WIDE) of (rows, O), filled up with zeros."""
    tiles = -(-matrix.shape[1] // WIDE)
    if matrix.shape[1] % WIDE:
        matrix = F.pad(matrix, (0, -matrix.shape[1] % WIDE))
    return matrix.unflatten(1, (tiles, WIDE)).transpose(0, 1).contiguous()


def reach(size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]) -> list[int]:
    """Computes the size [H', W'] of what a convolution puts out; size: [H, W] of what it reads."""
    return [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel, stride, padding, strict=True)]
