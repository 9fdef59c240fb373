"""Compiled kernels of the fast engine: neurons, and the layers that are not convolutions.

Each `run_...` runs one layer over a range of samples, all steps, without the GIL. Arithmetic is that of
`engines.reference.definition` in 32 bits: callers make sure that sums are below 2^25, where a << 6 fits, and int32 then
holds every value of u and v that the definition can reach. Each has one signature, so that it is compiled once.
"""

from __future__ import annotations

import numpy as np

from snnkd.engines.fast.kernels.compiling import jit
from snnkd.engines.fast.kernels.primitives import active, gather
from snnkd.engines.fast.kernels.sizes import GROUP, TILE, TILE_BITS

_WINDOW = 32  # steps whose sums are made together, tile by tile

_i32 = np.int32
# Named one by one: the negative of an int32 is an int64 to numba, and would halve the vectors.
_TOP, _BOTTOM = np.int32(1 << 23), np.int32(-(1 << 23))
_HIGHEST, _LOWEST = np.int32((1 << 23) - 1), np.int32(1 - (1 << 23))


@jit
def _decay(state, factor):
    """trunc0(state * factor / 4096) for factor in [0, 4096]: the low 12 bits apart, so that 32 bits are enough."""
    low = _i32(_i32(state & 4095) * factor)
    toward_zero = _i32(_i32(state >> 31) & 4095)
    return _i32(_i32(_i32(state >> 12) * factor) + _i32(_i32(low + toward_zero) >> 12))


@jit
def step(activation, u, v, keep_current, keep_voltage, bias):
    """Computes a time step of a neuron: (u, v before the reset, wraps of u, clips of v); activation and bias are << 6.

    Everything is _i32, so that LLVM makes vectors of a loop of it.
    """
    decayed = _decay(u, keep_current)
    total = _i32(decayed + activation)
    wrapped = _i32(_i32(_i32(decayed ^ total) & _i32(activation ^ total)) < _i32(0))
    above, below = _i32(total > _TOP), _i32(total <= _BOTTOM)
    current = _i32(total - _i32(_i32(above - below) << 24))
    charged = _i32(_i32(_decay(v, keep_voltage) + current) + bias)
    voltage = min(max(charged, _LOWEST), _HIGHEST)
    return current, voltage, _i32(wrapped + _i32(above + below)), _i32(voltage != charged)


@jit
def advance(sums, row, state, parameters, bias, own, spikes, n, t):
    """Takes sample n on by a step: sums[row] in, state (2, neurons), u and v, in and out, spikes[n, t] out; bias[own].

    Whole arrays come in, since views would have their references counted at each step.
    """
    overflows = saturations = _i32(0)
    for i in range(state.shape[1]):
        u, v, wraps, clips = step(
            _i32(sums[row, i] << 6), state[0, i], state[1, i], parameters[0, i], parameters[1, i], bias[own, i]
        )
        overflows, saturations = _i32(overflows + wraps), _i32(saturations + clips)
        fires = v > parameters[2, i]
        state[0, i] = u
        state[1, i] = _i32(0) if fires else v
        spikes[n, t, i] = fires
    return overflows, saturations


@jit
def record(state, n, t, u, v):
    """Keeps u and v of sample n after step t where they are wanted."""
    if u.shape[0]:
        u[n, t] = state[0]
        v[n, t] = state[1]


@jit
def run_sums(sums, parameters, bias, spikes, v_last, u, v, first, last):
    """Runs a layer whose sums are known: sums (N, D, neurons) int32."""
    distinct, neurons = sums.shape[1:]
    repeat = spikes.shape[1] // distinct
    rows = sums.reshape(-1, neurons)
    state = np.empty((2, neurons), np.int32)
    overflows = saturations = 0
    for n in range(first, last):
        state[:] = 0
        own = n if bias.shape[0] > 1 else 0
        for t in range(distinct * repeat):
            changes = advance(rows, n * distinct + t // repeat, state, parameters, bias, own, spikes, n, t)
            overflows += changes[0]
            saturations += changes[1]
            record(state, n, t, u, v)
        v_last[n] = state[1]
    return overflows, saturations


@jit
def _dense_sums(events, first, inputs, steps, weight, tiles, exponent, rows, counts, sums):
    """sums (steps, tiles * TILE) from events[first:] (steps, inputs) and weight (tiles, inputs + 1, TILE), all flat."""
    room = inputs + GROUP
    for t in range(steps):
        counts[t] = active(events, first + t * inputs, inputs, rows, t * room, TILE_BITS)
        end = t * room + counts[t]
        rows[end : end + GROUP] = inputs << TILE_BITS
    pitch = tiles << TILE_BITS
    sums[: steps * pitch] = 0
    for tile in range(tiles):
        start = tile * (inputs + 1) << TILE_BITS
        gather(sums, tile << TILE_BITS, pitch, weight, start, rows, room, counts, steps)
    if exponent > 0:
        sums[: steps * pitch] <<= exponent
    elif exponent < 0:
        sums[: steps * pitch] >>= -exponent


@jit
def run_dense(events, weight, exponent, parameters, bias, spikes, v_last, u, v, first, last):
    """Runs a dense layer on events 0 or 1; weight (tiles, inputs + 1, TILE) int16 as of `layouts.dense_weight`."""
    distinct, inputs = events.shape[1:]
    repeat = spikes.shape[1] // distinct
    tiles = weight.shape[0]
    rows, counts = np.empty(_WINDOW * (inputs + GROUP), np.int32), np.empty(_WINDOW, np.int64)
    sums, state = np.empty((_WINDOW, tiles * TILE), np.int32), np.empty((2, spikes.shape[2]), np.int32)
    flat_events, flat_weight, flat_sums = events.reshape(-1), weight.reshape(-1), sums.reshape(-1)
    overflows = saturations = 0
    for n in range(first, last):
        state[:] = 0
        for start in range(0, distinct, _WINDOW):
            window = min(_WINDOW, distinct - start)
            at = (n * distinct + start) * inputs
            _dense_sums(flat_events, at, inputs, window, flat_weight, tiles, exponent, rows, counts, flat_sums)
            for k in range(window * repeat):
                t = start + k  # repeat > 1 only where the first window is the only one
                changes = advance(sums, k // repeat, state, parameters, bias, 0, spikes, n, t)
                overflows += changes[0]
                saturations += changes[1]
                record(state, n, t, u, v)
        v_last[n] = state[1]
    return overflows, saturations


@jit
def delayed_sums(events, weight, slot, waits, exponent, sums, first, last):
    """Writes the sums of a dense layer with delays to sums (N, T, outputs) int64, which is zeroed before.

    events (N, T, inputs) int32; weight and slot (inputs, outputs) int64 and int32: waits[slot] is a synapse's delay.
    Synapses of each delay sum and shift on their own, when the event is sent. Returns (sums that wrapped, 0).
    """
    wraps = 0
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
                        wraps += part != parts[k, o]
                        sums[n, t + waits[k], o] += part << exponent if exponent > 0 else part >> -exponent
    return wraps, 0
