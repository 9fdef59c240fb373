"""What the kernels are built of, as plain loops: the definition of `vectors`, and what stands in for them.

Arrays are flat, with the index from which on they are meant.
"""

from __future__ import annotations

from snnkd.simulation.kernels.compiling import jit
from snnkd.simulation.kernels.sizes import GROUP, LANES, TILE


@jit
def add_lanes(sums, at, weight, start):
    """sums[at : at + LANES] += weight[start : start + LANES], int32 and int16."""
    for k in range(LANES):
        sums[at + k] += weight[start + k]


@jit
def add_block(sums, at, weight, start):
    """As `add_lanes`, 4 LANES elements."""
    for k in range(4 * LANES):
        sums[at + k] += weight[start + k]


@jit
def add_rows(sums, at, weight, start, rows, position):
    """sums[at : at + TILE] += the sum of weight[start + rows[position + k] :][:TILE] over k < GROUP; int32, int16.

    The sum over k is below 2^15, see `ROW_LIMIT`.
    """
    for k in range(GROUP):
        row = start + rows[position + k]
        for lane in range(TILE):
            sums[at + lane] += weight[row + lane]


@jit
def packed(events, at):
    """The lowest bits of events[at : at + 8], uint8, as an integer below 256, the first one lowest."""
    bits = 0
    for k in range(8):
        bits |= (events[at + k] & 1) << k
    return bits


@jit
def bits_at(bits, at):
    """At least 25 bits of `bits`, uint8 with the first bit lowest, from bit number `at` on."""
    value = 0
    for k in range(4):
        value |= int(bits[(at >> 3) + k]) << (8 * k)
    return value >> (at & 7)


@jit
def store_active(found, at, table, bits, base, scale):
    """found[at : at + 8] = (base + table[8 * bits :][:8]) << scale; int32, uint8."""
    for k in range(8):
        found[at + k] = (base + int(table[8 * bits + k])) << scale


@jit
def put(array, at, value):
    """array[at] = value, int32; `at` is not below 0."""
    array[at] = value


@jit
def clear_group(array, at):
    """array[at : at + GROUP] = 0, int32."""
    for k in range(GROUP):
        array[at + k] = 0
