"""Multiplies with spikes on the CPU so that what is 0 costs nothing: forward, and in the gradient of the weights.

There are matrix products and convolutions. Their sums are in another order than those of a dense product; forward they
are exact in any order, being integers.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from snnkd.training.kernels.convolution import input_gradient
from snnkd.training.kernels.lists import Lists, reach

SPARSE = 0.2  # share of inputs that are not 0 up to which this is quicker than a dense product
_SAMPLED = 16  # every so many rows are looked at for it
_LEAST = 1 << 22  # products of a matrix product that are worth the lists


def pays(x: torch.Tensor, outputs: int) -> bool:
    """Tells whether a sparse product of x (T, N, ...) with weights of so many outputs is quicker than a dense one.

    It is where few entries of x are not 0, and features or channels lie side by side in the CPU's memory.
    """
    if x.device.type != "cpu" or x.numel() * outputs < _LEAST or x.stride(2) != 1:
        return False
    sample = x[:, ::_SAMPLED]
    return int(torch.count_nonzero(sample)) < SPARSE * sample.numel()


class Product(torch.autograd.Function):
    """x @ weight.T for x (T, N, I), whose last axis is contiguous, and weight (O, I), float32: (T, N, O).

    Quickest where weight.T is contiguous, as its gradient will be.
    """

    @staticmethod
    def forward(ctx: Any, x, weight):  # pyright: ignore
        lists = Lists.of_rows(x.detach())
        ctx.save_for_backward(weight)
        ctx.lists, ctx.inputs = lists, x.shape[2]
        return lists.products(weight.detach().t()).unflatten(0, x.shape[:2])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad):  # pyright: ignore
        (weight,) = ctx.saved_tensors
        of_x = grad @ weight if ctx.needs_input_grad[0] else None
        return of_x, ctx.lists.scattered(grad.flatten(0, 1), ctx.inputs).t()


class Convolution(torch.autograd.Function):
    """F.conv2d of x (T, N, C, H, W), channels last in memory, with weight (O, C, kH, kW), float32: (T, N, O, H', W'),
    channels last. stride, padding: [down, right]."""

    @staticmethod
    def forward(ctx: Any, x, weight, stride, padding):  # pyright: ignore
        outputs, _, *kernel = weight.shape
        lists = Lists.of_patches(x.detach().movedim(2, -1), kernel, stride, padding)
        ctx.save_for_backward(weight)
        ctx.lists, ctx.shape, ctx.stride, ctx.padding = lists, x.shape, stride, padding
        convolved = lists.products(weight.detach().permute(2, 3, 1, 0).flatten(0, 2))
        size = reach(x.shape[3:], kernel, stride, padding)
        return convolved.view(*x.shape[:2], *size, outputs).movedim(-1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad):  # pyright: ignore
        (weight,) = ctx.saved_tensors
        outputs, channels, *kernel = weight.shape
        grad = grad.movedim(2, -1).contiguous()
        taps = ctx.lists.scattered(grad.view(-1, outputs), prod(kernel) * channels)
        of_weight = taps.view(*kernel, channels, outputs).permute(3, 2, 0, 1)
        if not ctx.needs_input_grad[0]:
            return None, of_weight, None, None
        shape = torch.Size((ctx.shape[:2].numel(), *ctx.shape[2:]))
        of_x = input_gradient(grad.flatten(0, 1).movedim(-1, 1), weight, shape, ctx.stride, ctx.padding)
        return of_x.unflatten(0, ctx.shape[:2]), of_weight, None, None
