"""What the kernels are built of, as plain loops: the definition of `vectors`, and what stands in for them.

Arrays are flat, with the index from which on they are meant; float32, indices int32. All sums are made in the order of
their terms, and a product and the sum that it goes into are rounded once where the processor can, as in `vectors`.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from snnkd.engines.fast.kernels.compiling import jit
from snnkd.training.kernels.sizes import LANES, WIDE

_fused = partial(jit, contract=True)


@jit
def look(x, at):
    """Sets bit k for each x[at + k], k < 8, that is not 0; and bit 8 where any of these is not 1 either."""
    bits = 0
    for k in range(8):
        value = x[at + k]
        bits |= int(value != 0) << k | int((value != 0) & (value != 1)) << 8
    return (bits & 255) | int(bits > 255) << 8


@_fused
def sum_weighted(out, at, matrix, base, indices, values, first, last):
    """Sums values[k] * matrix[base + indices[k] * WIDE :][:WIDE] over first <= k < last to out[at : at + WIDE]."""
    for lane in range(WIDE):
        out[at + lane] = np.float32(0)
    for k in range(first, last):
        row = base + indices[k] * WIDE
        for lane in range(WIDE):
            out[at + lane] += values[k] * matrix[row + lane]


@jit
def sum_plain(out, at, matrix, base, indices, values, first, last):
    """Does as `sum_weighted` with values of 1, which are not read."""
    for lane in range(WIDE):
        out[at + lane] = np.float32(0)
    for k in range(first, last):
        row = base + indices[k] * WIDE
        for lane in range(WIDE):
            out[at + lane] += matrix[row + lane]


@_fused
def add_weighted(out, base, matrix, at, indices, values, first, last):
    """Adds values[k] * matrix[at : at + WIDE] to out[base + indices[k] * WIDE :][:WIDE] for first <= k < last."""
    for k in range(first, last):
        row = base + indices[k] * WIDE
        for lane in range(WIDE):
            out[row + lane] += values[k] * matrix[at + lane]


@jit
def add_plain(out, base, matrix, at, indices, values, first, last):
    """Does as `add_weighted` with values of 1, which are not read."""
    for k in range(first, last):
        row = base + indices[k] * WIDE
        for lane in range(WIDE):
            out[row + lane] += matrix[at + lane]


@_fused
def contract(out, to, to_rows, a, at, a_rows, terms, b, start, width):
    """Adds, for each row r of a_rows, the sum of a[at + a_rows[r] + terms[k]] * b[start + k width :][:width] over k to
    out[to + to_rows[r] :][:width]; to_rows, a_rows and terms int64. width: a multiple of LANES.

    Where rows of `out` overlap, the order counts: two vectors of all rows first, or the last three, then the next ones.
    """
    totals = np.empty(3 * LANES, np.float32)
    done = 0
    while done < width:
        left = width - done
        part = 3 * LANES if left == 3 * LANES else min(left, 2 * LANES)
        for r in range(a_rows.shape[0]):
            totals[:] = np.float32(0)
            for k in range(terms.shape[0]):
                factor = a[at + a_rows[r] + terms[k]]
                first = start + k * width + done
                for lane in range(part):
                    totals[lane] += b[first + lane] * factor
            first = to + to_rows[r] + done
            for lane in range(part):
                out[first + lane] += totals[lane]
        done += part
