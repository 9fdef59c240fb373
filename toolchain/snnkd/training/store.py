"""What is needed of each image in every epoch, computed once and kept: spikes as bits, other values as float32."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from snnkd.simulation.threads import spread
from snnkd.simulation.vectors import jit

_BLOCK = 4096  # images computed together for another device
_AHEAD = 256  # images computed together, more than were asked for: an epoch needs all of them
_BITS = (np.arange(256)[:, None] >> np.arange(8) & 1).astype(np.float32)  # of each byte, the lowest first


class DeviceStore:
    """uint8 values of each image in each of its variants, in the memory of another device than the CPU.

    make: what computes the values (N, ...) uint8 of the images `indices` in a variant; it is asked for all images when
    the first of a variant are read. The variants that came first make room where more than `most` bytes were kept.
    """

    def __init__(self, images: int, make: Callable[[np.ndarray, int], np.ndarray], device: torch.device, most: int):
        self._images, self._make, self._device, self._most = images, make, device, most
        self._kept: dict[int, torch.Tensor] = {}

    def read(self, indices: np.ndarray, variant: int) -> torch.Tensor:
        """(N, ...) uint8 of the images `indices`."""
        if variant not in self._kept:
            self._add(variant)
        return self._kept[variant][torch.from_numpy(indices).to(self._device)]

    def _add(self, variant: int) -> None:
        blocks = np.array_split(np.arange(self._images), -(-self._images // _BLOCK))
        made = torch.cat([torch.from_numpy(self._make(indices, variant)).to(self._device) for indices in blocks])
        while self._kept and (len(self._kept) + 1) * made.numel() > self._most:
            del self._kept[next(iter(self._kept))]
        self._kept[variant] = made


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
        spread(_unpack, len(indices), (bits, indices.astype(np.int64), _BITS, spikes.numpy()), torch.get_num_threads())
        return spikes

    def _packed(self, values: np.ndarray) -> np.ndarray:
        self._count = values.shape[2]
        return np.packbits(values, axis=2, bitorder="little")


@jit
def _unpack(bits, indices, table, spikes, first, last):
    """Images `first` to `last` of `indices`; bits (images, T, bytes), spikes (T, N, count) float32."""
    count = spikes.shape[2]
    whole = count // 8
    for n in range(first, last):
        for t in range(spikes.shape[0]):
            row, made = bits[indices[n], t], spikes[t, n]
            for byte in range(whole):
                values = table[row[byte]]
                for k in range(8):
                    made[byte * 8 + k] = values[k]
            for k in range(whole * 8, count):
                made[k] = table[row[whole], k - whole * 8]
    return 0, 0
