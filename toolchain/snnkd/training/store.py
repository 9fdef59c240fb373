"""What is needed of each image in every epoch, computed once and kept: spikes as bits, other values as float32; on
another device than the CPU, variants of images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from snnkd.augmentation import Moves
from snnkd.simulation.threads import spread
from snnkd.training.kernels.bits import OF_BYTES, unpack

_BLOCK = 4096  # images that are moved together on another device
_AHEAD = 256  # images computed together, more than were asked for: an epoch needs all of them


class DeviceImages:
    """Images and their variants in the memory of another device than the CPU, each variant made there.

    images: uint8 (N, C, H, W). moves: how far each image is moved in a variant, as `augmentation.moves` tells. The
    variants that came first make room where more than `most` bytes were kept.
    """

    def __init__(self, images: np.ndarray, moves: Callable[[int], Moves], device: torch.device, most: int):
        self._images = torch.tensor(np.ascontiguousarray(images.transpose(0, 2, 3, 1)), device=device)
        self._moves, self._most = moves, most
        self._kept: dict[int, torch.Tensor] = {}

    def read(self, indices: torch.Tensor, variant: int) -> torch.Tensor:
        """(B, H, W, C) uint8 of the images `indices`, int64 on the device."""
        if not variant:
            return self._images[indices]
        if variant not in self._kept:
            while self._kept and (len(self._kept) + 1) * self._images.numel() > self._most:
                del self._kept[next(iter(self._kept))]
            self._kept[variant] = self._made(variant)
        return self._kept[variant][indices]

    def _made(self, variant: int) -> torch.Tensor:
        """All images in a variant: each pixel is the one that has come to its place, or 0 from outside."""
        high, wide = self._images.shape[1:3]
        device = self._images.device
        down, right, mirrored = (torch.from_numpy(move).to(device)[:, None] for move in self._moves(variant))
        rows = torch.arange(high, device=device) - down
        columns = torch.arange(wide, device=device) - right
        inside = ((rows >= 0) & (rows < high))[:, :, None] & ((columns >= 0) & (columns < wide))[:, None, :]
        columns = torch.where(mirrored > 0, wide - 1 - columns, columns).clamp(0, wide - 1)
        rows = rows.clamp(0, high - 1)
        made = torch.empty_like(self._images)
        for part in torch.arange(len(made), device=device).split(_BLOCK):
            picked = self._images[part[:, None, None], rows[part, :, None], columns[part, None, :]]
            made[part] = picked * inside[part, :, :, None]
        return made


class ValueStore:
    """Values (T, count) of each image in each of its variants.

    A variant's memory is taken when the first of its images comes. make: what computes the values (N, T, count),
    float32, of the images `indices` in a variant; it is asked once for each.
    """

    def __init__(self, images: int, variants: int, make: Callable[[np.ndarray, int], np.ndarray]):
        self._images, self._make = images, make
        self._rows: list[np.ndarray | None] = [None] * variants
        self._known = np.zeros((variants, images), dtype=bool)

    def read(self, indices: np.ndarray, variant: int) -> torch.Tensor:
        """(T, N, count) float32 of the images `indices`."""
        return torch.from_numpy(self._of(variant, indices)[indices]).transpose(0, 1)

    def _of(self, variant: int, indices: np.ndarray) -> np.ndarray:
        """What is kept of all images of a variant, that of `indices` complete."""
        missing = indices[~self._known[variant, indices]]
        if len(missing):
            others = np.setdiff1d(np.flatnonzero(~self._known[variant]), missing)
            self._add(np.concatenate([missing, others[: max(0, _AHEAD - len(missing))]]), variant)
        rows = self._rows[variant]
        assert rows is not None
        return rows

    def _add(self, indices: np.ndarray, variant: int) -> None:
        made = self._packed(self._make(indices, variant))
        rows = self._rows[variant]
        if rows is None:
            rows = self._rows[variant] = np.empty((self._images, *made.shape[1:]), dtype=made.dtype)
        rows[indices] = made
        self._known[variant, indices] = True

    def _packed(self, values: np.ndarray) -> np.ndarray:
        return values


class SpikeStore(ValueStore):
    """Spikes, uint8 of 0 and 1 when they are made, kept in one bit each, T rows of whole bytes."""

    def read(self, indices: np.ndarray, variant: int) -> torch.Tensor:
        """(T, N, count) float32 of the images `indices`."""
        bits = self._of(variant, indices)
        spikes = torch.empty(bits.shape[1], len(indices), self._count)
        arguments = (bits, indices.astype(np.int64), OF_BYTES, spikes.numpy())
        spread(unpack, len(indices), arguments, torch.get_num_threads())
        return spikes

    def _packed(self, values: np.ndarray) -> np.ndarray:
        self._count = values.shape[2]
        return np.packbits(values, axis=2, bitorder="little")
