"""The CUBA-LIF neuron that snnkd trains: SLAYER's, with the arithmetic of the integer network.

Forward is the definition in `docs/number_formats.md` (24 bit states that wrap and saturate, integer comparison), so
what is trained is what is deployed; backward is SLAYER's surrogate gradient. lava-dl's own neuron agrees with it
below a threshold of 64 and without overflow.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from snnkd.fixedpoint import STATE_SHIFT, THRESHOLD_LIMIT, WEIGHT_MAX, WEIGHT_MIN
from snnkd.training import slayer
from snnkd.training.dynamics import S_SCALE, W_SCALE, Cuba, implementation

_lava = slayer.neuron.cuba


class _Quantize(torch.autograd.Function):
    """Multiplies by `gain`, rounds, clips to [low, high] and multiplies by `step`; the gradient passes straight through
    (Bengio et al. 2013), but not, as with torch's clamp, where the result is `low` or `high`."""

    @staticmethod
    def forward(ctx, weight, gain, low, high, step):  # pyright: ignore
        made = torch.mul(weight, gain).round_().clamp_(low, high).mul_(step)
        ctx.save_for_backward(made)
        ctx.scale, ctx.bounds = gain * step, (low * step, high * step)
        return made

    @staticmethod
    def backward(ctx, grad):  # pyright: ignore
        (made,) = ctx.saved_tensors
        passed = torch.ops.aten.hardtanh_backward(grad.contiguous(), made, *ctx.bounds)
        return passed if ctx.scale == 1 else passed.mul_(ctx.scale), None, None, None, None


def quantize(weight: torch.Tensor, bits: int = 8, scale: int = 1, descale: bool = True) -> torch.Tensor:
    """Integers of `bits` bits of weight x `scale`: multiples of 2^(9 - bits) in [-256, 254], as Loihi's mixed sign mode
    has them; divided by `scale` again unless `descale`.

    With 8 bits and a scale of 64 this is lava-dl's `quantize_8bit`. Gradients pass straight through inside the range
    and are zero at its ends and outside.
    """
    step = 1 << (9 - bits)
    low, high = WEIGHT_MIN // step, (WEIGHT_MAX + 2) // step - 1
    return _Quantize.apply(weight, scale / step, low, high, step if descale else step / scale)  # pyright: ignore


class _Cuba(torch.autograd.Function):
    """The dynamics with the gradients of SLAYER (Shrestha & Orchard 2018; lava-dl `spike.py`, `leaky_integrator.py`):
    the surrogate of the spike, and the leaks backwards through time; wraps, clips and resets pass nothing.

    a: (D, N, ...), dense in memory behind D = `steps` or 1; u, v: int32 (N, ...) in the same order, changed in place.
    reuse: nobody else needs a, its memory may hold what the backward pass needs.
    """

    @staticmethod
    def forward(ctx: Any, a, steps, neurons, u, v, reuse):  # pyright: ignore
        ctx.set_materialize_grads(False)
        ctx.neurons, ctx.distinct, ctx.voltage, ctx.reuse = neurons, len(a), None, reuse
        spikes = _over_steps(a, steps)
        if ctx.needs_input_grad[0]:
            ctx.voltage = a if reuse and len(a) == steps else _over_steps(a, steps)
        voltage = None if ctx.voltage is None else _flat(ctx.voltage)
        counts = implementation(a.device).forward(_flat(a), neurons, _flat(u, 0), _flat(v, 0), _flat(spikes), voltage)
        ctx.mark_non_differentiable(counts)
        return spikes, v.float().div_(S_SCALE), counts

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spikes, grad_last, _):  # pyright: ignore
        voltage, ctx.voltage = ctx.voltage, None if ctx.reuse else ctx.voltage
        if voltage is None:
            raise RuntimeError("a second backward pass, but `reuse` gave the memory away: run the neuron without it")
        given = torch.zeros_like(voltage) if grad_spikes is None else _like(grad_spikes, voltage)
        last = None if grad_last is None else _flat(_like(grad_last, voltage[0]), 0)
        out = voltage if ctx.reuse and ctx.distinct == len(voltage) else _over_steps(voltage, ctx.distinct)
        implementation(voltage.device).backward(_flat(given), last, _flat(voltage), ctx.neurons, _flat(out))
        return out, None, None, None, None, None


def _over_steps(a: torch.Tensor, steps: int) -> torch.Tensor:
    """An empty float32 (steps, N, ...), each step of it in the memory order of a step of a."""
    return torch.empty_strided((steps, *a.shape[1:]), (a[0].numel(), *a.stride()[1:]), device=a.device)


def _dense(a: torch.Tensor) -> torch.Tensor:
    """a (D, N, ...), copied unless it is contiguous, or would be with its channels (dimension 2) last."""
    kept = a.ndim > 3 and a.movedim(2, -1).is_contiguous()
    return a if kept else a.contiguous()


def _like(values: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """`values` in the memory order of `other`."""
    return values if values.stride() == other.stride() else torch.empty_like(other).copy_(values)


def _flat(a: torch.Tensor, leading: int = 1) -> torch.Tensor:
    """(D, M) view of a dense tensor (D, N, ...), (M,) with leading = 0, in the order of memory."""
    count = a.shape[leading:].numel()
    return a.as_strided((*a.shape[:leading], count), (*(count,) * leading, 1))


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
        self._counts = torch.zeros(2, dtype=torch.int64)
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
        return quantize(weight, self.weight_bits, W_SCALE, descale)

    def run(self, a: torch.Tensor, steps: int | None = None, reuse: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """Time-first forward pass: a (T, N, ...) -> spikes (T, N, ...) and v after the last reset (N, ...).

        With `steps`, a is (1, N, ...): the same at all of so many steps. With `reuse`, nobody else may need the
        values of a, as is so behind a product: its memory then keeps what the backward pass needs.
        """
        if self.shape is None:
            self.shape = a.shape[2:]
            self.num_neurons = self.shape.numel()
        a = _dense(a)
        u, v = self._states(a)
        spikes, v_last, self._counts = _Cuba.apply(a, steps or len(a), self._cuba(), u, v, reuse)  # pyright: ignore
        self._remember(u, v)
        return (spikes if self.drop is None else self.drop(spikes)), v_last

    @property
    def overflows(self) -> int:
        """How often u wrapped in the last forward pass."""
        return int(self._counts[0])

    @property
    def saturations(self) -> int:
        """How often v was clipped in the last forward pass."""
        return int(self._counts[1])

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """SLAYER's layout: input (N, ..., T) -> spikes (N, ..., T)."""
        return self.run(input.movedim(-1, 0))[0].movedim(0, -1)

    def dynamics(self, input: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """u and v before the reset, (N, ..., T) in SLAYER's units; no gradients."""
        with torch.no_grad():
            a = input.movedim(-1, 0).contiguous()
            (u, v), parameters, kernels = self._states(a), self._cuba(), implementation(a.device)
            current, voltage, fired = torch.empty_like(a), torch.empty_like(a), torch.empty_like(a[:1])
            for t in range(len(a)):
                step = slice(t, t + 1)
                kernels.forward(_flat(a[step]), parameters, u.view(-1), v.view(-1), _flat(fired), _flat(voltage[step]))
                current[t] = u
        return (current / S_SCALE).movedim(0, -1), (voltage / S_SCALE).movedim(0, -1)

    def _cuba(self) -> Cuba:
        decays = (self.current_decay, self.voltage_decay)
        current, voltage = (min(max(round(float(decay)), 0), self.p_scale) for decay in decays)
        tau, scale = self.tau_grad * _lava.TAU_RHO_MULT * self.threshold, self.scale_rho * _lava.SCALE_RHO_MULT
        return Cuba(current, voltage, int(self.v_th_mantissa) << STATE_SHIFT, tau, scale)

    def _states(self, a: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """int32 u and v (N, ...), in the order of a, to start from: zero, or with `persistent_state` the last ones."""
        u, v = (torch.empty_like(a[0], dtype=torch.int32).zero_() for _ in range(2))
        if self.persistent_state and self.current_state.shape == a.shape[1:]:
            u.copy_(self.current_state * S_SCALE)
            v.copy_(self.voltage_state * S_SCALE)
        return u, v

    def _remember(self, u: torch.Tensor, v: torch.Tensor) -> None:
        if self.persistent_state:  # float64: u may be beyond 24 bits
            self.current_state, self.voltage_state = u.double() / S_SCALE, v.double() / S_SCALE
