"""Computes the synaptic sums of a SLAYER block over all steps at once, by the quickest product that there is.

Time is first and channels last: all steps are one matrix product, or one 2-D convolution.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F

from snnkd.training import exact, slayer
from snnkd.training.delays import delayed, delays_of
from snnkd.training.dynamics import W_SCALE
from snnkd.training.kernels import convolution, sparse
from snnkd.training.normalization import norm_of

Block = slayer.Conv | slayer.Dense

# Input channels, measured with kernels of 3 x 3.
_FEW = 24  # below, `convolution` is quicker than torch
_SOME = 16  # from there on, sparse products are quicker than both, where few inputs are active
_FLOAT32 = 1 << 24  # integers up to here are exact


def weight_of(block: Block) -> torch.Tensor:
    """Quantizes a block's weights: (O, I, 1, 1) of a dense one, else (O, C / groups, kH, kW), in SLAYER's units; of one
    whose normalization is not folded yet they are not rounded."""
    neuron: Any = block.neuron
    makes = block.synapse.pre_hook_fx if norm_of(block) is None else neuron.unrounded
    rounded = makes(block.synapse.weight)
    return rounded.squeeze(-1)  # a gradient is then a view as well


def sums(block: Block, x: torch.Tensor, weight: torch.Tensor, delay: torch.Tensor | None = None) -> torch.Tensor:
    """Computes the synaptic sums of a block that reads x (T, N, *input shape), in SLAYER's units.

    weight: as `weight_of` returns it. delay: those of the block's `Delays`, in whole steps. Returns (T, N, *output
    shape); where the time axis of x has stride 0 and there are no delays, (1, N, *output shape), the sums of every
    step.
    """
    distinct = x[:1] if x.stride(0) == 0 else x
    if not isinstance(block, slayer.Dense):
        return _conv(block.synapse, distinct, weight)
    delays = delays_of(block)
    if delays is None or delay is None:
        return _dense(distinct, weight)
    if delays.by == "input":
        return _dense(x, weight, delay)
    a = _dense(distinct, weight)
    return delayed(a.expand(len(x), *a.shape[1:]), delay)


def sums_of_messages(block: Block, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Computes the synaptic sums of messages x (T, N, *input shape) as `sums` does, exact, as float64.

    x: multiples of 1 / 64 below 2^24 / 64. The gradient is that of the product in float32.
    """
    a = sums(block, x, weight)
    with torch.no_grad():
        exactly = by_digits(block, x, weight, a) if x.device.type == "cpu" else in_float64(block, x, weight)
    return _Value.apply(a, exactly)  # pyright: ignore[reportReturnType]


def by_digits(block: Block, x: torch.Tensor, weight: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    """Computes these sums from a, what `sums` returns, where float32 holds them, else of the digits of the messages,
    whose sums it holds: several quick products in place of a slow one."""
    integers, reach = x * W_SCALE, float(weight.abs().flatten(1).sum(dim=1).max()) * W_SCALE
    largest = float(integers.abs().max())
    if largest * reach < _FLOAT32:
        return a.double()
    base = float(1 << max(1, int(_FLOAT32 / reach).bit_length() - 1))
    exactly, place = torch.zeros_like(a, dtype=torch.float64), 1.0
    while largest >= 1:
        rest = torch.trunc(integers / base)
        exactly += sums(block, integers - rest * base, weight).double() * (place / W_SCALE)
        integers, place, largest = rest, place * base, largest / base
    return exactly


def in_float64(block: Block, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Computes these sums in float64: on a GPU, whose products in float32 may round what is beyond 11 bits."""
    if isinstance(block, slayer.Dense):
        return F.linear(x.flatten(2).double(), weight.flatten(1).double())
    images, how = x.flatten(0, 1).double(), cast(Any, block.synapse)
    stride, padding, dilation = (pair[:2] for pair in (how.stride, how.padding, how.dilation))
    return F.conv2d(images, weight.double(), None, stride, padding, dilation, how.groups).unflatten(0, x.shape[:2])


class _Value(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, value):  # pyright: ignore
        return value

    @staticmethod
    def backward(ctx, grad):  # pyright: ignore
        return grad.float(), None


def _dense(x: torch.Tensor, weight: torch.Tensor, delay: torch.Tensor | None = None) -> torch.Tensor:
    if x.ndim == 5:  # weights are brought into the order that x has in memory, not x into that of the weights
        weight = weight.reshape(len(weight), *x.shape[2:]).movedim(1, -1)
        delay = None if delay is None else delay.view(x.shape[2:]).movedim(0, -1).flatten()
        x = x.movedim(2, -1).flatten(2)
    if delay is not None:
        x = delayed(x, delay)
    weight = weight.flatten(1)
    return sparse.Product.apply(x, weight) if sparse.pays(x, len(weight)) else F.linear(x, weight)  # pyright: ignore


def _conv(synapse: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    stride, padding, dilation = (list(pair[:2]) for pair in (synapse.stride, synapse.padding, synapse.dilation))
    plain = x.device.type == "cpu" and synapse.groups == 1 and dilation == [1, 1]
    if plain and x.shape[2] >= _SOME and sparse.pays(x, len(weight)):
        return sparse.Convolution.apply(x, weight, stride, padding)  # pyright: ignore[reportReturnType]
    if plain and x.shape[2] < _FEW:
        return convolution.Conv.apply(x, weight, stride, padding)  # pyright: ignore[reportReturnType]
    images = x.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    convolve = F.conv2d if x.device.type == "cpu" else exact.convolution
    a = convolve(images, weight, stride=stride, padding=padding, dilation=dilation, groups=synapse.groups)
    return a.unflatten(0, x.shape[:2])  # pyright: ignore[reportAttributeAccessIssue]
