"""Makes of the weights that are trained those of the integer network: centers and rounds them, with gradients."""

from __future__ import annotations

import torch

from snnkd.training.dynamics import W_SCALE
from snnkd.training.memory import like


class _Quantize(torch.autograd.Function):
    """Multiplies by `gain`, rounds, clips to [low, high] and multiplies by `step`; the gradient passes straight through
    (Bengio et al. 2013), but not, as with torch's clamp, where the result is `low` or `high`."""

    @staticmethod
    def forward(ctx, weight, gain, low, high, step):  # pyright: ignore
        rounded = torch.mul(weight, gain).round_().clamp_(low, high).mul_(step)
        ctx.save_for_backward(rounded)
        ctx.scale, ctx.bounds = gain * step, (low * step, high * step)
        return rounded

    @staticmethod
    def backward(ctx, grad):  # pyright: ignore
        (rounded,) = ctx.saved_tensors
        passed = torch.ops.aten.hardtanh_backward(like(grad, rounded), rounded, *ctx.bounds)
        return passed if ctx.scale == 1 else passed.mul_(ctx.scale), None, None, None, None


def quantize(
    weight: torch.Tensor, bits: int = 8, scale: int = 1, descale: bool = True, step: int | None = None
) -> torch.Tensor:
    """Rounds weights (any shape) to integers of `bits` bits.

    Returns weight * `scale` rounded to a multiple of `step` in [-256, 254], divided by `scale` again unless `descale`.
    Unless given, step is 2^(9 - bits): the integers are then those of Loihi's mixed sign mode. With 8 bits and a scale
    of 64 this is lava-dl's `quantize_8bit`. Gradients pass straight through inside the range, and are 0 at its ends and
    outside.
    """
    step = step or 1 << (9 - bits)
    high = 1 << (bits - 1)
    return _Quantize.apply(weight, scale / step, -high, high - 1, step if descale else step / scale)  # pyright: ignore


def center(weight: torch.Tensor) -> torch.Tensor:
    """Subtracts from the weights (O, ...) of each of O neurons their mean; returns the same shape.

    Spikes are never negative: what all inputs of a neuron have in common then drives it neither up nor down. Weights of
    0 are pruned: they stay 0, and the mean is of the others. After L. Huang et al., "Centered Weight Normalization in
    Accelerating Training of Deep Neural Networks" (ICCV 2017), without the norm.

    The mean is computed in float64, so that its rounding is the same in any order of the sum.
    """
    kept, of_neuron = weight != 0, tuple(range(1, weight.ndim))
    totals = weight.sum(dim=of_neuron, keepdim=True, dtype=torch.float64)
    return (weight - (totals / kept.sum(dim=of_neuron, keepdim=True).clamp_(min=1)).float()) * kept


class Rounding:
    """What neurons of either kind do to the weights of the synapses in front of them.

    weight_bits, weight_step: see `quantize`; centered: see `center`. weight_scale: what they are multiplied by before,
    which a fold sets; None for 1.
    """

    weight_bits: int
    weight_step: int | None
    centered: bool
    weight_scale: torch.Tensor | None

    @property
    def held_range(self) -> float:
        """The largest weight of these bits, in SLAYER's units."""
        step = self.weight_step or 1 << (9 - self.weight_bits)
        return ((1 << (self.weight_bits - 1)) - 1) * step / W_SCALE

    def unrounded(self, weight: torch.Tensor) -> torch.Tensor:
        """Makes what `quantize_8bit` rounds, in the same shape: the weights, where `centered` less their means."""
        centered = center(weight) if self.centered else weight
        return centered if self.weight_scale is None else centered * self.weight_scale

    def quantize_8bit(self, weight: torch.Tensor, descale: bool = False) -> torch.Tensor:
        """Rounds weights to `weight_bits` bits, in the same shape; in SLAYER's units, or as integers with `descale`."""
        return quantize(self.unrounded(weight), self.weight_bits, W_SCALE, descale, self.weight_step)
