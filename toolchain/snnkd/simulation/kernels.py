"""Compiled kernels of the fast engine. Each runs one layer over a range of samples, all steps, without the GIL.

Arithmetic is that of `snnkd.reference` in 32 bits: callers make sure that sums are below 2^25, where a << 6 fits, and
int32 then holds every value of u and v that the definition can reach. Each kernel has one signature, compiled when it
is first called and kept on disk.

Arguments that all kernels share: events (N, D, inputs) uint8, D the distinct steps: T, or 1 where the input is the same
at all steps; parameters (3, neurons) int32, see `layouts.parameters`; bias (1 or N, neurons) int32, already << 6;
spikes (N, T, neurons) uint8, v_last (N, neurons) int32, and u, v (N, T, neurons) int32 or (0, 0, 0) to leave them out,
are written; first and last bound the range of samples. All return (overflows, saturations).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 8  # int32 in a vector of 256 bits; other machines' compilers split or join as they need
TILE_BITS = 4
TILE = 1 << TILE_BITS  # outputs whose weights are next to each other: all rows of a tile stay in the first-level cache
GROUP = 8  # weight rows that are added in 16 bits before they are widened
ROW_LIMIT = 32767 // GROUP  # so that this many bits cannot overflow
_WINDOW = 16  # steps whose sums are made together, tile by tile
_CHUNK = 2048  # inputs of a convolution whose events are listed at a time

# Eight bytes of 0 or 1 times this have those bits side by side in their highest byte, in some order: _BIT.
_GATHER = 0x0102040810204080
_BIT = [(int.from_bytes(bytes(int(i == k) for i in range(8)), sys.byteorder) * _GATHER >> 56) & 255 for k in range(8)]
_ACTIVE = [[k for k in range(8) if bits & _BIT[k]] for bits in range(256)]  # which bytes are 1, for each pattern
_COUNTS = np.array([len(places) for places in _ACTIVE], np.int64)
_OFFSETS = np.array([(places + [0] * 8)[:8] for places in _ACTIVE], np.uint8).reshape(-1)

_i32 = np.int32
_TOP = np.int32(1 << 23)
_CLIP = np.int32((1 << 23) - 1)


def _jit(function: Callable[..., Any]) -> Callable[..., Any]:
    try:
        return numba.njit(function, nogil=True, cache=True)
    except RuntimeError:  # neither the package nor the user's cache folder can be written: compile in each process
        return numba.njit(function, nogil=True)


def _vector_at(context, builder, array_type, array, index, lanes):
    """Pointer to `lanes` elements of a contiguous array from a flat index on."""
    data = cgutils.create_struct_proxy(array_type)(context, builder, value=array).data
    element = context.get_data_type(array_type.dtype)
    return builder.bitcast(builder.gep(data, [index]), ir.VectorType(element, lanes).as_pointer())


def _splat(builder, value, vector):
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None))


def _accumulate(context, builder, target, addend, lanes):
    wide = ir.VectorType(ir.IntType(32), lanes)
    total = builder.add(builder.load(target, align=4), builder.sext(addend, wide))
    builder.store(total, target, align=4)
    return context.get_dummy_value()


def _add_vector(lanes):
    """sums[at : at + lanes] += weight[start : start + lanes], int32 and int16, contiguous.

    Written as vectors because LLVM cannot know that they do not overlap, and would add one by one.
    """

    def add(typing_context, sums, at, weight, start):
        def generate(context, builder, signature, arguments):
            target = _vector_at(context, builder, sums, arguments[0], arguments[1], lanes)
            source = _vector_at(context, builder, weight, arguments[2], arguments[3], lanes)
            return _accumulate(context, builder, target, builder.load(source, align=2), lanes)

        return types.void(sums, at, weight, start), generate

    return intrinsic(add)


_add_lanes, _add_block = _add_vector(LANES), _add_vector(4 * LANES)


@intrinsic
def _add_rows(typing_context, sums, at, weight, start, rows, position):
    """sums[at : at + TILE] += the sum of weight[start + rows[position + k] :][:TILE], k < GROUP."""

    def generate(context, builder, signature, arguments):
        index_type = arguments[1].type
        total = None
        for k in range(GROUP):
            place = builder.add(arguments[5], ir.Constant(index_type, k))
            row = builder.load(_vector_at(context, builder, rows, arguments[4], place, 1), align=4)
            row = builder.sext(builder.extract_element(row, ir.Constant(ir.IntType(32), 0)), index_type)
            offset = builder.add(arguments[3], row)
            addend = builder.load(_vector_at(context, builder, weight, arguments[2], offset, TILE), align=2)
            total = addend if total is None else builder.add(total, addend)
        target = _vector_at(context, builder, sums, arguments[0], arguments[1], TILE)
        return _accumulate(context, builder, target, total, TILE)

    return types.void(sums, at, weight, start, rows, position), generate


@intrinsic
def _first_bits(typing_context, events, at):
    """The lowest bits of events[at : at + 8], uint8, as an integer below 256; `_BIT` says which is which."""

    def generate(context, builder, signature, arguments):
        data = cgutils.create_struct_proxy(events)(context, builder, value=arguments[0]).data
        word_type = ir.IntType(64)
        place = builder.bitcast(builder.gep(data, [arguments[1]]), word_type.as_pointer())
        word = builder.load(place, align=1)
        product = builder.mul(word, ir.Constant(word_type, _GATHER))
        return builder.lshr(product, ir.Constant(word_type, 56))

    return types.int64(events, at), generate


@intrinsic
def _store_active(typing_context, found, at, table, bits, base, scale):
    """found[at : at + 8] = (base + table[8 * bits :][:8]) << scale, int32 and uint8."""

    def generate(context, builder, signature, arguments):
        wide = ir.VectorType(ir.IntType(32), 8)
        start = builder.mul(arguments[3], ir.Constant(arguments[3].type, 8))
        offsets = builder.load(_vector_at(context, builder, table, arguments[2], start, 8), align=1)
        first, shift = (_splat(builder, builder.trunc(x, ir.IntType(32)), wide) for x in arguments[4:])
        indices = builder.shl(builder.add(builder.zext(offsets, wide), first), shift)
        builder.store(indices, _vector_at(context, builder, found, arguments[0], arguments[1], 8), align=4)
        return context.get_dummy_value()

    return types.void(found, at, table, bits, base, scale), generate


@_jit
def _active(events, found, scale):
    """Writes i << scale for each event i other than 0 to `found`, which has 8 elements to spare; returns how many."""
    count = 0
    whole = events.shape[0] & ~7
    for base in range(0, whole, 8):
        bits = _first_bits(events, base)
        _store_active(found, count, _OFFSETS, bits, base, scale)
        count += _COUNTS[bits]
    for i in range(whole, events.shape[0]):
        found[count] = i << scale
        count += events[i]
    return count


@_jit
def _decay(state, factor):
    """trunc0(state * factor / 4096) for factor in [0, 4096]: the low 12 bits apart, so that 32 bits are enough."""
    low = _i32(_i32(state & 4095) * factor)
    toward_zero = _i32(_i32(state >> 31) & 4095)
    return _i32(_i32(_i32(state >> 12) * factor) + _i32(_i32(low + toward_zero) >> 12))


@_jit
def _step(a, u, v, current, voltage, threshold, bias, spikes):
    """One step of one sample's neurons; arrays are separate and everything is _i32 so that LLVM vectorises."""
    overflows = saturations = _i32(0)
    for i in range(u.shape[0]):
        activation = _i32(a[i] << 6)
        decayed = _decay(u[i], current[i])
        total = _i32(decayed + activation)
        wrapped = _i32(_i32(_i32(decayed ^ total) & _i32(activation ^ total)) < _i32(0))
        above, below = _i32(total > _TOP), _i32(total <= -_TOP)
        corrected = _i32(total - _i32(_i32(above - below) << 24))
        overflows = _i32(overflows + _i32(wrapped + _i32(above + below)))
        charged = _i32(_i32(_decay(v[i], voltage[i]) + corrected) + bias[i])
        clipped = min(max(charged, -_CLIP), _CLIP)
        saturations = _i32(saturations + _i32(clipped != charged))
        fires = clipped > threshold[i]
        u[i] = corrected
        v[i] = _i32(0) if fires else clipped
        spikes[i] = fires
    return overflows, saturations


@_jit
def _neurons(a, state, parameters, bias, spikes):
    return _step(a, state[0], state[1], parameters[0], parameters[1], parameters[2], bias, spikes)


@_jit
def _record(state, n, t, u, v):
    if u.shape[0]:
        u[n, t] = state[0]
        v[n, t] = state[1]


@_jit
def run_sums(sums, parameters, bias, spikes, v_last, u, v, first, last):
    """A layer whose sums are known: sums (N, D, neurons) int32."""
    distinct, neurons = sums.shape[1:]
    repeat = spikes.shape[1] // distinct
    state = np.empty((2, neurons), np.int32)
    overflows = saturations = 0
    for n in range(first, last):
        state[:] = 0
        own_bias = bias[n if bias.shape[0] > 1 else 0]
        for t in range(distinct * repeat):
            made = _neurons(sums[n, t // repeat], state, parameters, own_bias, spikes[n, t])
            overflows += made[0]
            saturations += made[1]
            _record(state, n, t, u, v)
        v_last[n] = state[1]
    return overflows, saturations


@_jit
def _gather(events, weight, exponent, rows, counts, sums):
    """sums (steps, tiles * TILE) from events (steps, inputs) and weight (tiles, inputs + 1, TILE), the last row 0."""
    steps, inputs = events.shape
    flat_weight, flat_rows, flat_sums = weight.reshape(-1), rows.reshape(-1), sums.reshape(-1)
    for t in range(steps):
        counts[t] = _active(events[t], rows[t], TILE_BITS)
        rows[t, counts[t] : counts[t] + GROUP] = inputs << TILE_BITS
    sums[:steps] = 0
    for tile in range(weight.shape[0]):
        start = tile * (inputs + 1) << TILE_BITS
        for t in range(steps):
            at = t * sums.shape[1] + (tile << TILE_BITS)
            for k in range(0, counts[t], GROUP):
                _add_rows(flat_sums, at, flat_weight, start, flat_rows, t * rows.shape[1] + k)
    if exponent > 0:
        sums[:steps] <<= exponent
    elif exponent < 0:
        sums[:steps] >>= -exponent


@_jit
def run_dense(events, weight, exponent, parameters, bias, spikes, v_last, u, v, first, last):
    """A dense layer on events 0 or 1; weight (tiles, inputs + 1, TILE) int16 as `layouts.dense_weight` lays it out."""
    distinct, inputs = events.shape[1:]
    repeat = spikes.shape[1] // distinct
    rows, counts = np.empty((_WINDOW, inputs + GROUP), np.int32), np.empty(_WINDOW, np.int64)
    sums, state = np.empty((_WINDOW, weight.shape[0] * TILE), np.int32), np.empty((2, spikes.shape[2]), np.int32)
    overflows = saturations = 0
    for n in range(first, last):
        state[:] = 0
        for start in range(0, distinct, _WINDOW):
            window = min(_WINDOW, distinct - start)
            _gather(events[n, start : start + window], weight, exponent, rows, counts, sums)
            for k in range(window * repeat):
                t = start + k  # repeat > 1 only where the first window is the only one
                made = _neurons(sums[k // repeat], state, parameters, bias[0], spikes[n, t])
                overflows += made[0]
                saturations += made[1]
                _record(state, n, t, u, v)
        v_last[n] = state[1]
    return overflows, saturations


@_jit
def _scatter(events, weight, places, rows, row, pitch, found, sums):
    """Adds the block of weights of each event to the sums; see `layouts.ConvLayout` for the arguments."""
    whole = row // (4 * LANES) * (4 * LANES)
    for base in range(0, events.shape[0], _CHUNK):
        count = _active(events[base : base + _CHUNK], found, 0)
        for k in range(count):
            at = np.int64(places[base + found[k], 0])
            start = np.int64(places[base + found[k], 1])
            for _ in range(rows):
                for lane in range(0, whole, 4 * LANES):
                    _add_block(sums, at + lane, weight, start + lane)
                for lane in range(whole, row, LANES):
                    _add_lanes(sums, at + lane, weight, start + lane)
                at += pitch
                start += row


@_jit
def _crop(sums, inside, width, a):
    """Copies the rows of the output from the sums, which have margins."""
    for k in range(inside.shape[0]):
        source, target = sums[inside[k] : inside[k] + width], a[k * width : (k + 1) * width]
        for i in range(width):
            target[i] = source[i]


@_jit
def run_conv(
    events, weight, places, rows, row, pitch, size, inside, width,
    parameters, bias, spikes, v_last, u, v, first, last,
):  # fmt: skip
    """A convolution on events 0 or 1; see `layouts.ConvLayout`. Neurons are (groups, H, W, channels) in here."""
    distinct = events.shape[1]
    repeat = spikes.shape[1] // distinct
    sums, found = np.empty(size + LANES, np.int32), np.empty(_CHUNK + LANES, np.int32)
    a, state = np.empty(spikes.shape[2], np.int32), np.empty((2, spikes.shape[2]), np.int32)
    overflows = saturations = 0
    for n in range(first, last):
        state[:] = 0
        for t in range(distinct * repeat):
            if t % repeat == 0:
                sums[:] = 0
                _scatter(events[n, t // repeat], weight, places, rows, row, pitch, found, sums)
                _crop(sums, inside, width, a)
            made = _neurons(a, state, parameters, bias[0], spikes[n, t])
            overflows += made[0]
            saturations += made[1]
            _record(state, n, t, u, v)
        v_last[n] = state[1]
    return overflows, saturations


@_jit
def delayed_sums(events, weight, slot, waits, exponent, sums, first, last):
    """Sums of a dense layer with delays, written to sums (N, T, outputs) int64, which is zeroed before.

    events (N, T, inputs) int32; weight and slot (inputs, outputs) int64 and int32: waits[slot] is a synapse's delay.
    Synapses of each delay sum and shift on their own, when the event is sent. Returns (0, 0).
    """
    steps, inputs = events.shape[1:]
    outputs = weight.shape[1]
    parts = np.empty((waits.shape[0], outputs), np.int64)
    for n in range(first, last):
        for t in range(steps):
            parts[:] = 0
            for i in range(inputs):
                if events[n, t, i]:
                    for o in range(outputs):
                        parts[slot[i, o], o] += weight[i, o] * events[n, t, i]
            for k in range(waits.shape[0]):
                if t + waits[k] < steps:
                    for o in range(outputs):
                        part = np.int64(np.int32(parts[k, o]))
                        sums[n, t + waits[k], o] += part << exponent if exponent > 0 else part >> -exponent
    return 0, 0
