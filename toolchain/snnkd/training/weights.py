"""Weights as the integer network has them: rounded to few bits, and centered before that, with their gradients."""

from __future__ import annotations

import torch

from snnkd.training.memory import like


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
        passed = torch.ops.aten.hardtanh_backward(like(grad, made), made, *ctx.bounds)
        return passed if ctx.scale == 1 else passed.mul_(ctx.scale), None, None, None, None


def quantize(
    weight: torch.Tensor, bits: int = 8, scale: int = 1, descale: bool = True, step: int | None = None
) -> torch.Tensor:
    """Integers of `bits` bits of weight x `scale`: multiples of `step`, 2^(9 - bits) unless given, in [-256, 254], as
    Loihi's mixed sign mode has them; divided by `scale` again unless `descale`.

    With 8 bits and a scale of 64 this is lava-dl's `quantize_8bit`. Gradients pass straight through inside the range
    and are zero at its ends and outside.
    """
    step = step or 1 << (9 - bits)
    high = 1 << (bits - 1)
    return _Quantize.apply(weight, scale / step, -high, high - 1, step if descale else step / scale)  # pyright: ignore


def center(weight: torch.Tensor) -> torch.Tensor:
    """Weights (O, ...) less the mean of each of the O neurons' (Huang et al. 2017, "Centered Weight Normalization in
    Accelerating Training of Deep Neural Networks", without the norm): spikes are never negative, and what all of a
    neuron's inputs have in common then drives it neither up nor down. Weights of 0 are pruned: they stay so, and the
    mean is of the others.

    The mean is made in float64, so that its rounding is the same in any order of the sum.
    """
    kept, of_neuron = weight != 0, tuple(range(1, weight.ndim))
    totals = weight.sum(dim=of_neuron, keepdim=True, dtype=torch.float64)
    return (weight - (totals / kept.sum(dim=of_neuron, keepdim=True).clamp_(min=1)).float()) * kept
