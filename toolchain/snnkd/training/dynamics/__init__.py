"""The dynamics of CUBA-LIF neurons over all steps, forward and backward: one definition, three implementations.

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
    """What all neurons of a layer share, as the integer network has it: iDecay, vDecay and vThMant << 6; and SLAYER's
    surrogate gradient ds/dv = scale / (2 tau) exp(-|v - threshold| / tau), tau in SLAYER's units of v."""

    current_decay: int
    voltage_decay: int
    level: int
    tau: float
    scale: float

    @property
    def keeps(self) -> tuple[float, float]:
        """What is left of u and of v after a step, as fractions."""
        whole = 1 << DECAY_BITS
        return (whole - self.current_decay) / whole, (whole - self.voltage_decay) / whole


def implementation(device: torch.device) -> ModuleType:
    """The quickest one on `device`.

    It has two functions. `forward(a, neurons, u, v, spikes, voltage)`: a (D, M) float32, D = T, or 1 where the sum is
    the same at all steps, in SLAYER's units and exact (the integer below 2^25); u, v (M,) int32, the integer states,
    are read and written; spikes (T, M) float32 and, unless None, voltage (T, M) float32, the integer v before the
    reset, are written; voltage may be the memory of a. Returns wraps of u and clips of v, two integers or an int64
    tensor. `backward(grad, grad_voltage, voltage, neurons, out)`: gradients (T, M) of the spikes and, unless None,
    (T, M) of voltage in SLAYER's units to out (D, M) of a, which may be the memory of voltage.
    """
    if device.type == "cpu":
        from snnkd.training.dynamics import compiled

        return compiled
    if device.type == "cuda" and importlib.util.find_spec("triton") is not None:
        from snnkd.training.dynamics import gpu

        return gpu
    from snnkd.training.dynamics import plain

    return plain
