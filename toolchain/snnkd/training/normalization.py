"""Biases that are trained, and batch normalization that is folded into integer weights and biases on the way.

Until it is folded, a layer's sums are normalized by the statistics of the batch, and its weights are those that torch
holds. From then on the layer is what is deployed: integer weights, integer biases, and nothing else. A fold changes
what the network computes by rounding only.

The statistics are those of a part of the batch (`loop.step`), so that they are the same on any number of cores.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from snnkd.training.dynamics import W_SCALE

_MOMENTUM = 0.1  # of the running statistics, as torch's batch normalization has it
_EPSILON = 1e-5


class Bias(torch.nn.Module):
    """Biases of a layer, one for each channel of a convolution or neuron of a dense layer.

    count: of channels or neurons. step: between two values that the hardware holds, in SLAYER's units; limit: the
    largest integer that it holds, in steps.

    What is trained is `values`, (count,) float32, in units of `scale`, which a fold sets.
    """

    scale: torch.Tensor

    def __init__(self, count: int, step: float, limit: int):
        super().__init__()
        self.step, self.limit = step, limit
        self.values = torch.nn.Parameter(torch.zeros(count))
        self.register_buffer("scale", torch.ones(()))

    def rounded(self) -> torch.Tensor:
        """Rounds the biases to what the hardware holds, (count,) float32 in SLAYER's units; the gradient passes
        straight through."""
        values = self.values * self.scale
        with torch.no_grad():
            integers = (values / self.step).round_().clamp_(-self.limit - 1, self.limit)
            held = integers * self.step
        return values + (held - values).detach()

    @torch.no_grad()
    def integers(self) -> torch.Tensor:
        """Returns the biases as the hardware holds them, (count,) int32."""
        return (self.rounded() / self.step).round().int()


class Norm(torch.nn.Module):
    """Batch normalization of a layer's sums (S. Ioffe and C. Szegedy 2015, arXiv 1502.03167); its shift is the layer's
    `Bias`.

    count: of channels. folded: whether weights and biases hold it by now. gain: what the normalized sums are
    multiplied by, (count,). mean, variance: running ones, (count,).
    """

    folded: torch.Tensor
    mean: torch.Tensor
    variance: torch.Tensor

    def __init__(self, count: int):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(count))
        for name, value in (("mean", torch.zeros(count)), ("variance", torch.ones(count))):
            self.register_buffer(name, value)
        self.register_buffer("folded", torch.tensor(False))

    def forward(
        self, a: torch.Tensor, gain: torch.Tensor, shift: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Normalizes sums a (D, N, C, ...), and multiplies by gain and adds shift, (C,) each.

        Returns the result, and in training the mean and the variance of a that it used, (2, C), without gradients.
        """
        if not self.training:
            factor = gain / (self.variance + _EPSILON).sqrt()
            return a * _spread(factor, a) + _spread(shift - self.mean * factor, a), None
        images = a.flatten(0, 1)
        normalized, mean, inverse = torch.native_batch_norm(images, gain, shift, None, None, True, 0.0, _EPSILON)
        used = torch.stack([mean, inverse.pow(-2) - _EPSILON]).detach()
        return normalized.unflatten(0, a.shape[:2]), used

    @torch.no_grad()
    def remember(self, statistics: torch.Tensor) -> None:
        """Moves the running statistics toward those of a batch, (2, C)."""
        for running, new in zip((self.mean, self.variance), statistics, strict=True):
            running.lerp_(new, _MOMENTUM)


class Fold:
    """What folding the normalization of a block means, and does.

    The weights (O, ...) are multiplied by gain / deviation of each channel, and then all by one number, so that the
    largest becomes the largest integer of its bits.

    range: that number, where the layer uses all of its range. largest_sum: an estimate of the largest sum before it is
    multiplied by it: eight standard deviations from the mean.
    """

    @torch.no_grad()
    def __init__(self, block: Any, norm: Norm):
        self._block, self._norm = block, norm
        weight, neuron = block.synapse.weight, block.neuron
        factor = norm.gain / (norm.variance + _EPSILON).sqrt()
        self._shift = block.trained_bias.values - norm.mean * factor
        self._weight = weight * factor.view(-1, *[1] * (weight.ndim - 1))
        self._unscaled = neuron.unrounded(self._weight) / neuron.weight_scale
        self.range = neuron.held_range / (float(self._unscaled.abs().max()) or 1.0)
        self.largest_sum = float(((norm.mean * factor).abs() + 8 * norm.gain.abs()).max())

    @torch.no_grad()
    def cuba(self) -> None:
        """Folds it, and multiplies the threshold too."""
        neuron = self._block.neuron
        self._hold(self.range, self.range)
        neuron.set_threshold(round(neuron.threshold * self.range * W_SCALE))

    @torch.no_grad()
    def sigma_delta(self, before: float, scale: float) -> float:
        """Folds it behind messages that are `before` times as large as they were; the weights are multiplied by
        `scale`, of at most `range`, and get the step at which they lose least. Returns how many times as large the
        layer's own messages become."""
        neuron = self._block.neuron
        neuron.refine(self._unscaled * scale)
        self._hold(scale, scale * before)
        neuron.scale.fill_(scale * before)
        return scale * before

    def _hold(self, of_weights: float, of_sums: float) -> None:
        """Puts the folded numbers in place. Weights stay as large as they are, on the whole, and biases in units of
        normalized sums, so that a learning rate means what it did."""
        block = self._block
        weight, bias = block.synapse.weight, block.trained_bias
        kept = float(weight.std() / self._weight.std())
        weight.copy_(self._weight * kept)
        block.neuron.weight_scale.fill_(of_weights / kept)
        bias.values.copy_(self._shift)
        bias.scale.fill_(of_sums)
        self._norm.folded.fill_(True)


@torch.no_grad()
def measured(block: Any, deviation: float) -> None:
    """Makes the power of two next to `deviation`, the standard deviation of its sums, the unit of a sigma-delta block
    that is folded, as the normalization of one would be; all of its integers stay what they are."""
    neuron, bias = block.neuron, block.trained_bias
    scale = power_of_two(deviation)
    ratio = float(neuron.scale) / scale
    for held in (neuron.vth, bias.values):
        held.mul_(ratio)
    for unit in (neuron.scale, bias.scale):
        unit.fill_(scale)


def power_of_two(value: float) -> float:
    """Returns the power of two next to a value above 0, by which float32 multiplies without rounding; 1 for 0."""
    return 2.0 ** round(math.log2(value)) if value > 0 else 1.0


def norm_of(block: Any) -> Norm | None:
    """Returns the normalization of a block that is not folded yet, None where there is none."""
    norm = getattr(block, "batch_norm", None)
    return None if norm is None or bool(norm.folded) else norm


def bias_of(block: Any) -> Bias | None:
    """Returns the trained biases of a block, None where it has none."""
    return getattr(block, "trained_bias", None)


def _spread(values: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    """Values (C,) as a tensor that torch spreads over a (D, N, C, ...)."""
    return values.view(-1, *[1] * (a.ndim - 3))
