"""Runs CUBA-LIF neurons over all steps, forward and backward: a definition and two faster implementations of it.

`plain` is the definition in torch; `compiled` (Numba, CPU) and `gpu` (Triton, CUDA) make one pass over memory and
equal it bit for bit, and in their gradients up to the rounding of float32.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from types import ModuleType

import torch

from snnkd.ir.arithmetic import DECAY_BITS, STATE_SHIFT

W_SCALE = 1 << 6  # a weight of 1.0 is the integer 64
S_SCALE = W_SCALE << STATE_SHIFT  # a state of 1.0 is the integer 4096


@dataclass(frozen=True)
class Cuba:
    """The parameters of a layer's neurons, as the integer network has them: one integer for all neurons each, or all
    three int32 (M,), one for each neuron.

    current_decay, voltage_decay: iDecay and vDecay, of 4096. level: the threshold of the integer v, vThMant << 6.
    width, scale: of SLAYER's surrogate gradient ds/dv = scale / (2 tau) exp(-|v - threshold| / tau), in SLAYER's units,
    with tau = width * threshold.
    """

    current_decay: int | torch.Tensor
    voltage_decay: int | torch.Tensor
    level: int | torch.Tensor
    width: float
    scale: float

    @property
    def keeps(self) -> tuple[float | torch.Tensor, float | torch.Tensor]:
        """What is left of u and of v after a step, as fractions."""
        whole = 1 << DECAY_BITS
        return (whole - self.current_decay) / whole, (whole - self.voltage_decay) / whole

    @property
    def tau(self) -> float | torch.Tensor:
        """How fast the surrogate gradient falls, in SLAYER's units."""
        return self.width * (self.level / S_SCALE)


def implementation(device: torch.device) -> ModuleType:
    """Chooses the quickest module on `device`. Each has these two functions, for T steps of M neurons:

    `forward(a, neurons, u, v, spikes, voltage, bias)` runs them.
        a: synaptic sums (D, M) float32 in SLAYER's units, exact (the integer below 2^25); D = T, or 1 where all steps
            have the same.
        u, v: the integer states (M,) int32, read and written.
        spikes: (T, M) float32, written.
        voltage: None, or (T, M) float32, where the integer v before the reset is written; may be the memory of a.
        bias: None, or int32 (M,), which v gains at every step.
        Returns the wraps of u and the clips of v, two integers or an int64 tensor (2,).

    `backward(grad, grad_voltage, voltage, neurons, out)` computes gradients.
        grad: of the spikes, (T, M) float32.
        grad_voltage: None, or of v in SLAYER's units, (T, M) float32.
        voltage: as `forward` wrote it.
        out: of a, (D, M) float32, written; may be the memory of voltage.
    """
    if device.type == "cpu":
        from snnkd.training.dynamics import compiled

        return compiled
    if device.type == "cuda" and importlib.util.find_spec("triton") is not None:
        from snnkd.training.dynamics import gpu

        return gpu
    from snnkd.training.dynamics import plain

    return plain
