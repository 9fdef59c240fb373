"""Compiled kernels of sigma-delta layers: their work follows the messages that arrive.

Each `run_...` runs one layer over a range of samples, all steps, without the GIL. Sums are exact in the integers that
they come in: callers make sure that 32 bits hold those of `run_dense` and `run_conv`. States are int32, and each
value that wraps there is counted, as `engines.reference.sigma_delta` does. What all kernels share:

settings: (7,) int64 of `layouts.settings`. bias: (neurons,) int32, << exponent. messages: (N, T, neurons) int32, out.
v_last: (N, neurons) int32, out, what a readout reads. recorded: (states, N, T, neurons) int32, out, or empty.
"""

from __future__ import annotations

import numpy as np

from snnkd.engines.fast.kernels.compiling import jit

SETTINGS = ("kind", "exponent", "threshold", "state_exp", "lowest", "cumulative", "membrane")
DELTA, SIGMA_DELTA, SIGMA = range(3)  # the kinds
_SIGMA, _ACT, _RESIDUE, _ERROR = range(4)  # rows of the state

_i32 = np.int32
_HALF, _MASK = np.int64(1 << 23), np.int64((1 << 24) - 1)


@jit
def _advance(sums, row, state, settings, bias, messages, n, t):
    """Takes sample n on by a step: sums[row] in, state (4, neurons) in and out, messages[n, t] out.

    Returns how many values wrapped, and how many of these would do so again if nothing arrived at the next step.
    """
    kind, exponent, threshold, state_exp, lowest, cumulative, _ = settings
    wraps = again = 0
    for i in range(state.shape[1]):
        a = np.int64(sums[row, i])
        if kind == 0:
            total = a << exponent
        else:
            total = a + state[_SIGMA, i]
            sigma = _i32(total)
            wraps += sigma != total
            state[_SIGMA, i] = sigma
            if kind == 2:
                messages[n, t, i] = sigma
                continue
            total = np.int64(sigma) + bias[i]
        new = _i32(total)
        again += new != total
        new = _i32(max(np.int64(new), lowest))
        total = np.int64(new) - state[_ACT, i] + state[_RESIDUE, i]
        change = _i32(total)
        wraps += change != total
        error = change
        if cumulative:
            total = np.int64(state[_ERROR, i]) + change
            error = _i32(total)
            wraps += error != total
        magnitude = np.int64(_i32(-np.int64(error))) if error < 0 else np.int64(error)
        sent = change if magnitude >= threshold else _i32(0)
        state[_ACT, i] = new
        state[_RESIDUE, i] = _i32(change - sent)
        if cumulative:
            quiet = sent == 0 or sent == _i32(-2147483648)
            state[_ERROR, i] = error if quiet else _i32(0)
        messages[n, t, i] = sent >> state_exp
    return wraps + again, again


@jit
def _keep(state, kind, recorded, n, t):
    """Keeps the states of sample n after step t where they are wanted: Delta encoders have no sigma."""
    for k in range(recorded.shape[0]):
        recorded[k, n, t] = state[k + 1 if kind == 0 else k]


@jit
def _rest(messages, n, t, state, kind):
    """A step at which nothing arrives: states stay, and only Sigma decoders send."""
    if kind == 2:
        messages[n, t] = state[_SIGMA]
    else:
        messages[n, t] = 0


@jit
def run_sums(sums, settings, bias, messages, v_last, recorded, first, last):
    """Runs a layer whose sums are known, of a Delta layer its input: sums (N, D, neurons) int64."""
    distinct, neurons = sums.shape[1:]
    repeat = messages.shape[1] // distinct
    rows = sums.reshape(-1, neurons)
    state = np.empty((4, neurons), np.int32)
    overflows = 0
    for n in range(first, last):
        state[:] = 0
        for t in range(distinct * repeat):
            overflows += _advance(rows, n * distinct + t // repeat, state, settings, bias, messages, n, t)[0]
            _keep(state, settings[0], recorded, n, t)
        v_last[n] = state[settings[6]]
    return overflows, 0


@jit
def run_dense(events, weight, exponent, settings, bias, messages, v_last, recorded, first, last):
    """Runs a dense layer: events (N, D, inputs) int32, weight (inputs, outputs) int32, exponent of the sums."""
    distinct = events.shape[1]
    repeat, outputs = messages.shape[1] // distinct, weight.shape[1]
    sums, state = np.empty((1, outputs), np.int32), np.empty((4, outputs), np.int32)
    still = settings[5] == 0
    overflows = again = 0
    for n in range(first, last):
        state[:] = 0
        for t in range(distinct * repeat):
            if t % repeat == 0:
                sums[:] = 0
                arrived = _weigh(events, n, t // repeat, weight, sums)
                if exponent > 0:
                    sums[:] <<= exponent
                elif exponent < 0:
                    sums[:] >>= -exponent
            if t and not arrived and still:
                overflows += again
                _rest(messages, n, t, state, settings[0])
            else:
                wraps, again = _advance(sums, 0, state, settings, bias, messages, n, t)
                overflows += wraps
            _keep(state, settings[0], recorded, n, t)
        v_last[n] = state[settings[6]]
    return overflows, 0


@jit
def _weigh(events, n, t, weight, sums):
    """Adds the weights of each message, times it, to the sums; whether there was one."""
    arrived = False
    for i in range(weight.shape[0]):
        message = events[n, t, i]
        if message:
            arrived = True
            source, target = weight[i], sums[0]
            for o in range(weight.shape[1]):
                target[o] += message * source[o]
    return arrived


@jit
def run_conv(
    events, weight, places, rows, row, pitch, size, inside, width,
    settings, bias, messages, v_last, recorded, first, last,
):  # fmt: skip
    """Runs a convolution: each message adds a block of weights, times it, to the sums; see `conv_layouts.Scatter`.

    events: (N, D, inputs) int32. The sums wrap in 24 bits.
    """
    distinct = events.shape[1]
    repeat, neurons = messages.shape[1] // distinct, messages.shape[2]
    sums, a, state = np.empty(size, np.int32), np.empty((1, neurons), np.int32), np.empty((4, neurons), np.int32)
    still = settings[5] == 0
    overflows = again = 0
    for n in range(first, last):
        state[:] = 0
        for t in range(distinct * repeat):
            if t % repeat == 0:
                sums[:] = 0
                arrived = _scatter(events, n, t // repeat, weight, places, rows, row, pitch, sums)
                wrapped = _crop(sums, inside, width, a) if arrived or not t else 0
            overflows += wrapped
            if t and not arrived and still:
                overflows += again
                _rest(messages, n, t, state, settings[0])
            else:
                wraps, again = _advance(a, 0, state, settings, bias, messages, n, t)
                overflows += wraps
            _keep(state, settings[0], recorded, n, t)
        v_last[n] = state[settings[6]]
    return overflows, 0


@jit
def _scatter(events, n, t, weight, places, rows, row, pitch, sums):
    """Adds the block of weights of each message, times it, to the sums; whether there was one."""
    arrived = False
    for i in range(places.shape[0]):
        message = events[n, t, i]
        if message:
            arrived = True
            at, start = np.int64(places[i, 0]), np.int64(places[i, 1])
            for _ in range(rows):
                source, target = weight[start : start + row], sums[at : at + row]
                for k in range(row):
                    target[k] += message * source[k]
                at += pitch
                start += row
    return arrived


@jit
def _crop(sums, inside, width, a):
    """Copies the rows of the output from the sums, which have margins, wrapped in 24 bits; how many that changed."""
    wraps = 0
    for k in range(inside.shape[0]):
        source, target = sums[inside[k] : inside[k] + width], a[0, k * width : (k + 1) * width]
        for i in range(width):
            total = np.int64(source[i])
            wrapped = ((total + _HALF) & _MASK) - _HALF
            wraps += wrapped != total
            target[i] = wrapped
    return wraps
