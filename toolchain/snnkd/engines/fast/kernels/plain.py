"""What the kernels are built of, as plain loops: the definition of `vectors`, and what stands in for them.

Arrays are flat, with the index from which on they are meant.
"""

from __future__ import annotations

from snnkd.engines.fast.kernels.compiling import jit
from snnkd.engines.fast.kernels.sizes import GROUP, LANES, TILE


@jit
def add_lanes(sums, at, weight, start):
    """Adds: sums[at : at + LANES] += weight[start : start + LANES], int32 and int16."""
    for k in range(LANES):
        sums[at + k] += weight[start + k]


@jit
def add_block(sums, at, weight, start):
    """Adds as `add_lanes` does, 4 LANES elements."""
    for k in range(4 * LANES):
        sums[at + k] += weight[start + k]


@jit
def add_rows(sums, at, weight, start, rows, position):
    """Adds: sums[at : at + TILE] += weight[start + rows[position + k] :][:TILE] for each k < GROUP; int32, int16.

    The sum of these rows is below 2^15, see `ROW_LIMIT`.
    """
    for k in range(GROUP):
        row = start + rows[position + k]
        for lane in range(TILE):
            sums[at + lane] += weight[row + lane]


@jit
def packed(events, at):
    """Packs the lowest bits of events[at : at + 8], uint8, into an integer below 256, the first event lowest."""
    bits = 0
    for k in range(8):
        bits |= int(events[at + k] & 1) << k  # as NumPy's own type it would wrap in Python
    return bits


@jit
def bits_at(bits, at):
    """Reads at least 25 bits of `bits`, uint8 with the first bit lowest, from bit number `at` on."""
    value = 0
    for k in range(4):
        value |= int(bits[(at >> 3) + k]) << (8 * k)
    return value >> (at & 7)


@jit
def store_active(indices, at, table, bits, base, scale):
    """Writes: indices[at : at + 8] = (base + table[8 * bits :][:8]) << scale; int32, uint8."""
    for k in range(8):
        indices[at + k] = (base + int(table[8 * bits + k])) << scale


@jit
def put(array, at, value):
    """Writes: array[at] = value, int32; `at` is not below 0."""
    array[at] = value


@jit
def clear_group(array, at):
    """Clears: array[at : at + GROUP] = 0, int32."""
    for k in range(GROUP):
        array[at + k] = 0
