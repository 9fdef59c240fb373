"""Kernels of `lists`: making lists of what is not 0, and sums of rows by them."""

# An intrinsic is called without its first parameter, the typing context.
# pyright: reportCallIssue=false

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from snnkd.simulation.vectors import ACTIVE_COUNTS, ACTIVE_OFFSETS, jit, splat, store_active, vector_at

LANES = 8  # float32 in a vector of 256 bits
WIDE = 4 * LANES  # outputs whose sums stay in registers
_VECTOR = ir.VectorType(ir.FloatType(), LANES)


@intrinsic
def _look(typing_context, x, at):
    """Of x[at : at + 8], float32: one bit for each that is not 0, the first one lowest; 256 if one is not 1 either."""

    def generate(context, builder, signature, arguments):
        values = builder.load(vector_at(context, builder, x, arguments[0], arguments[1], LANES), align=4)

        def differs(number):
            where = builder.fcmp_unordered("!=", values, ir.Constant(values.type, [number] * LANES))
            return builder.bitcast(where, ir.IntType(8))

        active = differs(0.0)
        other = builder.icmp_unsigned("!=", builder.and_(active, differs(1.0)), ir.Constant(active.type, 0))
        high = builder.shl(builder.zext(other, ir.IntType(64)), ir.Constant(ir.IntType(64), LANES))
        return builder.or_(builder.zext(active, ir.IntType(64)), high)

    return types.int64(x, at), generate


def _entry(context, builder, kinds, arrays, k):
    """Of entry k of a list: where row indices[k] begins, and values[k] in all lanes, None without a list of values.

    kinds, arrays: of (indices, values), or of (indices,).
    """
    found = []
    for kind, array in zip(kinds, arrays, strict=True):
        one = builder.load(vector_at(context, builder, kind, array, k, 1), align=4)
        found.append(builder.extract_element(one, ir.Constant(ir.IntType(32), 0)))
    index, *value = found
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
_sum_weighted, _sum_plain = _sum_rows(True), _sum_rows(False)
_add_weighted, _add_plain = _add_row(True), _add_row(False)


@jit
def _list_some(x, start, count, base, indices, end):
    """Lists base + i of the x[start + i], i < count, that are not 0 from indices[end] on; where the list ends, and
    whether there is another number than 0 and 1."""
    others = 0
    for i in range(0, count & ~7, 8):
        seen = _look(x, start + i)
        bits = seen & 255
        store_active(indices, end, ACTIVE_OFFSETS, bits, base + i, 0)
        end += ACTIVE_COUNTS[bits]
        others |= seen
    for i in range(count & ~7, count):
        value = x[start + i]
        indices[end] = base + i
        end += value != 0
        others |= ((value != 0) & (value != 1)) << 8
    return end, others >> 8


@jit
def list_rows(x, starts, inputs, begins, ends, indices, first, last):
    """Lists of the rows `first` to `last`, which begin at x[starts]; whether there is another number than 0 and 1."""
    others = 0
    for m in range(first, last):
        ends[m], other = _list_some(x, starts[m], inputs, 0, indices, begins[m])
        others |= other
    return others, 0


@jit
def list_patches(x, starts, image, size, kernel, stride, padding, begins, ends, indices, first, last):
    """Lists of what the output pixels of the images `first` to `last` see, one behind the other; else as `list_rows`.
    image: (H, W, C); size: (H', W')."""
    high, wide, channels = image
    row, others = first * size[0] * size[1], 0
    end = row * kernel[0] * kernel[1] * channels
    for m in range(first, last):
        for y in range(size[0]):
            top = y * stride[0] - padding[0]
            for z in range(size[1]):
                left = z * stride[1] - padding[1]
                begin, skipped = max(left, 0), max(-left, 0)
                count = max(min(left + kernel[1], wide) - begin, 0) * channels  # padding may be wider than a kernel
                begins[row] = end
                for k in range(max(-top, 0), min(kernel[0], high - top)):
                    place = starts[m] + ((top + k) * wide + begin) * channels
                    base = (k * kernel[1] + skipped) * channels
                    end, other = _list_some(x, place, count, base, indices, end)
                    others |= other
                ends[row] = end
                row += 1
    return others, 0


@jit
def fetch_patches(x, starts, image, size, kernel, stride, padding, begins, ends, indices, values, first, last):
    """The values of what `list_patches` has listed."""
    line, taps = image[1] * image[2], kernel[1] * image[2]
    row = first * size[0] * size[1]
    for m in range(first, last):
        for y in range(size[0]):
            for z in range(size[1]):
                corner = (y * stride[0] - padding[0]) * line + (z * stride[1] - padding[1]) * image[2]
                for k in range(begins[row], ends[row]):
                    values[k] = x[starts[m] + corner + indices[k] // taps * line + indices[k] % taps]
                row += 1
    return 0, 0


@jit
def fetch(x, starts, begins, ends, indices, values, first, last):
    """The values of the rows `first` to `last`."""
    for m in range(first, last):
        for k in range(begins[m], ends[m]):
            values[k] = x[starts[m] + indices[k]]
    return 0, 0


@jit
def multiply(begins, ends, indices, values, matrix, out, first, last):
    """Lists `first` to `last` with matrix (tiles, rows, WIDE) to out (lists, tiles * WIDE)."""
    tiles, rows = matrix.shape[:2]
    flat, sums = matrix.reshape(-1), out.reshape(-1)
    for tile in range(tiles):
        base = tile * rows * WIDE
        for n in range(first, last):
            at = (n * tiles + tile) * WIDE
            if values.shape[0]:
                _sum_weighted(sums, at, flat, base, indices, values, begins[n], ends[n])
            else:
                _sum_plain(sums, at, flat, base, indices, values, begins[n], ends[n])
    return 0, 0


@jit
def scatter(begins, ends, indices, values, matrix, out):
    """Adds the rows of matrix (tiles, lists, WIDE), times the values of its list, to out (tiles, inputs, WIDE)."""
    (tiles, lists), inputs = matrix.shape[:2], out.shape[1]
    flat, sums = matrix.reshape(-1), out.reshape(-1)
    for tile in range(tiles):
        base = tile * inputs * WIDE
        for n in range(lists):
            at = (tile * lists + n) * WIDE
            if values.shape[0]:
                _add_weighted(sums, base, flat, at, indices, values, begins[n], ends[n])
            else:
                _add_plain(sums, base, flat, at, indices, values, begins[n], ends[n])
