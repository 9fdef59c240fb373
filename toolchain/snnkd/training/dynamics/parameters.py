"""Gradients of thresholds and decays, from those of what arrives. See `implementation`."""

from __future__ import annotations

import torch

from snnkd.ir.arithmetic import DECAY_BITS
from snnkd.training.dynamics import S_SCALE, W_SCALE, Cuba


def gradients(
    of_a: torch.Tensor,
    grad_voltage: torch.Tensor | None,
    voltage: torch.Tensor,
    neurons: Cuba,
    bias: torch.Tensor | None,
    out: torch.Tensor,
) -> None:
    """Computes the gradients of vThMant, iDecay and vDecay of each neuron, and writes them to `out`, (3, M) float32.

    of_a: of each step, (T, M), as `backward` writes it: the gradient of u. Those of v, and of the spikes at their
    surrogate, follow from it. grad_voltage, voltage, neurons, bias: as there and of `forward`.
    """
    keep_current, keep_voltage = neurons.keeps
    none = torch.zeros_like(of_a[0])
    before = torch.cat([none[None], voltage[:-1].masked_fill(voltage[:-1] > neurons.level, 0)])  # v, after a reset
    of_u_next, of_v_next = none, none
    out.zero_()
    for t in range(len(of_a) - 1, -1, -1):
        of_v = of_a[t] - keep_current * of_u_next
        out[0] -= of_v - keep_voltage * of_v_next - (0 if grad_voltage is None else grad_voltage[t])
        if t > 0:
            u_before = voltage[t - 1] - keep_voltage * before[t - 1] - (0 if bias is None else bias)
            out[1] -= of_a[t] * u_before
            out[2] -= of_v * before[t]
        of_u_next, of_v_next = of_a[t], of_v
    out[0] /= W_SCALE
    out[1:] /= S_SCALE << DECAY_BITS
