"""How many numbers the kernels take at a time, and tables of the patterns of eight bits."""

from __future__ import annotations

import numpy as np

LANES = 8  # int32 in a vector of 256 bits
TILE_BITS = 4
TILE = 1 << TILE_BITS  # outputs whose weights are side by side, so that all rows of a tile stay in the nearest cache
GROUP = 8  # rows that are added in 16 bits before they are widened
ROW_LIMIT = 32767 // GROUP  # largest element of a row for which these 16 bits are enough

_ACTIVE = [[k for k in range(8) if bits >> k & 1] for bits in range(256)]
ACTIVE_COUNTS = np.array([len(places) for places in _ACTIVE], np.int64)
ACTIVE_OFFSETS = np.array([(places + [0] * 8)[:8] for places in _ACTIVE], np.uint8).reshape(-1)
