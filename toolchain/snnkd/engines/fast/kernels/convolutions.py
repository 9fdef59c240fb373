"""Compiled kernels of convolutions on events 0 or 1, by two strategies; `conv_layouts` prepares what they read.

Arguments and results that all kernels share are explained in `layers`.
"""

from __future__ import annotations

import numpy as np

from snnkd.engines.fast.kernels.compiling import jit
from snnkd.engines.fast.kernels.layers import advance, record
from snnkd.engines.fast.kernels.primitives import (
    active,
    add_block,
    add_lanes,
    bits_at,
    clear_group,
    gather,
    packed,
    put,
)
from snnkd.engines.fast.kernels.sizes import GROUP, LANES, TILE, TILE_BITS

_CHUNK = 2048  # inputs whose events are listed at a time


@jit
def _scatter(events, first, weight, places, rows, row, pitch, indices, sums):
    """Adds the block of weights of each event to the sums; events are those from `first` on."""
    inputs = places.shape[0]
    whole = row // (4 * LANES) * (4 * LANES)
    for base in range(0, inputs, _CHUNK):
        count = active(events, first + base, min(_CHUNK, inputs - base), indices, 0, 0)
        for k in range(count):
            at = np.int64(places[base + indices[k], 0])
            start = np.int64(places[base + indices[k], 1])
            for _ in range(rows):
                for lane in range(0, whole, 4 * LANES):
                    add_block(sums, at + lane, weight, start + lane)
                for lane in range(whole, row, LANES):
                    add_lanes(sums, at + lane, weight, start + lane)
                at += pitch
                start += row


@jit
def _crop(sums, inside, width, a):
    """Copies the rows of the output from the sums, which have margins."""
    for k in range(inside.shape[0]):
        source, target = sums[inside[k] : inside[k] + width], a[0, k * width : (k + 1) * width]
        for i in range(width):
            target[i] = source[i]


@jit
def run_scatter(
    events, weight, places, rows, row, pitch, size, inside, width,
    parameters, bias, spikes, v_last, u, v, first, last,
):  # fmt: skip
    """Runs a convolution by events: each adds a block of weights to the sums; see `conv_layouts.Scatter`."""
    distinct, inputs = events.shape[1:]
    repeat = spikes.shape[1] // distinct
    flat_events = events.reshape(-1)
    sums, indices = np.empty(size + LANES, np.int32), np.empty(_CHUNK + 8, np.int32)
    a, state = np.empty((1, spikes.shape[2]), np.int32), np.empty((2, spikes.shape[2]), np.int32)
    overflows = saturations = 0
    for n in range(first, last):
        state[:] = 0
        for t in range(distinct * repeat):
            if t % repeat == 0:
                at = (n * distinct + t // repeat) * inputs
                sums[:] = 0
                _scatter(flat_events, at, weight, places, rows, row, pitch, indices, sums)
                _crop(sums, inside, width, a)
            changes = advance(a, 0, state, parameters, bias, 0, spikes, n, t)
            overflows += changes[0]
            saturations += changes[1]
            record(state, n, t, u, v)
        v_last[n] = state[1]
    return overflows, saturations


@jit
def _pack(events, first, places, run, padded, bits):
    """Copies events, `run` at a time, to where places has them in `padded`, and packs eight of that into one byte."""
    for k in range(places.shape[0]):
        if run == 1:
            padded[places[k]] = events[first + k]
            continue
        begin = first + k * run
        source, target = events[begin : begin + run], padded[places[k] : places[k] + run]
        for i in range(run):
            target[i] = source[i]
    for byte in range(padded.shape[0] // 8):
        bits[byte] = packed(padded, byte * 8)


@jit
def _list_patterns(bits, at, step, offsets, width, rows, room, counts):
    """For each output pixel of a row the table rows of its patterns, 0 apart; at: its bit, step: to the next."""
    mask = (1 << width) - 1
    for x in range(counts.shape[0]):
        place = x * room
        for k in range(offsets.shape[0]):
            pattern = bits_at(bits, at + offsets[k]) & mask
            put(rows, place, (k << width | pattern) << TILE_BITS)
            place += pattern != 0
        clear_group(rows, place)
        counts[x] = place - x * room
        at += step


@jit
def _pattern_sums(bits, table, shape, offsets, width, high, row_step, step, plane, rows, counts, a, channels):
    """Sums (groups, H', W', channels) of one step; table, flat, has the shape (groups, tiles, rows, TILE).

    Past the channels a tile has zeros, so that it may reach over the next pixel's sums.
    """
    groups, tiles, table_rows = shape
    wide, room = counts.shape[0], offsets.shape[0] + GROUP
    a[:] = 0
    for group in range(groups):
        for y in range(high):
            _list_patterns(bits, group * plane + y * row_step, step, offsets, width, rows, room, counts)
            place = (group * high + y) * wide * channels
            for tile in range(tiles):
                start = (group * tiles + tile) * table_rows << TILE_BITS
                gather(a, place + (tile << TILE_BITS), channels, table, start, rows, room, counts, wide)


@jit
def run_patterns(
    events, table, offsets, width, high, wide, row_step, step, plane, places, run, size,
    parameters, bias, spikes, v_last, u, v, first, last,
):  # fmt: skip
    """Runs a convolution by tables: each output pixel adds a row for several inputs; see `conv_layouts.Patterns`."""
    distinct, inputs = events.shape[1:]
    repeat = spikes.shape[1] // distinct
    shape = table.shape[:3]
    flat_events, flat_table = events.reshape(-1), table.reshape(-1)
    padded, bits = np.zeros(size, np.uint8), np.zeros(size // 8 + 8, np.uint8)
    rows, counts = np.empty(wide * (offsets.shape[0] + GROUP), np.int32), np.empty(wide, np.int64)
    channels = spikes.shape[2] // (shape[0] * high * wide)
    a, state = np.empty((1, spikes.shape[2] + TILE), np.int32), np.empty((2, spikes.shape[2]), np.int32)
    sums = a.reshape(-1)
    overflows = saturations = 0
    for n in range(first, last):
        state[:] = 0
        for t in range(distinct * repeat):
            if t % repeat == 0:
                _pack(flat_events, (n * distinct + t // repeat) * inputs, places, run, padded, bits)
                _pattern_sums(
                    bits, flat_table, shape, offsets, width, high, row_step, step, plane, rows, counts, sums, channels
                )  # fmt: skip
            changes = advance(a, 0, state, parameters, bias, 0, spikes, n, t)
            overflows += changes[0]
            saturations += changes[1]
            record(state, n, t, u, v)
        v_last[n] = state[1]
    return overflows, saturations
