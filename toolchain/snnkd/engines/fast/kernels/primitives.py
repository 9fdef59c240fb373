"""What the kernels are built of: vector instructions where these compile, else plain ones; lists of active inputs."""

from __future__ import annotations

from snnkd.engines.fast.kernels import plain
from snnkd.engines.fast.kernels.compiling import choose, jit
from snnkd.engines.fast.kernels.sizes import ACTIVE_COUNTS, ACTIVE_OFFSETS, GROUP

_chosen = choose("snnkd.engines.fast.kernels.vectors", plain)
add_block, add_lanes, add_rows = _chosen.add_block, _chosen.add_lanes, _chosen.add_rows
bits_at, packed, store_active = _chosen.bits_at, _chosen.packed, _chosen.store_active
clear_group, put = _chosen.clear_group, _chosen.put


@jit
def active(events, first, inputs, indices, place, scale):
    """Writes i << scale for each of `inputs` events that is not 0 to `indices`, from `place` on, where 8 elements more
    than there are inputs must be free; returns how many."""
    at = place
    whole = inputs & ~7
    for base in range(0, whole, 8):
        bits = packed(events, first + base)
        store_active(indices, at, ACTIVE_OFFSETS, bits, base, scale)
        at += ACTIVE_COUNTS[bits]
    for i in range(whole, inputs):
        indices[at] = i << scale
        at += events[first + i]
    return at - place


@jit
def gather(sums, at, pitch, weight, start, rows, room, counts, lists):
    """Adds lists of rows: for each list i and row in it, sums[at + i * pitch :][:TILE] += weight[start + row :][:TILE].

    The rows of a list, counts[i] filled up to GROUP, are in rows[i * room :].
    """
    for i in range(lists):
        for k in range(i * room, i * room + counts[i], GROUP):
            add_rows(sums, at + i * pitch, weight, start, rows, k)
