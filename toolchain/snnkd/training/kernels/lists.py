"""Lists of what is not 0 in spikes: of rows, or of what each output pixel of a convolution sees; and their products.

Products are made in the order of the lists, which do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
import torch.nn.functional as F

from snnkd.simulation.threads import spread
from snnkd.training import memory
from snnkd.training.kernels.list_kernels import fetch, fetch_patches, list_patches, list_rows, multiply, scatter
from snnkd.training.kernels.sizes import LANES, WIDE


@dataclass(frozen=True, eq=False)
class Lists:
    """Rows of a matrix as lists of what is not 0: that of row m is from begins[m] to ends[m], (M,) int64, of indices
    int32 and values float32; values is empty where all are 1."""

    begins: np.ndarray
    ends: np.ndarray
    indices: np.ndarray
    values: np.ndarray

    @classmethod
    def of_rows(cls, x: torch.Tensor) -> Lists:
        """Of (T, N, I): T N rows."""
        rows, inputs = x.shape[:2].numel(), x.shape[2]
        flat, starts = memory.rows(x)
        begins = np.arange(rows) * inputs
        ends, indices = np.empty_like(begins), np.empty(x.numel() + LANES, np.int32)  # written by whole vectors
        threads = torch.get_num_threads()
        others, _ = spread(list_rows, rows, (flat, starts, inputs, begins, ends, indices), threads)
        values = np.empty(indices.size if others else 0, np.float32)
        if others:
            spread(fetch, rows, (flat, starts, begins, ends, indices, values), threads)
        return cls(begins, ends, indices, values)

    @classmethod
    def of_patches(cls, x: torch.Tensor, kernel: Sequence[int], stride: list[int], padding: list[int]) -> Lists:
        """Of (T, N, H, W, C), images without gaps: T N H' W' rows of kH kW C, what each output pixel sees."""
        images, (high, wide, channels) = x.shape[:2].numel(), x.shape[2:]
        size, taps = reach((high, wide), kernel, stride, padding), prod(kernel) * channels
        flat, starts = memory.rows(x)
        begins, ends = np.empty((2, images * prod(size)), np.int64)
        indices = np.empty(len(begins) * taps + LANES, np.int32)  # few of them are touched
        geometry = tuple(np.array(pair) for pair in ((high, wide, channels), size, kernel, stride, padding))
        threads = torch.get_num_threads()
        others, _ = spread(list_patches, images, (flat, starts, *geometry, begins, ends, indices), threads)
        values = np.empty(indices.size if others else 0, np.float32)
        if others:
            spread(fetch_patches, images, (flat, starts, *geometry, begins, ends, indices, values), threads)
        return cls(begins, ends, indices, values)

    def products(self, matrix: torch.Tensor) -> torch.Tensor:
        """(lists, O): for each list the sum of value * matrix[index], matrix (rows, O)."""
        tiled = _tiled(matrix)
        out = torch.empty(len(self.begins), len(tiled) * WIDE)
        arguments = (self.begins, self.ends, self.indices, self.values, tiled.numpy(), out.numpy())
        spread(multiply, len(self.begins), arguments, torch.get_num_threads())
        return out[:, : matrix.shape[1]]

    def scattered(self, matrix: torch.Tensor, inputs: int) -> torch.Tensor:
        """(inputs, O): for each index the sum of value * matrix[list] over the lists that have it, in their order;
        matrix (lists, O). On one thread."""
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
    """[H', W'] of a convolution."""
    return [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel, stride, padding, strict=True)]
