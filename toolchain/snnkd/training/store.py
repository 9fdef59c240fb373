"""Keeps what every epoch needs of each image, once it is computed.

On the CPU: spikes as bits (`SpikeStore`) or other values as float32 (`ValueStore`). On another device: the images and
their variants (`DeviceImages`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from snnkd.data.augmentation import Moves
from snnkd.engines.fast.threads import spread
from snnkd.training.kernels.bits import OF_BYTES, unpack

_BLOCK = 4096  # images that are moved together on another device
_AHEAD = 256  # images computed together, more than were asked for: an epoch needs all of them


class DeviceImages:
    """Images and their variants in the memory of another device than the CPU; each variant is computed there.

    images: uint8 (N, C, H, W). moves: says how far each image is moved in a variant, as `augmentation.moves`. most:
    bytes of variants that may be kept; the oldest ones make room.
    """

    def __init__(self, images: np.ndarray, moves: Callable[[int], Moves], device: torch.device, most: int):
        self._images = torch.tensor(np.ascontiguousarray(images.transpose(0, 2, 3, 1)), device=device)
        self._moves, self._most = moves, most
        self._kept: dict[int, torch.Tensor] = {}

    def read(self, indices: torch.Tensor, variant: int) -> torch.Tensor:
        """Looks up the images `indices`, (B,) int64 on the device, in a variant: (B, H, W, C) uint8."""
        if not variant:
            return self._images[indices]
        if variant not in self._kept:
            while self._kept and (len(self._kept) + 1) * self._images.numel() > self._most:
                del self._kept[next(iter(self._kept))]
            self._kept[variant] = self._moved(variant)
        return self._kept[variant][indices]

    def _moved(self, variant: int) -> torch.Tensor:
        """All images in a variant, (N, H, W, C): each pixel is what has moved to its place, or 0 from outside."""
        height, width = self._images.shape[1:3]
        device = self._images.device
        down, right, mirrored = (torch.from_numpy(move).to(device)[:, None] for move in self._moves(variant))
        rows = torch.arange(height, device=device) - down
        columns = torch.arange(width, device=device) - right
        inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
        columns = torch.where(mirrored > 0, width - 1 - columns, columns).clamp(0, width - 1)
        rows = rows.clamp(0, height - 1)
        moved = torch.empty_like(self._images)
        for block in torch.arange(len(moved), device=device).split(_BLOCK):
            picked = self._images[block[:, None, None], rows[block, :, None], columns[block, None, :]]
            moved[block] = picked * inside[block, :, :, None]
        return moved


class ValueStore:
    """Values (T, count) of each image in each of its variants; those of an image are computed when it is first read.

    images, variants: how many. make: computes the values (N, T, count), float32, of the images `indices` in a variant;
    it is asked once for each. The memory of a variant is taken when the first of its images is read.
    """

    def __init__(self, images: int, variants: int, make: Callable[[np.ndarray, int], np.ndarray]):
        self._images, self._make = images, make
        self._rows: list[np.ndarray | None] = [None] * variants
        self._known = np.zeros((variants, images), dtype=bool)

    def read(self, indices: np.ndarray, variant: int) -> torch.Tensor:
        """Looks up the values of the images `indices` (N,) in a variant: (T, N, count) float32."""
        return torch.from_numpy(self._kept(variant, indices)[indices]).transpose(0, 1)

    def _kept(self, variant: int, indices: np.ndarray) -> np.ndarray:
        """What is kept of all images in a variant, complete for those at `indices`."""
        missing = indices[~self._known[variant, indices]]
        if len(missing):
            not_asked = np.setdiff1d(np.flatnonzero(~self._known[variant]), missing)
            self._add(np.concatenate([missing, not_asked[: max(0, _AHEAD - len(missing))]]), variant)
        rows = self._rows[variant]
        assert rows is not None
        return rows

    def _add(self, indices: np.ndarray, variant: int) -> None:
        packed = self._packed(self._make(indices, variant))
        rows = self._rows[variant]
        if rows is None:
            rows = self._rows[variant] = np.empty((self._images, *packed.shape[1:]), dtype=packed.dtype)
        rows[indices] = packed
        self._known[variant, indices] = True

    def _packed(self, values: np.ndarray) -> np.ndarray:
        return values


class SpikeStore(ValueStore):
    """A store of spikes, which `make` returns as uint8 of 0 and 1: each is kept in a bit, T rows of whole bytes."""

    def read(self, indices: np.ndarray, variant: int) -> torch.Tensor:
        """Looks up the spikes of the images `indices` (N,) in a variant: (T, N, count) float32."""
        bits = self._kept(variant, indices)
        spikes = torch.empty(bits.shape[1], len(indices), self._count)
        arguments = (bits, indices.astype(np.int64), OF_BYTES, spikes.numpy())
        spread(unpack, len(indices), arguments, torch.get_num_threads())
        return spikes

    def _packed(self, values: np.ndarray) -> np.ndarray:
        self._count = values.shape[2]
        return np.packbits(values, axis=2, bitorder="little")
