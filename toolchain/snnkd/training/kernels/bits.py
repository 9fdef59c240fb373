"""Unpacks spikes that are kept in one bit each to float32."""

from __future__ import annotations

import numpy as np

from snnkd.engines.fast.kernels.compiling import jit

OF_BYTES = (np.arange(256)[:, None] >> np.arange(8) & 1).astype(np.float32)  # the lowest bit first


@jit
def unpack(bits, indices, table, spikes, first, last):
    """Unpacks the images `first` to `last` of `indices` (N,).

    bits: (images, T, bytes) uint8. table: `OF_BYTES`. spikes: (T, N, count) float32, written.
    """
    count = spikes.shape[2]
    whole_bytes = count // 8
    for n in range(first, last):
        for t in range(spikes.shape[0]):
            row, unpacked = bits[indices[n], t], spikes[t, n]
            for byte in range(whole_bytes):
                values = table[row[byte]]
                for k in range(8):
                    unpacked[byte * 8 + k] = values[k]
            for k in range(whole_bytes * 8, count):
                unpacked[k] = table[row[whole_bytes], k - whole_bytes * 8]
    return 0, 0
