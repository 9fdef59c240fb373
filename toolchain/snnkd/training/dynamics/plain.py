"""The dynamics in plain torch, on any device: the definition. See `implementation` for arguments and results."""

from __future__ import annotations

import torch

from snnkd.ir.arithmetic import STATE_LIMIT
from snnkd.training.dynamics import S_SCALE, Cuba

_INT32 = 1 << 31


def forward(
    a: torch.Tensor,
    neurons: Cuba,
    u: torch.Tensor,
    v: torch.Tensor,
    spikes: torch.Tensor,
    voltage: torch.Tensor | None,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """Runs neurons, see `implementation`; integers are float64, in which all products and sums here are exact."""
    keep_current, keep_voltage = neurons.keeps
    current, membrane = u.double(), v.double()
    overflows = saturations = 0
    for t in range(spikes.shape[0]):
        current = torch.trunc(current * keep_current) + a[t if len(a) > 1 else 0].double() * S_SCALE
        current, wrapped = _wrap(current)
        membrane = torch.trunc(membrane * keep_voltage) + current + (0 if bias is None else bias)
        membrane, clipped = _saturate(membrane)
        overflows, saturations = overflows + wrapped, saturations + clipped
        fired = membrane > neurons.level
        spikes[t] = fired
        if voltage is not None:
            voltage[t] = membrane
        membrane = membrane.masked_fill(fired, 0.0)
    u.copy_(current)
    v.copy_(membrane)
    return torch.tensor([overflows, saturations])


def _wrap(u: torch.Tensor) -> tuple[torch.Tensor, int]:
    """One correction of u by 2^24, as Lava makes it, behind the wrap of its int32; how many of both were made."""
    low, high = torch.aminmax(u)
    if high <= STATE_LIMIT and low > -STATE_LIMIT:
        return u, 0
    overflows = 0
    if high >= _INT32 or low < -_INT32:  # a current that stays out of its 24 bits can grow so far
        wrapped = torch.remainder(u + _INT32, 2 * _INT32) - _INT32
        u, overflows = wrapped, int((wrapped != u).sum())
    above, below = u > STATE_LIMIT, u <= -STATE_LIMIT
    return u - 2 * STATE_LIMIT * (above.double() - below.double()), overflows + int((above | below).sum())


def _saturate(v: torch.Tensor) -> tuple[torch.Tensor, int]:
    low, high = torch.aminmax(v)
    if max(-low, high) < STATE_LIMIT:
        return v, 0
    clipped = v.clamp(1 - STATE_LIMIT, STATE_LIMIT - 1)
    return clipped, int((clipped != v).sum())


def backward(
    grad: torch.Tensor, grad_voltage: torch.Tensor | None, voltage: torch.Tensor, neurons: Cuba, out: torch.Tensor
) -> None:
    """Computes gradients, see `implementation`: the surrogate's, then through the leaks of v and u, backwards in time.

    Wraps, clips and resets pass nothing.
    """
    tau = neurons.tau * S_SCALE
    gradient = (voltage - neurons.level).abs_().div_(-tau).exp_().mul_(neurons.scale / (2 * neurons.tau)).mul_(grad)
    if grad_voltage is not None:
        gradient += grad_voltage
    for keep in reversed(neurons.keeps):  # makes it that of v, then that of u, which is that of a
        kept = torch.as_tensor(keep, dtype=gradient.dtype, device=gradient.device)
        for t in range(len(gradient) - 2, -1, -1):
            gradient[t].addcmul_(gradient[t + 1], kept)
    out.copy_(gradient if len(out) > 1 or len(gradient) == 1 else gradient.sum(dim=0, keepdim=True))
