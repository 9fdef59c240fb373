"""Spikes that are kept in one bit each, as float32 again."""

from __future__ import annotations

import numpy as np

from snnkd.simulation.kernels.compiling import jit

OF_BYTES = (np.arange(256)[:, None] >> np.arange(8) & 1).astype(np.float32)  # the lowest bit first


@jit
def unpack(bits, indices, table, spikes, first, last):
    """Images `first` to `last` of `indices`; bits (images, T, bytes), table `OF_BYTES`, spikes (T, N, count)
    float32."""
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
