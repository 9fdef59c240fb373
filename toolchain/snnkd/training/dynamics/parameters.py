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
    keep_current, keep_voltage = (torch.as_tensor(keep, device=out.device) for keep in neurons.keeps)
    after = voltage[:-1].masked_fill(voltage[:-1] > neurons.level, 0)  # v, after a reset
    of_v_next = torch.zeros_like(of_a[0])
    out.zero_()
    for t in range(len(of_a) - 1, -1, -1):
        of_v = of_a[t] if t == len(of_a) - 1 else of_a[t].addcmul(of_a[t + 1], keep_current, value=-1)
        out[0].sub_(of_v).addcmul_(of_v_next, keep_voltage)
        if grad_voltage is not None:
            out[0] += grad_voltage[t]
        if t > 0:
            u_before = voltage[t - 1] if bias is None else voltage[t - 1] - bias
            if t > 1:
                u_before = u_before.addcmul(after[t - 2], keep_voltage, value=-1)
            out[1].addcmul_(of_a[t], u_before, value=-1)
            out[2].addcmul_(of_v, after[t - 1], value=-1)
        of_v_next = of_v
    out[0] /= W_SCALE
    out[1:] /= S_SCALE << DECAY_BITS
