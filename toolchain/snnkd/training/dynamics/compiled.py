"""The dynamics in one compiled pass for the CPU, parallel over neurons and samples. See `implementation`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import factorial, log
from typing import Any

import numpy as np
import torch

from snnkd.engines.fast.kernels.compiling import jit, of_arrays
from snnkd.engines.fast.kernels.layers import step
from snnkd.engines.fast.threads import spread
from snnkd.ir.arithmetic import DECAY_BITS
from snnkd.training.dynamics import S_SCALE, Cuba

_BLOCK = 2048  # neurons whose states stay in the nearest cache over all steps
_ALONE = 256  # blocks times steps below which to wake another thread takes longer than it saves
_FLAT = 80.0  # 2^-80 of a gradient is 0: no product becomes a denormal number, which are slow

_i32, _f32 = np.int32, np.float32
_SCALE = np.float32(S_SCALE)
_C0, _C1, _C2, _C3, _C4, _C5, _C6 = (_f32(log(2) ** k / factorial(k)) for k in range(7))  # 2^x as a series


# A parameter of a slice of all neurons, and the i-th of that: arrays of rows, or of a tuple what all neurons have.
_part = of_arrays(lambda parameters, row, part: parameters[row, part], lambda parameters, row, part: parameters[row])
_of = of_arrays(lambda values, i: values[i], lambda values, i: values)


@jit
def _power(y):
    """2^-y for y >= 0, 0 from _FLAT on; relative error below 3e-7."""
    near = min(y, _f32(_FLAT))
    whole = _i32(near + _f32(0.5))
    x = _f32(whole) - near
    series = ((((((_C6 * x + _C5) * x + _C4) * x + _C3) * x + _C2) * x) + _C1) * x + _C0
    return series * _i32(_i32(_i32(127) - whole) << 23).view(np.float32) if y < _f32(_FLAT) else _f32(0)


@jit
def _forward(a, parameters, u, v, spikes, voltage, bias, first, last):
    """Runs the blocks `first` to `last` of neurons; voltage is (0, 0) where it is not wanted, bias (0,) without any.
    parameters: keep_current, keep_voltage, level, see `_of`.

    Returns the wraps of u and the clips of v.
    """
    overflows = saturations = 0
    repeat = spikes.shape[0] // a.shape[0]
    none = np.zeros(_BLOCK, np.int32)
    buffer = np.empty(_BLOCK, np.float32)  # voltage may be the memory of a: to write there at once forbids vectors
    for block in range(first, last):
        part = slice(block * _BLOCK, (block + 1) * _BLOCK)
        keep_current, keep_voltage = _part(parameters, 0, part), _part(parameters, 1, part)
        level = _part(parameters, 2, part)
        current, membrane = u[part], v[part]
        kept, added = buffer[: current.shape[0]], none[: current.shape[0]]
        if bias.shape[0]:
            added = bias[part]
        for t in range(spikes.shape[0]):
            arriving, fired = a[t // repeat, part], spikes[t, part]
            wrapped = clipped = _i32(0)
            for i in range(current.shape[0]):
                keep_u, keep_v = _of(keep_current, i), _of(keep_voltage, i)
                new_u, new_v, wraps, clips = step(
                    _i32(arriving[i] * _SCALE), current[i], membrane[i], keep_u, keep_v, added[i]
                )
                wrapped, clipped = _i32(wrapped + wraps), _i32(clipped + clips)
                fires = new_v > _of(level, i)
                current[i] = new_u
                membrane[i] = _i32(0) if fires else new_v
                kept[i] = _f32(new_v)
                fired[i] = _f32(1) if fires else _f32(0)
            if voltage.shape[0]:
                row = voltage[t, part]
                for i in range(kept.shape[0]):
                    row[i] = kept[i]
            overflows += wrapped
            saturations += clipped
    return overflows, saturations


@jit
def _backward(grad, grad_voltage, voltage, parameters, out, first, last):
    """Goes back through the blocks `first` to `last` of neurons, all in float32; grad_voltage is (0, 0) for None.
    parameters: level, rate, height, keep_current, keep_voltage, see `_of`."""
    repeat = grad.shape[0] // out.shape[0]
    into_v, into_u, buffer = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    for block in range(first, last):
        part = slice(block * _BLOCK, (block + 1) * _BLOCK)
        level, rate, height = _part(parameters, 0, part), _part(parameters, 1, part), _part(parameters, 2, part)
        keep_current, keep_voltage = _part(parameters, 3, part), _part(parameters, 4, part)
        into_u[:] = into_v[:] = _f32(0)
        for back in range(grad.shape[0]):
            t = grad.shape[0] - 1 - back
            given, before, of_a = grad[t, part], voltage[t, part], out[t // repeat, part]
            fresh = repeat == 1 or back == 0
            if grad_voltage.shape[0]:
                more = grad_voltage[t, part]
                for i in range(more.shape[0]):
                    into_v[i] += more[i]
            for i in range(given.shape[0]):
                slope = _power(abs(before[i] - _of(level, i)) * _of(rate, i))
                of_v = given[i] * (_of(height, i) * slope) + into_v[i]
                of_u = of_v + into_u[i]
                into_v[i] = _of(keep_voltage, i) * of_v
                into_u[i] = _of(keep_current, i) * of_u
                buffer[i] = of_u
            for i in range(given.shape[0]):
                of_a[i] = buffer[i] if fresh else of_a[i] + buffer[i]
    return 0, 0


def forward(
    a: torch.Tensor,
    neurons: Cuba,
    u: torch.Tensor,
    v: torch.Tensor,
    spikes: torch.Tensor,
    voltage: torch.Tensor | None,
    bias: torch.Tensor | None = None,
) -> tuple[int, int]:
    """Runs neurons, see `implementation`."""
    wanted = np.empty((0, 0), np.float32) if voltage is None else voltage.numpy()
    whole = 1 << DECAY_BITS
    keeps = (whole - decay for decay in (neurons.current_decay, neurons.voltage_decay))
    added = np.empty(0, np.int32) if bias is None else bias.numpy()
    arrays = u.numpy(), v.numpy(), spikes.numpy(), wanted, added
    return _run(_forward, (a.numpy(), _parameters([*keeps, neurons.level], _i32), *arrays), spikes)


def _parameters(values: Sequence[float | torch.Tensor], kind: type[np.generic]) -> Any:
    """Numbers of all neurons as a tuple, those of each, (M,), as an array of rows, see `_of`."""
    if isinstance(values[0], torch.Tensor):
        return np.stack([np.asarray(value, kind) for value in values])
    return tuple(kind(value) for value in values)  # pyright: ignore[reportCallIssue]


def _run(kernel: Callable, arguments: tuple, spikes: torch.Tensor) -> tuple[int, int]:
    steps, blocks = len(spikes), -(-spikes.shape[1] // _BLOCK)
    threads = min(torch.get_num_threads(), max(1, blocks * steps // _ALONE))
    return spread(kernel, blocks, arguments, threads)


def backward(
    grad: torch.Tensor, grad_voltage: torch.Tensor | None, voltage: torch.Tensor, neurons: Cuba, out: torch.Tensor
) -> None:
    """Computes gradients, see `implementation`."""
    more = np.empty((0, 0), np.float32) if grad_voltage is None else grad_voltage.numpy()
    rate, height = 1 / (neurons.tau * S_SCALE * log(2)), neurons.scale / (2 * neurons.tau)
    parameters = _parameters([neurons.level, rate, height, *neurons.keeps], _f32)
    arguments = grad.numpy(), more, voltage.numpy(), parameters, out.numpy()
    _run(_backward, arguments, voltage)
