"""Synaptic sums of SLAYER blocks over all steps at once, time first and channels last: a matrix product, or a 2-D
convolution.

On a CPU, convolutions of few channels are several times faster with channels last, except for the gradient of their
input, which is made here as a matrix product.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from snnkd.simulation.threads import spread
from snnkd.simulation.vectors import jit
from snnkd.training import slayer, sparse

Block = slayer.block.cuba.Conv | slayer.block.cuba.Dense

_PART = 64  # images at a time
_FEW = 24  # input channels below which the matrix product is quicker, measured with kernels of 3 x 3


def weight_of(block: Block) -> torch.Tensor:
    """Quantized weights in SLAYER's units, (O, I, 1, 1) of a dense block or (O, C / groups, kH, kW)."""
    return block.synapse.pre_hook_fx(block.synapse.weight)[..., 0]


def sums(block: Block, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Synaptic sums of x (T, N, ...): (T, N, ...), or (1, N, ...) where the time axis of x has stride 0. weight: as
    `weight_of` gives it."""
    if x.stride(0) == 0:
        x = x[:1]
    if isinstance(block, slayer.block.cuba.Dense):
        return _dense(x, weight)
    return _conv(block.synapse, x, weight)


def _dense(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    if x.ndim == 5:  # weights are brought into the order that x has in memory, not x into that of the weights
        weight = weight.reshape(len(weight), *x.shape[2:]).movedim(1, -1)
        x = x.movedim(2, -1).flatten(2)
    rows, weight = x.flatten(0, 1), weight.flatten(1)
    a = sparse.Product.apply(rows, weight) if sparse.pays(rows, len(weight)) else F.linear(rows, weight)
    return a.unflatten(0, x.shape[:2])  # pyright: ignore[reportAttributeAccessIssue]


def _conv(synapse: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    images = x.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    if images.shape[1] == 1:  # both orders are the same, but torch goes by the strides
        images = images.as_strided(images.shape, (images[0].numel(), 1, images.shape[3], 1))
    stride, padding, dilation = (list(pair[:2]) for pair in (synapse.stride, synapse.padding, synapse.dilation))
    by_product = images.device.type == "cpu" and images.shape[1] < _FEW and synapse.groups == 1 and dilation == [1, 1]
    if by_product and images.requires_grad:
        a = _Conv.apply(images, weight, stride, padding)
    else:
        a = F.conv2d(images, weight, None, stride, padding, dilation, synapse.groups)
    return a.unflatten(0, x.shape[:2])  # pyright: ignore[reportAttributeAccessIssue]


class _Conv(torch.autograd.Function):
    """F.conv2d with the gradient of its input as one matrix product, whose rows are then added up."""

    @staticmethod
    def forward(ctx: Any, images, weight, stride, padding):  # pyright: ignore
        ctx.save_for_backward(images, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(images, weight, None, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad):  # pyright: ignore
        images, weight = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        arguments = (None, ctx.stride, ctx.padding, [1, 1], False, [0, 0], 1, [False, True, False])
        of_weight = torch.ops.aten.convolution_backward(grad, images, weight, *arguments)[1]
        return input_gradient(grad, weight, images.shape, ctx.stride, ctx.padding), of_weight, None, None


def input_gradient(
    grad: torch.Tensor, weight: torch.Tensor, shape: torch.Size, stride: list[int], padding: list[int]
) -> torch.Tensor:
    """(M, C, H, W) from grad (M, O, H', W'), channels last."""
    count, channels, high, wide = shape
    kernel_h, kernel_w = weight.shape[2:]
    rows, kernels = grad.movedim(1, -1), weight.movedim(1, -1).flatten(1)
    padded = torch.empty(count, high + 2 * padding[0], (wide + 2 * padding[1]) * channels)
    columns = torch.empty(_PART, *rows.shape[1:3], kernel_h, kernel_w * channels)  # stays in the cache
    for start in range(0, count, _PART):
        part = rows[start : start + _PART]
        torch.mm(part.flatten(0, 2), kernels, out=columns[: len(part)].view(-1, kernels.shape[1]))
        target = padded[start : start + _PART].numpy()
        spread(_add_up, len(part), (columns.numpy(), target, stride[0], stride[1] * channels), torch.get_num_threads())
    images = padded.view(count, padded.shape[1], -1, channels).movedim(-1, 1)
    return images[:, :, padding[0] : padding[0] + high, padding[1] : padding[1] + wide]


@jit
def _add_up(columns, images, down, right, first, last):
    """Adds rows of columns (M, H', W', kernel H, kernel W * C) where they belong in images (M, H, W * C)."""
    high, wide, rows, row = columns.shape[1:]
    source, target = columns.reshape(-1), images.reshape(-1)
    for m in range(first, last):
        images[m] = np.float32(0)
        for y in range(high):
            for x in range(wide):
                for k in range(rows):
                    # Unsigned, since an index that may be negative cannot be part of a vector.
                    start = np.uint64((((m * high + y) * wide + x) * rows + k) * row)
                    at = np.uint64((m * images.shape[1] + y * down + k) * images.shape[2] + x * right)
                    for i in range(np.uint64(row)):
                        target[at + i] += source[start + i]
    return 0, 0
