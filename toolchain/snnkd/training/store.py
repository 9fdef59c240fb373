"""Spikes that are needed in every epoch, computed once and kept as bits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from snnkd.simulation.threads import spread
from snnkd.simulation.vectors import jit

_AHEAD = 256  # images computed together, more than were asked for: an epoch needs all of them
_BITS = (np.arange(256)[:, None] >> np.arange(8) & 1).astype(np.float32)  # of each byte, the lowest first


class SpikeStore:
    """Spikes (T, count) of each image in each of its variants, one bit each, T rows of whole bytes.

    A variant's memory is taken when the first of its images comes. make: what computes spikes (N, T, count), uint8 of
    0 and 1, of the images `indices` in a variant; it is asked once for each.
    """

    def __init__(self, images: int, variants: int, make: Callable[[np.ndarray, int], np.ndarray]):
        self._images, self._make = images, make
        self._bits: list[np.ndarray | None] = [None] * variants
        self._known = np.zeros((variants, images), dtype=bool)

    def read(self, indices: np.ndarray, variant: int) -> torch.Tensor:
        """(T, N, count) float32 of the images `indices`."""
        missing = indices[~self._known[variant, indices]]
        if len(missing):
            others = np.setdiff1d(np.flatnonzero(~self._known[variant]), missing)
            self._add(np.concatenate([missing, others[: max(0, _AHEAD - len(missing))]]), variant)
        bits = self._bits[variant]
        assert bits is not None
        spikes = torch.empty(bits.shape[1], len(indices), self._count)
        spread(_unpack, len(indices), (bits, indices.astype(np.int64), _BITS, spikes.numpy()), torch.get_num_threads())
        return spikes

    def _add(self, indices: np.ndarray, variant: int) -> None:
        spikes = self._make(indices, variant)
        packed = np.packbits(spikes, axis=2, bitorder="little")
        bits = self._bits[variant]
        if bits is None:
            bits = self._bits[variant] = np.empty((self._images, *packed.shape[1:]), dtype=np.uint8)
            self._count = spikes.shape[2]
        bits[indices] = packed
        self._known[variant, indices] = True


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
