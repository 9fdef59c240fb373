"""The CUBA-LIF neuron that snnkd trains: SLAYER's, with the arithmetic of the integer network.

Forward is the definition in `docs/number_formats.md` (24 bit states that wrap and saturate, integer comparison), so
what is trained is what is deployed; backward is SLAYER's surrogate gradient. lava-dl's own neuron agrees with it
below a threshold of 64 and without overflow.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch.autograd.function import once_differentiable

from snnkd.ir.arithmetic import STATE_SHIFT, THRESHOLD_LIMIT
from snnkd.recipe.tables import NeuronParameter
from snnkd.training import slayer
from snnkd.training.dynamics import S_SCALE, W_SCALE, Cuba, implementation
from snnkd.training.dynamics.parameters import gradients
from snnkd.training.memory import dense, flat, like, over_steps
from snnkd.training.weights import Rounding

Voltage = Literal["last", "every", "none"]
MANTISSAS: tuple[NeuronParameter, ...] = ("threshold", "current_decay", "voltage_decay")


class _Cuba(torch.autograd.Function):
    """The dynamics with the gradients of SLAYER (Shrestha & Orchard 2018; lava-dl `spike.py`, `leaky_integrator.py`):
    the surrogate of the spike, and the leaks backwards through time; wraps, clips and resets pass nothing.

    a: (D, N, ...), dense in memory behind D = `steps` or 1; u, v: int32 (N, ...) in the same order, changed in place.
    bias: (C,) in SLAYER's units, for currents that last one step, or None; v gains it at every step, as it does what a
    brings, so their gradients are the same. mantissas: see `Neuron.mantissas`.
    reuse: nobody else needs a, its memory may hold what the backward pass needs. wanted: see `Neuron.run`. counts: a
    list to which wraps of u and clips of v are added as a pair.
    """

    @staticmethod
    def forward(ctx: Any, a, bias, mantissas, steps, surrogate, u, v, reuse, wanted, counts):  # pyright: ignore
        ctx.set_materialize_grads(False)
        added = None if bias is None else _of_neurons(bias * S_SCALE, a)
        neurons = _cuba(mantissas, surrogate, a)
        reuse = reuse and not ctx.needs_input_grad[2]
        ctx.neurons, ctx.added, ctx.distinct, ctx.reuse, ctx.wanted = neurons, added, len(a), reuse, wanted
        spikes, voltage = over_steps(a, steps), None
        if wanted == "every" or ctx.needs_input_grad[0]:
            voltage = a if reuse and len(a) == steps else over_steps(a, steps)
        ctx.voltage = voltage if ctx.needs_input_grad[0] else None
        kept = None if voltage is None else flat(voltage)
        run = implementation(a.device).forward
        counts.append(run(flat(a), neurons, flat(u, 0), flat(v, 0), flat(spikes), kept, added))
        if wanted == "every":
            assert voltage is not None
            return spikes, (voltage / S_SCALE).masked_fill_(spikes > 0, 0)
        return spikes, v.float().div_(S_SCALE) if wanted == "last" else None

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spikes, grad_v):  # pyright: ignore
        voltage, ctx.voltage = ctx.voltage, None if ctx.reuse else ctx.voltage
        if voltage is None:
            raise RuntimeError("a second backward pass, but `reuse` gave the memory away: run the neuron without it")
        given = torch.zeros_like(voltage) if grad_spikes is None else like(grad_spikes, voltage)
        into_v = None
        if grad_v is not None:
            into_v = torch.zeros_like(voltage)
            into_v[slice(None) if ctx.wanted == "every" else -1] = grad_v
            into_v = flat(into_v).masked_fill_(flat(voltage) > ctx.neurons.level, 0)
        steps = len(voltage) if ctx.needs_input_grad[2] else ctx.distinct
        out = voltage if ctx.reuse and steps == len(voltage) else over_steps(voltage, steps)
        implementation(voltage.device).backward(flat(given), into_v, flat(voltage), ctx.neurons, flat(out))
        of_mantissas = None
        if ctx.needs_input_grad[2]:
            of_neurons = over_steps(voltage, 3)
            gradients(flat(out), into_v, flat(voltage), ctx.neurons, ctx.added, flat(of_neurons))
            of_mantissas = of_neurons.sum(dim=(1, *range(3, out.ndim)))
            out = out if ctx.distinct == steps else out.sum(dim=0, keepdim=True)
        of_bias = out.sum(dim=(0, 1, *range(3, out.ndim))) if ctx.needs_input_grad[1] else None
        return out, of_bias, of_mantissas, *(None,) * 7


def _cuba(mantissas: torch.Tensor, surrogate: tuple[float, float], a: torch.Tensor) -> Cuba:
    """The neurons that a (D, N, C, ...) arrives at. mantissas: (3,) or (3, C)."""
    alike = mantissas.ndim == 1
    threshold, current, voltage = map(int, mantissas) if alike else (_of_neurons(values, a) for values in mantissas)
    return Cuba(current, voltage, threshold << STATE_SHIFT, *surrogate)


def _of_neurons(values: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    """Rounds values (C,), and repeats them for each neuron of a (D, N, C, ...): int32 (M,), in the order of a."""
    order = torch.empty_strided(a.shape[1:], a.stride()[1:], dtype=torch.int32, device=a.device)
    return flat(order.copy_(values.round().int().view(-1, *[1] * (a.ndim - 3)).expand(a.shape[1:])), 0)


class Neuron(Rounding, slayer.Neuron):
    """Takes the place of `lava.lib.dl.slayer.neuron.cuba.Neuron`, with exact integer semantics.

    It has the parameters of SLAYER's neuron (threshold in units of 64 vThMant, decays as fractions; as there they are
    kept within the range of the hardware), and `weight_bits` (2 to 8), `weight_step` (see `quantize`) and `centered`
    (see `center`) for the quantization of the synapses in front of it; a fold (`normalization`) sets `weight_scale`,
    which the weights are multiplied by before. Of SLAYER's options, `norm`, `graded_spike`,
    `requires_grad`, `shared_param=False` and another `scale` than 64 raise ValueError: they have no exact integer form
    here.

    per_channel: which of threshold and decays differ from channel to channel of a convolution, or from neuron to neuron
    of a dense layer.

    After each forward pass `overflows` and `saturations` hold how often u wrapped and v was clipped.
    """

    per_channel: tuple[NeuronParameter, ...] = ()
    v_th_mantissa: torch.Tensor
    weight_scale: torch.Tensor | None
    current_decay: torch.Tensor
    voltage_decay: torch.Tensor
    current_state: torch.Tensor
    voltage_state: torch.Tensor

    def __init__(
        self,
        threshold: float,
        current_decay: float,
        voltage_decay: float,
        *,
        weight_bits: int = 8,
        weight_step: int | None = None,
        centered: bool = False,
        **options: Any,
    ):
        refused = [name for name in ("norm", "graded_spike", "requires_grad") if options.get(name)]
        fixed = {"shared_param": True, "scale": W_SCALE}
        refused += [name for name, value in fixed.items() if options.get(name, value) != value]
        if refused:
            raise ValueError(f"snnkd's CUBA neuron cannot take the options {', '.join(refused)}: leave them out")
        if not 2 <= weight_bits <= 8:
            raise ValueError(f"weight_bits {weight_bits}: expected 2 to 8")
        super().__init__(threshold, current_decay, voltage_decay, **options)
        self.weight_bits, self.weight_step, self.centered = weight_bits, weight_step, centered
        self.register_buffer("weight_scale", None)
        self.tau_grad = options.get("tau_grad", 1)
        self._counts: Any = (0, 0)
        self.register_buffer("v_th_mantissa", torch.tensor(0, dtype=torch.int32))
        self.set_threshold(int(threshold * W_SCALE))  # cut off, as SLAYER does

    def _apply(self, fn, recurse=True):  # pyright: ignore
        """Takes the states to another device, and leaves decays and threshold in the host's memory: each step reads
        them, which would wait for the device."""
        self.current_state, self.voltage_state = fn(self.current_state), fn(self.voltage_state)
        return self

    @property
    def threshold(self) -> float:
        """Threshold in SLAYER's units, vThMant / 64."""
        return int(self.v_th_mantissa) / W_SCALE

    def set_threshold(self, mantissa: int) -> None:
        """Sets vThMant to `mantissa`, kept within the 17 bits of the hardware and at least 1."""
        self.v_th_mantissa.fill_(min(max(mantissa, 1), THRESHOLD_LIMIT))

    def channel_values(self, held: torch.Tensor) -> torch.Tensor:
        """Makes what is trained of thresholds and decays `per_channel`, float32, of the integers `held` as the hardware
        has them, (parameters, C): a threshold as a multiple of the layer's, a decay as a fraction."""
        units = [float(self.v_th_mantissa) if name == "threshold" else self.p_scale for name in self.per_channel]
        return (held / torch.tensor(units)[:, None]).float()

    def mantissas(self, values: torch.Tensor | None = None) -> torch.Tensor:
        """Gives vThMant, iDecay and vDecay as the hardware holds them, integers as float32: (3,), or with `values` of
        the channels (3, C), whose gradients pass straight through the rounding."""
        decays = (self.current_decay, self.voltage_decay)
        own = [float(self.v_th_mantissa), *(min(max(round(float(decay)), 0), self.p_scale) for decay in decays)]
        if values is None:
            return torch.tensor(own)
        rows = {name: values.new_full((values.shape[1],), held) for name, held in zip(MANTISSAS, own, strict=True)}
        for name, value in zip(self.per_channel, values, strict=True):
            lowest, unit, highest = (
                (1, own[0], THRESHOLD_LIMIT) if name == "threshold" else (0, self.p_scale, self.p_scale)
            )
            wanted = value * unit
            rows[name] = wanted + (wanted.round().clamp(lowest, highest) - wanted).detach()
        return torch.stack(list(rows.values()))

    def run(
        self,
        a: torch.Tensor,
        steps: int | None = None,
        reuse: bool = False,
        wanted: Voltage = "last",
        bias: torch.Tensor | None = None,
        values: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Runs the neurons time-first, from synaptic sums a (T, N, ...) to spikes (T, N, ...), and v.

        steps: where it is given, a is (1, N, ...), the same at all of so many steps. reuse: nobody else needs the
        values of a, as is so behind a product; its memory then keeps what the backward pass needs. wanted: of v, in
        SLAYER's units and after the reset, "last" returns that of the last step (N, ...), "every" that of each step (T,
        N, ...), "none" nothing that may be used. bias: (C,), which v gains at every step, in SLAYER's units. values: of
        thresholds and decays `per_channel`, see `mantissas`. Spikes and v are differentiable; v where it was not reset.
        """
        if self.shape is None:
            self.shape = a.shape[2:]
            self.num_neurons = self.shape.numel()
        a = dense(a)
        u, v = self._states(a)
        counts: list[Any] = []
        mantissas, surrogate = self.mantissas(values), self._surrogate()
        spikes, voltage = _Cuba.apply(a, bias, mantissas, steps or len(a), surrogate, u, v, reuse, wanted, counts)  # pyright: ignore
        (self._counts,) = counts
        self._remember(u, v)
        return (spikes if self.drop is None else self.drop(spikes)), voltage

    @property
    def overflows(self) -> int:
        """How often u wrapped in the last forward pass."""
        return int(self._counts[0])

    @property
    def saturations(self) -> int:
        """How often v was clipped in the last forward pass."""
        return int(self._counts[1])

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Runs the neurons in SLAYER's layout, from input (N, ..., T) to spikes (N, ..., T)."""
        return self.run(input.movedim(-1, 0))[0].movedim(0, -1)

    def dynamics(self, input: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Computes u and v before the reset, (N, ..., T) each, in SLAYER's units and without gradients."""
        with torch.no_grad():
            a = input.movedim(-1, 0).contiguous()
            parameters = _cuba(self.mantissas(), self._surrogate(), a)
            (u, v), kernels = self._states(a), implementation(a.device)
            current, voltage, fired = torch.empty_like(a), torch.empty_like(a), torch.empty_like(a[:1])
            for t in range(len(a)):
                step = slice(t, t + 1)
                kernels.forward(flat(a[step]), parameters, u.view(-1), v.view(-1), flat(fired), flat(voltage[step]))
                current[t] = u
        return (current / S_SCALE).movedim(0, -1), (voltage / S_SCALE).movedim(0, -1)

    def _surrogate(self) -> tuple[float, float]:
        """Width and scale, see `Cuba`."""
        return self.tau_grad * slayer.TAU_RHO_MULT, self.scale_rho * slayer.SCALE_RHO_MULT

    def _states(self, a: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """int32 u and v (N, ...), in the order of a, to start from: zero, or with `persistent_state` the last ones."""
        both = torch.empty_strided(
            (2, *a.shape[1:]), (a.numel() // len(a), *a.stride()[1:]), dtype=torch.int32, device=a.device
        )
        u, v = both.zero_().unbind()
        if self.persistent_state and self.current_state.shape == a.shape[1:]:
            u.copy_(self.current_state * S_SCALE)
            v.copy_(self.voltage_state * S_SCALE)
        return u, v

    def _remember(self, u: torch.Tensor, v: torch.Tensor) -> None:
        if self.persistent_state:  # float64: u may be beyond 24 bits
            self.current_state, self.voltage_state = u.double() / S_SCALE, v.double() / S_SCALE


def channels_of(block: Any) -> torch.nn.Parameter | None:
    """Returns what is trained of a block's thresholds and decays, `Neuron.channel_values`; None where nothing is."""
    return getattr(block, "channels", None)
