"""Sigma-delta neurons that snnkd trains, with the arithmetic of the integer network (docs/number_formats.md).

Their unit is that of the threshold: a state of 1.0 is the integer 4096, a message of 1.0 the integer 64, and so is a
weight. Sums, states and what follows from them are float64, in which all of these integers are exact.
"""

from __future__ import annotations

import torch

from snnkd.base.errors import QuantizationError
from snnkd.training.dynamics import S_SCALE, W_SCALE
from snnkd.training.neuron import Voltage
from snnkd.training.weights import Rounding, quantize

EXPONENT = 12  # spike_exp + state_exp of NetX: a state of 1.0 is 2^12
BIAS_LIMIT = (1 << 31 - EXPONENT) - 1  # of a bias or a threshold in units of 1.0, which 32 bits hold
_EXACT = 1 << 24  # float32 holds integers up to here


class _RoundDown(torch.autograd.Function):
    """Rounds messages down to multiples of 1 / 64, as float32; the gradient passes straight through."""

    @staticmethod
    def forward(ctx, change):  # pyright: ignore
        return torch.floor(change * W_SCALE).div_(W_SCALE).float()

    @staticmethod
    def backward(ctx, grad):  # pyright: ignore
        return grad.double()


class _Sent(torch.autograd.Function):
    """1 where there is a message, else 0; with the gradient exp(-|message|), which small messages feel most."""

    @staticmethod
    def forward(ctx, messages):  # pyright: ignore
        ctx.save_for_backward(messages)
        return (messages != 0).float()

    @staticmethod
    def backward(ctx, grad):  # pyright: ignore
        (messages,) = ctx.saved_tensors
        return grad * messages.sign() * (-messages.abs()).exp_()


def sent(messages: torch.Tensor, unit: float) -> torch.Tensor:
    """Tells where there are messages, as 1 and 0; differentiable. unit: what is a large one."""
    return _Sent.apply(messages / unit)  # pyright: ignore[reportReturnType]


class SigmaDelta(Rounding, torch.nn.Module):
    """Neurons that sum up what arrives, and send by how much the ReLU of that, with a bias, has changed.

    weight_bits, weight_step, centered: as of `neuron.Neuron`. decoder: whether they send the sum itself, as an output
    does. vth: what a change has to reach to be sent, () float64 in units of the normalized sums; `scale` of these are
    the integer unit 1.0.

    The gradient of a message is that of the ReLU; what a threshold holds back, and what rounding cuts off, pass it as
    if they were sent.
    """

    vth: torch.Tensor
    scale: torch.Tensor
    weight_scale: torch.Tensor
    held_step: torch.Tensor

    def __init__(
        self,
        weight_bits: int = 8,
        weight_step: int | None = None,
        centered: bool = False,
        *,
        vth: float = 0.0,
        decoder: bool = False,
    ):
        super().__init__()
        self.weight_bits, self.centered = weight_bits, centered
        self.decoder = decoder
        self.shape: torch.Size | None = None
        self.overflows, self.saturations = 0, 0
        for name in ("scale", "weight_scale"):
            self.register_buffer(name, torch.ones(()))
        self.register_buffer("held_step", torch.tensor(weight_step or 1 << (9 - weight_bits)))
        self.register_buffer("vth", torch.tensor(vth, dtype=torch.float64))

    @property
    def weight_step(self) -> int:
        """The step between two weights, an integer as the hardware holds it; a fold may make it finer."""
        return int(self.held_step)

    @property
    def threshold(self) -> int:
        """The threshold as the hardware holds it, in units of 1.0."""
        return min(round(float(self.vth) * float(self.scale)), BIAS_LIMIT)

    @torch.no_grad()
    def refine(self, weight: torch.Tensor) -> None:
        """Takes the step between weights, up to the one that it has, at which these lose least: unrounded ones, in
        SLAYER's units. Finer steps round less, and clip more."""
        steps = [1 << power for power in range(1, self.weight_step.bit_length())]
        self.held_step.fill_(min(steps, key=lambda step: self._lost(weight, step)))

    def _lost(self, weight: torch.Tensor, step: int) -> float:
        return float((quantize(weight, self.weight_bits, W_SCALE, False, step) - weight).square().sum())

    def run(
        self, a: torch.Tensor, bias: torch.Tensor | None, wanted: Voltage = "last", sum_bits: int = 32
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Runs the neurons from sums a (T, N, ...) float64 to messages (T, N, ...) float32, and their membrane.

        bias: (C,). wanted: of the membrane, the activation, or of a decoder, whose messages are the same, the sum as
        float64; as of `neuron.Neuron.run`, in units of 1.0. sum_bits: in which Lava holds a sum. Raises
        QuantizationError where a message is too large for float32 to hold exactly.
        """
        self.shape, self.overflows = a.shape[2:], 0
        a = self._wrapped(a, sum_bits)
        sigma = self._wrapped(a.cumsum(dim=0)) if len(a) > 1 else a
        if self.decoder:
            return sigma, sigma if wanted == "every" else sigma[-1]
        if bias is not None:
            sigma = self._wrapped(sigma + bias.double().view(-1, *[1] * (a.ndim - 3)))
        active = sigma.relu()
        messages = _RoundDown.apply(self._sent(active))
        if float(messages.detach().abs().max()) * W_SCALE >= _EXACT:
            raise QuantizationError("a message has more than 24 bits; use a lower optimizer.lr, or fewer encoding.bits")
        return messages, active.float() if wanted == "every" else active[-1].float()

    def run_real(self, y: torch.Tensor, wanted: Voltage = "last") -> tuple[torch.Tensor, torch.Tensor]:
        """Runs the neurons on normalized sums with their shift, (T, N, ...) float32, before they are folded."""
        self.shape = y.shape[2:]
        active = (y.cumsum(dim=0) if len(y) > 1 else y).relu()
        return self._sent(active, float(self.vth)), active if wanted == "every" else active[-1]

    def _sent(self, active: torch.Tensor, threshold: float | None = None) -> torch.Tensor:
        """What is sent of the activations (T, N, ...): their changes, where these reach the threshold."""
        level = self.threshold if threshold is None else threshold
        if len(active) == 1:
            return active if not level else active - active.detach() * (active.detach() < level)
        changes, residue, before = [], torch.zeros_like(active[0]), torch.zeros_like(active[0])
        for now in active:
            change = now - before + residue
            held_back = change.detach() * (change.detach().abs() < level)
            changes.append(now - before + (change - held_back - (now - before)).detach())
            residue, before = held_back, now
        return torch.stack(changes)

    def _wrapped(self, values: torch.Tensor, bits: int = 32) -> torch.Tensor:
        """Sums and states wrap in their bits; with the gradient of values that did not."""
        low, high = torch.aminmax(values.detach())
        limit = (1 << bits - 1) / S_SCALE
        if high < limit and low >= -limit:
            return values
        wrapped = torch.remainder(values.detach() + limit, 2 * limit) - limit
        self.overflows += int((wrapped != values).sum())
        return values + (wrapped - values.detach())
