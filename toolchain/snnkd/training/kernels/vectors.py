"""What the kernels are built of, as vector instructions in LLVM IR, which keep sums in registers; `plain` says what
they do. A product and the sum that it goes into are rounded once where the processor can ("contract"), as in `plain`.
"""

# An intrinsic is called without its first parameter, the typing context.
# pyright: reportCallIssue=false

from __future__ import annotations

import itertools

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from snnkd.engines.fast.kernels.compiling import jit
from snnkd.engines.fast.kernels.vectors import splat, vector_at
from snnkd.training.kernels.sizes import LANES, WIDE

_VECTOR = ir.VectorType(ir.FloatType(), LANES)


@intrinsic
def look(typing_context, x, at):
    """Sets bit k for each x[at + k], k < 8, float32, that is not 0; and bit 8 where any of these is not 1 either."""

    def generate(context, builder, signature, arguments):
        values = builder.load(vector_at(context, builder, x, arguments[0], arguments[1], LANES), align=4)

        def differs(number):
            where = builder.fcmp_unordered("!=", values, ir.Constant(values.type, [number] * LANES))
            return builder.bitcast(where, ir.IntType(8))

        active = differs(0.0)
        graded = builder.icmp_unsigned("!=", builder.and_(active, differs(1.0)), ir.Constant(active.type, 0))
        ninth = builder.shl(builder.zext(graded, ir.IntType(64)), ir.Constant(ir.IntType(64), LANES))
        return builder.or_(builder.zext(active, ir.IntType(64)), ninth)

    return types.int64(x, at), generate


def _entry(context, builder, kinds, arrays, k):
    """Of entry k of a list: where row indices[k] begins, and values[k] in all lanes, None without a list of values.

    kinds, arrays: of (indices, values), or of (indices,).
    """
    numbers = []
    for kind, array in zip(kinds, arrays, strict=True):
        vector = builder.load(vector_at(context, builder, kind, array, k, 1), align=4)
        numbers.append(builder.extract_element(vector, ir.Constant(ir.IntType(32), 0)))
    index, *value = numbers
    row = builder.mul(builder.sext(index, k.type), ir.Constant(k.type, WIDE))
    return row, splat(builder, value[0], _VECTOR) if value else None


def _lanes(context, builder, kind, array, start):
    """Pointers to the vectors of array[start : start + WIDE]."""
    places = (builder.add(start, ir.Constant(start.type, lane)) for lane in range(0, WIDE, LANES))
    return [vector_at(context, builder, kind, array, place, LANES) for place in places]


def _plus(builder, total, addend, scale):
    """total + addend * scale, or total + addend."""
    if scale is not None:
        addend = builder.fmul(addend, scale, flags=("contract",))
    return builder.fadd(total, addend, flags=("contract",))


def _sum_rows(weighted):
    """The intrinsic, without a list of values or with one."""

    def sum_rows(typing_context, out, at, matrix, base, indices, values, first, last):
        def generate(context, builder, signature, arguments):
            target, place, source, start, *lists, low, high = arguments
            sums = [cgutils.alloca_once(builder, _VECTOR) for _ in range(WIDE // LANES)]
            for total in sums:
                builder.store(ir.Constant(_VECTOR, [0.0] * LANES), total)
            with cgutils.for_range(builder, builder.sub(high, low)) as loop:
                k = builder.add(low, loop.index)
                row, scale = _entry(context, builder, (indices, values)[: 1 + weighted], lists[: 1 + weighted], k)
                addends = _lanes(context, builder, matrix, source, builder.add(start, row))
                for total, addend in zip(sums, addends, strict=True):
                    builder.store(_plus(builder, builder.load(total), builder.load(addend, align=4), scale), total)
            for total, goal in zip(sums, _lanes(context, builder, out, target, place), strict=True):
                builder.store(builder.load(total), goal, align=4)
            return context.get_dummy_value()

        return types.void(out, at, matrix, base, indices, values, first, last), generate

    return intrinsic(sum_rows)


def _add_row(weighted):
    """The intrinsic, without a list of values or with one."""

    def add_row(typing_context, out, base, matrix, at, indices, values, first, last):
        def generate(context, builder, signature, arguments):
            target, start, source, place, *lists, low, high = arguments
            addends = [builder.load(lane, align=4) for lane in _lanes(context, builder, matrix, source, place)]
            with cgutils.for_range(builder, builder.sub(high, low)) as loop:
                k = builder.add(low, loop.index)
                row, scale = _entry(context, builder, (indices, values)[: 1 + weighted], lists[: 1 + weighted], k)
                totals = _lanes(context, builder, out, target, builder.add(start, row))
                for total, addend in zip(totals, addends, strict=True):
                    builder.store(_plus(builder, builder.load(total, align=4), addend, scale), total, align=4)
            return context.get_dummy_value()

        return types.void(out, base, matrix, at, indices, values, first, last), generate

    return intrinsic(add_row)


# Arrays are flat; float32, indices int32; k runs over first <= k < last; plain is without the factor values[k].
# _sum: out[at : at + WIDE] = the sum of values[k] * matrix[base + indices[k] * WIDE :][:WIDE].
# _add: out[base + indices[k] * WIDE :][:WIDE] += values[k] * matrix[at : at + WIDE].
sum_weighted, sum_plain = _sum_rows(True), _sum_rows(False)
add_weighted, add_plain = _add_row(True), _add_row(False)


def _tile(rows, vectors):
    """The intrinsic that adds, for so many rows r from `first` on, the sum of a[at + a_rows[r] + terms[k]] *
    b[start + k width :][:vectors * LANES] over k < len(terms) to out[to + to_rows[r] :][:vectors * LANES].

    Arrays are flat, to_rows, a_rows and terms int64, the others float32.
    """

    def tile(typing_context, out, to, to_rows, a, at, a_rows, terms, count, b, start, width, first):
        def generate(context, builder, signature, arguments):
            out_, to_, to_rows_, a_, at_, a_rows_, terms_, count_, b_, start_, width_, first_ = arguments
            number, vector = to_.type, ir.VectorType(ir.FloatType(), LANES)

            def plus(index, addend):
                return builder.add(index, ir.Constant(number, addend) if isinstance(addend, int) else addend)

            def element(kind, array, index, size):
                single = builder.load(vector_at(context, builder, kind, array, index, 1), align=size)
                return builder.extract_element(single, ir.Constant(ir.IntType(32), 0))

            sums = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(rows)]
            for total in itertools.chain(*sums):
                builder.store(ir.Constant(vector, [0.0] * LANES), total)
            places = [plus(at_, element(a_rows, a_rows_, plus(first_, row), 8)) for row in range(rows)]
            with cgutils.for_range(builder, count_) as loop:
                term = element(terms, terms_, loop.index, 8)
                here = plus(start_, builder.mul(loop.index, width_))
                indices = [plus(here, v * LANES) for v in range(vectors)]
                values = [builder.load(vector_at(context, builder, b, b_, k, LANES), align=4) for k in indices]
                for totals, place in zip(sums, places, strict=True):
                    factor = splat(builder, element(a, a_, plus(place, term), 4), vector)
                    for total, value in zip(totals, values, strict=True):
                        product = builder.fmul(value, factor, flags=("contract",))
                        builder.store(builder.fadd(builder.load(total), product, flags=("contract",)), total)
            for row, totals in enumerate(sums):
                place = plus(to_, element(to_rows, to_rows_, plus(first_, row), 8))
                for v, total in enumerate(totals):
                    target = vector_at(context, builder, out, out_, plus(place, v * LANES), LANES)
                    builder.store(builder.fadd(builder.load(target, align=4), builder.load(total)), target, align=4)
            return context.get_dummy_value()

        return types.void(out, to, to_rows, a, at, a_rows, terms, count, b, start, width, first), generate

    return intrinsic(tile)


# As many sums as there are registers for, and fewer for the rows that are left.
_tile_8x1, _tile_4x1, _tile_1x1 = _tile(8, 1), _tile(4, 1), _tile(1, 1)
_tile_6x2, _tile_3x2, _tile_1x2 = _tile(6, 2), _tile(3, 2), _tile(1, 2)
_tile_4x3, _tile_2x3, _tile_1x3 = _tile(4, 3), _tile(2, 3), _tile(1, 3)


@jit
def contract(out, to, to_rows, a, at, a_rows, terms, b, start, width):
    """Does as `plain.contract`: `_tile` for any number of rows, and for a width of any number of vectors."""
    rows, count = a_rows.shape[0], terms.shape[0]
    done = 0
    while done < width:
        o, s, left = to + done, start + done, width - done
        first = 0
        if left == 3 * LANES:
            done += 3 * LANES
            while first + 4 <= rows:
                _tile_4x3(out, o, to_rows, a, at, a_rows, terms, count, b, s, width, first)
                first += 4
            if first + 2 <= rows:
                _tile_2x3(out, o, to_rows, a, at, a_rows, terms, count, b, s, width, first)
                first += 2
            if first < rows:
                _tile_1x3(out, o, to_rows, a, at, a_rows, terms, count, b, s, width, first)
        elif left >= 2 * LANES:
            done += 2 * LANES
            while first + 6 <= rows:
                _tile_6x2(out, o, to_rows, a, at, a_rows, terms, count, b, s, width, first)
                first += 6
            if first + 3 <= rows:
                _tile_3x2(out, o, to_rows, a, at, a_rows, terms, count, b, s, width, first)
                first += 3
            while first < rows:
                _tile_1x2(out, o, to_rows, a, at, a_rows, terms, count, b, s, width, first)
                first += 1
        else:
            done += LANES
            while first + 8 <= rows:
                _tile_8x1(out, o, to_rows, a, at, a_rows, terms, count, b, s, width, first)
                first += 8
            if first + 4 <= rows:
                _tile_4x1(out, o, to_rows, a, at, a_rows, terms, count, b, s, width, first)
                first += 4
            while first < rows:
                _tile_1x1(out, o, to_rows, a, at, a_rows, terms, count, b, s, width, first)
                first += 1


@jit
def sample(x, sums, matrix, indices, values, out, rows, terms):
    """Runs all of them on a small `case`: `compiling.choose` tries it."""
    seen = look(x, 1), look(x, 9), look(x, 17)
    sum_plain(sums, 0, matrix, 8, indices, values, 1, 4)
    sum_weighted(sums, WIDE, matrix, 0, indices, values, 0, 3)
    add_plain(sums, 2 * WIDE, matrix, 5, indices, values, 2, 4)
    add_weighted(sums, WIDE, matrix, 16, indices, values, 0, 2)
    for vectors in range(1, 4):  # each shape of a tile
        contract(out, vectors, rows, matrix, 3, rows, terms, matrix, 7, vectors * LANES)
    return seen


def case() -> tuple[np.ndarray, ...]:
    """Makes the arguments of `sample`: integers, whose sums are exact in any order."""
    x = np.array([9, 0, 1, 0, 0, 1, 1, 0, 0, 1, 2, 0, 1, 1, -1, 0, 0, *[0] * 8], np.float32)
    sums, matrix = np.arange(6 * WIDE, dtype=np.float32), np.arange(-90, 8 * WIDE - 90, dtype=np.float32) % 17
    indices, values = np.array([1, 0, 2, 1], np.int32), np.array([3, -1, 2, 5], np.float32)
    out, rows = np.arange(16 * WIDE, dtype=np.float32), np.arange(13, dtype=np.int64) * 16
    return x, sums, matrix, indices, values, out, rows, np.array([2, 0, 5], np.int64)
