"""The dynamics as two Triton kernels for CUDA: a program runs its neurons over all steps. See `implementation`.

Without a GPU, Triton's interpreter runs it (TRITON_INTERPRET=1), which is how it is tested everywhere.
"""

# Triton's own types are no help here: a kernel's arguments are pointers, whatever they are annotated with.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportCallIssue=false

from __future__ import annotations

import torch
import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]

from snnkd.ir.arithmetic import DECAY_BITS, STATE_LIMIT
from snnkd.training.dynamics import S_SCALE, Cuba

_BLOCK = 256  # neurons of a program
_LIMIT = tl.constexpr(STATE_LIMIT)
_SCALE = tl.constexpr(float(S_SCALE))


@triton.jit
def _decay(state, factor):
    """trunc0(state * factor / 4096), the low 12 bits apart, so that 32 bits are enough."""
    return (state >> 12) * factor + (((state & 4095) * factor + ((state >> 31) & 4095)) >> 12)


@triton.jit
def _forward(
    a, u, v, spikes, voltage, bias, counts, size, steps, repeat, keep_current, keep_voltage, level,
    KEEP: tl.constexpr, BIASED: tl.constexpr, EACH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    if EACH:  # parameters are arrays of as many as there are neurons
        keep_current, keep_voltage = tl.load(keep_current + at, inside, 0), tl.load(keep_voltage + at, inside, 0)
        level = tl.load(level + at, inside, 0)
    current, membrane = tl.load(u + at, inside, 0), tl.load(v + at, inside, 0)
    overflows, saturations = tl.zeros((BLOCK,), tl.int32), tl.zeros((BLOCK,), tl.int32)
    added = tl.zeros((BLOCK,), tl.int32)
    if BIASED:
        added = tl.load(bias + at, inside, 0)
    for t in range(steps):
        activation = (tl.load(a + (t // repeat) * size + at, inside, 0.0) * _SCALE).to(tl.int32)
        decayed = _decay(current, keep_current)
        total = decayed + activation
        wrapped = ((decayed ^ total) & (activation ^ total)) < 0
        above, below = (total > _LIMIT).to(tl.int32), (total <= -_LIMIT).to(tl.int32)
        current = total - ((above - below) << 24)
        charged = _decay(membrane, keep_voltage) + current + added
        reached = tl.minimum(tl.maximum(charged, 1 - _LIMIT), _LIMIT - 1)
        overflows += tl.where(inside, wrapped.to(tl.int32) + above + below, 0)
        saturations += tl.where(inside, (reached != charged).to(tl.int32), 0)
        fires = reached > level
        membrane = tl.where(fires, 0, reached)
        tl.store(spikes + t * size + at, fires.to(tl.float32), inside)
        if KEEP:
            tl.store(voltage + t * size + at, reached.to(tl.float32), inside)
    tl.store(u + at, current, inside)
    tl.store(v + at, membrane, inside)
    tl.atomic_add(counts, tl.sum(overflows.to(tl.int64)))
    tl.atomic_add(counts + 1, tl.sum(saturations.to(tl.int64)))


@triton.jit
def _backward(
    grad, grad_voltage, voltage, out, size, steps, repeat, keep_current, keep_voltage, level, rate, height,
    MORE: tl.constexpr, EACH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    if EACH:
        keep_current, keep_voltage = tl.load(keep_current + at, inside, 0.0), tl.load(keep_voltage + at, inside, 0.0)
        level = tl.load(level + at, inside, 0.0)
        rate, height = tl.load(rate + at, inside, 0.0), tl.load(height + at, inside, 0.0)
    into_u, gathered = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    into_v = tl.zeros((BLOCK,), tl.float32)
    for back in range(steps):
        t = steps - 1 - back
        if MORE:
            into_v += tl.load(grad_voltage + t * size + at, inside, 0.0)
        distance = tl.abs(tl.load(voltage + t * size + at, inside, 0.0) - level)
        of_v = tl.load(grad + t * size + at, inside, 0.0) * (height * tl.exp(-distance * rate)) + into_v
        of_u = of_v + into_u
        into_v = keep_voltage * of_v
        into_u = keep_current * of_u
        gathered = tl.where(t % repeat == repeat - 1, of_u, gathered + of_u)
        tl.store(out + (t // repeat) * size + at, gathered, inside)


def forward(
    a: torch.Tensor,
    neurons: Cuba,
    u: torch.Tensor,
    v: torch.Tensor,
    spikes: torch.Tensor,
    voltage: torch.Tensor | None,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """Runs neurons, see `implementation`."""
    counts = torch.zeros(2, dtype=torch.int64, device=a.device)
    whole = 1 << DECAY_BITS
    keeps = (whole - decay for decay in (neurons.current_decay, neurons.voltage_decay))
    size, steps = u.numel(), len(spikes)
    _forward[(triton.cdiv(size, _BLOCK),)](
        a, u, v, spikes, spikes if voltage is None else voltage, u if bias is None else bias, counts, size, steps,
        steps // len(a), *keeps, neurons.level, KEEP=voltage is not None, BIASED=bias is not None,
        EACH=isinstance(neurons.level, torch.Tensor), BLOCK=_BLOCK,
    )  # fmt: skip
    return counts


def backward(
    grad: torch.Tensor, grad_voltage: torch.Tensor | None, voltage: torch.Tensor, neurons: Cuba, out: torch.Tensor
) -> None:
    """Computes gradients, see `implementation`."""
    steps, size = voltage.shape
    _backward[(triton.cdiv(size, _BLOCK),)](
        grad, grad if grad_voltage is None else grad_voltage, voltage, out, size, steps, steps // len(out),
        *neurons.keeps, 1.0 * neurons.level, 1 / (neurons.tau * S_SCALE), neurons.scale / (2 * neurons.tau),
        MORE=grad_voltage is not None, EACH=isinstance(neurons.level, torch.Tensor), BLOCK=_BLOCK,
    )  # fmt: skip
