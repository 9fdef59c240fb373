"""The CUBA-LIF neuron that snnkd trains: SLAYER's, with the arithmetic of the integer network.

Forward is the definition in `docs/number_formats.md` (24 bit states that wrap and saturate, integer comparison), so
what is trained is what is deployed; backward is SLAYER's surrogate gradient. lava-dl's own neuron agrees with it
below a threshold of 64 and without overflow.
"""

from __future__ import annotations

from typing import Any

import torch

from snnkd.fixedpoint import STATE_LIMIT, STATE_SHIFT, THRESHOLD_LIMIT, WEIGHT_MAX, WEIGHT_MIN
from snnkd.training import slayer

_lava = slayer.neuron.cuba

W_SCALE = 1 << 6  # a weight of 1.0 is the integer 64
S_SCALE = W_SCALE << STATE_SHIFT  # a state of 1.0 is the integer 4096
_INT32 = 1 << 31


class _Round(torch.autograd.Function):
    """Rounds to multiples of `step`; the gradient passes straight through (Bengio et al. 2013)."""

    @staticmethod
    def forward(ctx, values, step):  # pyright: ignore
        return torch.round(values / step) * step

    @staticmethod
    def backward(ctx, grad):  # pyright: ignore
        return grad, None


def quantize(weight: torch.Tensor, bits: int = 8) -> torch.Tensor:
    """Integer weights of `bits` bits: multiples of 2^(9 - bits) in [-256, 254], as Loihi's mixed sign mode has them.

    With 8 bits this is lava-dl's `quantize_8bit(descale=True)`. Gradients pass straight through inside the range and
    are zero outside of it.
    """
    step = 1 << (9 - bits)
    return _Round.apply(weight, step).clamp(WEIGHT_MIN, WEIGHT_MAX + 2 - step)  # pyright: ignore


def dynamics(
    a: torch.Tensor,
    current_keep: torch.Tensor,
    voltage_keep: torch.Tensor,
    threshold: torch.Tensor,
    u: torch.Tensor,
    v: torch.Tensor,
    keep_current: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor, torch.Tensor, int, int]:
    """Runs T steps of the integer dynamics; the plain definition in torch.

    a: (T, N, ...) float32, the integer activation / 64, exact (|integer| < 2^24). current_keep, voltage_keep:
    float64 (4096 - decay) / 4096. threshold: float64 vThMant << 6. u, v: float64 integer states (N, ...) before the
    first step. All integers are held in float64, where each product and sum here is exact (below 2^53).

    Returns spikes (T, N, ...) float32; v before the reset (T, N, ...) float32 / 4096; u likewise or None; the states
    u and v after the last step's reset; the number of wraps of u and of clips of v.
    """
    spikes = torch.empty_like(a, memory_format=torch.contiguous_format)
    voltage = torch.empty_like(spikes)
    current = torch.empty_like(spikes) if keep_current else None
    remembers = bool((current_keep != 0).any())
    overflows = saturations = 0
    for t in range(a.shape[0]):
        arriving = a[t].double().mul_(S_SCALE)
        u = torch.trunc(u * current_keep).add_(arriving) if remembers else arriving
        u, wrapped = _wrap(u)
        v = torch.trunc(v * voltage_keep).add_(u)
        v, clipped = _saturate(v)
        overflows, saturations = overflows + wrapped, saturations + clipped
        fired = v > threshold
        spikes[t] = fired
        voltage[t] = v / S_SCALE
        if current is not None:
            current[t] = u / S_SCALE
        v = v.masked_fill_(fired, 0.0)
    return spikes, voltage, current, u, v, overflows, saturations


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


class _Cuba(torch.autograd.Function):
    """`dynamics` with the gradients of SLAYER (Shrestha & Orchard 2018; lava-dl `spike.py`, `leaky_integrator.py`):

    ds/dv = scale / (2 tau) exp(-|v - threshold| / tau); the leaks are passed backwards through time, wraps, clips and
    resets are not.
    """

    @staticmethod
    def forward(ctx: Any, a, current_keep, voltage_keep, threshold, u, v, tau, scale):  # pyright: ignore
        spikes, voltage, _, u, v, overflows, saturations = dynamics(a, current_keep, voltage_keep, threshold, u, v)
        ctx.save_for_backward(voltage, spikes[-1], current_keep, voltage_keep, threshold, tau)
        ctx.scale = scale
        ctx.counts = None
        v_last = (v / S_SCALE).float()
        totals = torch.tensor([overflows, saturations])
        ctx.mark_non_differentiable(u, v, totals)
        return spikes, v_last, u, v, totals

    @staticmethod
    def backward(ctx: Any, grad_spikes, grad_v_last, *_):  # pyright: ignore
        voltage, last, current_keep, voltage_keep, threshold, tau = ctx.saved_tensors
        tau, threshold = tau.float(), (threshold / S_SCALE).float()
        grad = (voltage - threshold).abs_().div_(-tau).exp_().mul_(ctx.scale / (2 * tau)).mul_(grad_spikes)
        grad[-1] += grad_v_last * (1 - last)
        for keep in (voltage_keep.float(), current_keep.float()):
            if bool((keep != 0).any()):
                for t in range(grad.shape[0] - 2, -1, -1):
                    grad[t].addcmul_(grad[t + 1], keep)
        return grad, None, None, None, None, None, None, None


class Neuron(_lava.Neuron):
    """Drop-in for `lava.lib.dl.slayer.neuron.cuba.Neuron` with exact integer semantics.

    Takes the parameters of SLAYER's neuron (threshold in units of 64 vThMant, decays as fractions; as there they are
    kept within the range of the hardware) and `weight_bits` (2 to 8) for the quantization of the synapses in front of
    it. Of SLAYER's options, `norm`, `graded_spike`, `requires_grad`, `shared_param=False` and another `scale` than 64
    raise ValueError: they have no exact integer form here.

    After each forward pass `overflows` and `saturations` hold how often u wrapped and v was clipped.
    """

    v_th_mantissa: torch.Tensor
    current_decay: torch.Tensor
    voltage_decay: torch.Tensor
    current_state: torch.Tensor
    voltage_state: torch.Tensor

    def __init__(
        self, threshold: float, current_decay: float, voltage_decay: float, *, weight_bits: int = 8, **options: Any
    ):
        refused = [name for name in ("norm", "graded_spike", "requires_grad") if options.get(name)]
        fixed = {"shared_param": True, "scale": W_SCALE}
        refused += [name for name, value in fixed.items() if options.get(name, value) != value]
        if refused:
            raise ValueError(f"snnkd's CUBA neuron cannot take the options {', '.join(refused)}: leave them out")
        if not 2 <= weight_bits <= 8:
            raise ValueError(f"weight_bits {weight_bits}: expected 2 to 8")
        super().__init__(threshold, current_decay, voltage_decay, **options)
        self.weight_bits = weight_bits
        self.tau_grad = options.get("tau_grad", 1)
        self.overflows = self.saturations = 0
        self.register_buffer("v_th_mantissa", torch.tensor(0, dtype=torch.int32))
        self.set_threshold(int(threshold * W_SCALE))  # cut off, as SLAYER does

    @property
    def threshold(self) -> float:
        """Threshold in SLAYER's units, vThMant / 64."""
        return int(self.v_th_mantissa) / W_SCALE

    def set_threshold(self, mantissa: int) -> None:
        """Sets vThMant, kept within the 17 bits of the hardware and at least 1."""
        self.v_th_mantissa.fill_(min(max(mantissa, 1), THRESHOLD_LIMIT))

    def quantize_8bit(self, weight: torch.Tensor, descale: bool = False) -> torch.Tensor:
        """Weights rounded to `weight_bits` bits in SLAYER's units, or as integers with `descale`."""
        return quantize(weight * W_SCALE, self.weight_bits) / (1 if descale else W_SCALE)

    def run(self, a: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Time-first forward pass: a (T, N, ...) -> spikes (T, N, ...) and v after the last reset (N, ...)."""
        if self.shape is None:
            self.shape = a.shape[2:]
            self.num_neurons = self.shape.numel()
        u, v = self._states(a)
        tau = self.tau_grad * _lava.TAU_RHO_MULT * self.v_th_mantissa.double() / W_SCALE
        scale = self.scale_rho * _lava.SCALE_RHO_MULT
        spikes, v_last, u, v, totals = _Cuba.apply(a, *self._keeps(), self._level(), u, v, tau, scale)  # pyright: ignore
        self.overflows, self.saturations = (int(total) for total in totals)
        self._remember(u, v)
        return (spikes if self.drop is None else self.drop(spikes)), v_last

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """SLAYER's layout: input (N, ..., T) -> spikes (N, ..., T)."""
        return self.run(input.movedim(-1, 0))[0].movedim(0, -1)

    def dynamics(self, input: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """u and v before the reset, (N, ..., T) in SLAYER's units; no gradients."""
        with torch.no_grad():
            a = input.movedim(-1, 0)
            _, voltage, current, *_ = dynamics(a, *self._keeps(), self._level(), *self._states(a), keep_current=True)
        assert current is not None
        return current.movedim(0, -1), voltage.movedim(0, -1)

    def _keeps(self) -> tuple[torch.Tensor, torch.Tensor]:
        one = torch.tensor(self.p_scale, dtype=torch.float64, device=self.current_decay.device)
        return (one - self.current_decay.round()) / one, (one - self.voltage_decay.round()) / one

    def _level(self) -> torch.Tensor:
        return self.v_th_mantissa.double() * (1 << STATE_SHIFT)

    def _states(self, a: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The integer states to start from: zero, or those of the last call with `persistent_state`."""
        if self.persistent_state and self.current_state.shape == a.shape[1:]:
            return self.current_state.double() * S_SCALE, self.voltage_state.double() * S_SCALE
        zero = torch.zeros(a.shape[1:], dtype=torch.float64, device=a.device)
        return zero, zero

    def _remember(self, u: torch.Tensor, v: torch.Tensor) -> None:
        if self.persistent_state:
            self.current_state, self.voltage_state = u / S_SCALE, v / S_SCALE  # float64: u may be beyond 24 bits
