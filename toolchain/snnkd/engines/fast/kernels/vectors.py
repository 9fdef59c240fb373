"""What the kernels are built of, as vector instructions.

LLVM cannot know that the arrays of a scattered addition do not overlap, and would add element by element; so these few
are written in LLVM IR, of which each machine's compiler makes what it has. `plain` says what they do. Arrays are flat,
with the index from which on they are meant: a view would cost counting its references, twice.
"""

# An intrinsic is called without its first parameter, the typing context.
# pyright: reportCallIssue=false

from __future__ import annotations

import sys

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from snnkd.engines.fast.kernels.compiling import jit
from snnkd.engines.fast.kernels.sizes import ACTIVE_OFFSETS, GROUP, LANES, TILE

# Eight bytes of 0 or 1, the first one lowest, times this have their bits side by side in the highest byte.
_PACK = 0x0102040810204080


def vector_at(context, builder, array_type, array, index, lanes):
    """Points to `lanes` elements of a contiguous array from a flat index on."""
    data = cgutils.create_struct_proxy(array_type)(context, builder, value=array).data
    element = context.get_data_type(array_type.dtype)
    return builder.bitcast(builder.gep(data, [index]), ir.VectorType(element, lanes).as_pointer())


def _integer_at(context, builder, array_type, array, index, bits):
    """`bits` bits of a uint8 array from a flat index on, the first byte lowest."""
    data = cgutils.create_struct_proxy(array_type)(context, builder, value=array).data
    place = builder.bitcast(builder.gep(data, [index]), ir.IntType(bits).as_pointer())
    value = builder.load(place, align=1)
    return builder.bswap(value) if sys.byteorder == "big" else value


def splat(builder, value, vector):
    """Builds a vector that has `value` in each lane."""
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None))


def _accumulate(context, builder, target, addend, lanes):
    wide = ir.VectorType(ir.IntType(32), lanes)
    total = builder.add(builder.load(target, align=4), builder.sext(addend, wide))
    builder.store(total, target, align=4)
    return context.get_dummy_value()


def _add_vector(lanes):
    """sums[at : at + lanes] += weight[start : start + lanes], int32 and int16."""

    def add(typing_context, sums, at, weight, start):
        def generate(context, builder, signature, arguments):
            target = vector_at(context, builder, sums, arguments[0], arguments[1], lanes)
            source = vector_at(context, builder, weight, arguments[2], arguments[3], lanes)
            return _accumulate(context, builder, target, builder.load(source, align=2), lanes)

        return types.void(sums, at, weight, start), generate

    return intrinsic(add)


add_lanes, add_block = _add_vector(LANES), _add_vector(4 * LANES)


@intrinsic
def add_rows(typing_context, sums, at, weight, start, rows, position):
    """sums[at : at + TILE] += the sum of weight[start + rows[position + k] :][:TILE] over k < GROUP; int32, int16."""

    def generate(context, builder, signature, arguments):
        index_type = arguments[1].type
        total = None
        for k in range(GROUP):
            place = builder.add(arguments[5], ir.Constant(index_type, k))
            row = builder.load(vector_at(context, builder, rows, arguments[4], place, 1), align=4)
            row = builder.sext(builder.extract_element(row, ir.Constant(ir.IntType(32), 0)), index_type)
            offset = builder.add(arguments[3], row)
            addend = builder.load(vector_at(context, builder, weight, arguments[2], offset, TILE), align=2)
            total = addend if total is None else builder.add(total, addend)
        target = vector_at(context, builder, sums, arguments[0], arguments[1], TILE)
        return _accumulate(context, builder, target, total, TILE)

    return types.void(sums, at, weight, start, rows, position), generate


@intrinsic
def packed(typing_context, events, at):
    """The lowest bits of events[at : at + 8], uint8, as an integer below 256, the first one lowest."""

    def generate(context, builder, signature, arguments):
        word = _integer_at(context, builder, events, arguments[0], arguments[1], 64)
        product = builder.mul(word, ir.Constant(word.type, _PACK))
        return builder.lshr(product, ir.Constant(word.type, 56))

    return types.int64(events, at), generate


@intrinsic
def bits_at(typing_context, bits, at):
    """At least 25 bits of `bits`, uint8 with the first bit lowest, from bit number `at` on."""

    def generate(context, builder, signature, arguments):
        byte = builder.lshr(arguments[1], ir.Constant(arguments[1].type, 3))
        value = builder.zext(_integer_at(context, builder, bits, arguments[0], byte, 32), arguments[1].type)
        return builder.lshr(value, builder.and_(arguments[1], ir.Constant(arguments[1].type, 7)))

    return types.int64(bits, at), generate


@intrinsic
def store_active(typing_context, indices, at, table, bits, base, scale):
    """indices[at : at + 8] = (base + table[8 * bits :][:8]) << scale; int32, uint8."""

    def generate(context, builder, signature, arguments):
        wide = ir.VectorType(ir.IntType(32), 8)
        start = builder.mul(arguments[3], ir.Constant(arguments[3].type, 8))
        offsets = builder.load(vector_at(context, builder, table, arguments[2], start, 8), align=1)
        first, shift = (splat(builder, builder.trunc(x, ir.IntType(32)), wide) for x in arguments[4:])
        values = builder.shl(builder.add(builder.zext(offsets, wide), first), shift)
        builder.store(values, vector_at(context, builder, indices, arguments[0], arguments[1], 8), align=4)
        return context.get_dummy_value()

    return types.void(indices, at, table, bits, base, scale), generate


@intrinsic
def put(typing_context, array, at, value):
    """array[at] = value, int32, without asking whether `at` is below 0."""

    def generate(context, builder, signature, arguments):
        target = vector_at(context, builder, array, arguments[0], arguments[1], 1)
        element = builder.bitcast(target, ir.IntType(32).as_pointer())
        builder.store(builder.trunc(arguments[2], ir.IntType(32)), element, align=4)
        return context.get_dummy_value()

    return types.void(array, at, value), generate


@intrinsic
def clear_group(typing_context, array, at):
    """array[at : at + GROUP] = 0, int32."""

    def generate(context, builder, signature, arguments):
        target = vector_at(context, builder, array, arguments[0], arguments[1], GROUP)
        builder.store(ir.Constant(target.type.pointee, None), target, align=4)
        return context.get_dummy_value()

    return types.void(array, at), generate


@jit
def sample(sums, weight, rows, events, indices):
    """Runs all of them on a small `case`: `compiling.choose` tries it."""
    add_lanes(sums, 1, weight, 3)
    add_block(sums, 2, weight, 5)
    add_rows(sums, 4, weight, 2, rows, 1)
    bits = packed(events, 3)
    store_active(indices, 2, ACTIVE_OFFSETS, bits, 7, 2)
    put(indices, 11, -5)
    clear_group(indices, 12)
    return bits, bits_at(events, 13)


def case() -> tuple[np.ndarray, ...]:
    """Makes arguments of `sample`, the same ones at every call."""
    sums, weight = np.arange(40, dtype=np.int32), np.arange(-60, 60, dtype=np.int16) * 50
    rows, events = np.arange(GROUP + 1, dtype=np.int32) * 9, np.array([0, 1, 1, 0, 1, 0, 1, 1] * 2, np.uint8)
    return sums, weight, rows, events, np.full(24, 3, np.int32)
