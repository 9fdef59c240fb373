"""Computes 2-D convolutions of few input channels on the CPU, time first and channels last, and both gradients.

All three are the same contraction, `plain.contract`, of different elements; its sums stay in registers. The gradient of
the weights is a sum over parts that do not depend on the number of threads, so that every bit is the same on any.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from snnkd.engines.fast.kernels.compiling import jit
from snnkd.engines.fast.threads import spread
from snnkd.training import memory
from snnkd.training.kernels.primitives import contract
from snnkd.training.kernels.sizes import LANES

_CHUNK = 64  # images of a part of the weights' gradient
_FEW = 32  # input channels below which the gradient of the input is quicker than torch's, measured with 3 x 3 kernels


class Conv(torch.autograd.Function):
    """F.conv2d of x (T, N, C, H, W) with weight (O, C, kH, kW), float32 on a CPU: (T, N, O, H', W'), channels last.
    stride, padding: [down, right]."""

    @staticmethod
    def forward(ctx: Any, x, weight, stride, padding):  # pyright: ignore
        images = _channels_last(x.detach(), padding)
        ctx.save_for_backward(images, weight)
        ctx.shape, ctx.stride, ctx.padding = x.shape, stride, padding
        return _forward(images, weight.detach(), stride)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad):  # pyright: ignore
        images, weight = ctx.saved_tensors
        grad = grad.movedim(2, -1).flatten(0, 1).contiguous()
        of_weight = _weight_gradient(images, grad, weight.shape, ctx.stride)
        if not ctx.needs_input_grad[0]:
            return None, of_weight, None, None
        shape = torch.Size((len(grad), *ctx.shape[2:]))
        of_x = input_gradient(grad.movedim(-1, 1), weight, shape, ctx.stride, ctx.padding)
        return of_x.unflatten(0, ctx.shape[:2]), of_weight, None, None


def _channels_last(x: torch.Tensor, padding: list[int]) -> torch.Tensor:
    """(T, N, H, W, C), padded, each image without gaps."""
    x = x.movedim(2, -1)
    if any(padding):
        down, right = padding
        return F.pad(x, (0, 0, right, right, down, down)).contiguous()
    return x if x[0, 0].is_contiguous() else x.contiguous()


def _in_lanes(a: torch.Tensor) -> torch.Tensor:
    """Contiguous, its last axis filled up with zeros to whole vectors."""
    return F.pad(a, (0, -a.shape[-1] % LANES)).contiguous() if a.shape[-1] % LANES else a.contiguous()


def _forward(images: torch.Tensor, weight: torch.Tensor, stride: list[int]) -> torch.Tensor:
    outputs, channels, kernel_h, kernel_w = weight.shape
    (steps, samples, height, width), row = images.shape[:4], images.shape[3] * channels
    kernels = _in_lanes(weight.permute(2, 3, 1, 0).flatten(0, 2))
    size = (height - kernel_h) // stride[0] + 1, (width - kernel_w) // stride[1] + 1
    convolved = torch.empty(steps * samples, *size, kernels.shape[1])
    pixels = memory.places((size[0], stride[0] * row), (size[1], stride[1] * channels))
    taps = memory.places((kernel_h, row), (kernel_w * channels, 1))
    arguments = (*memory.rows(images), pixels, taps, kernels.numpy(), convolved.flatten(1, 2).numpy())
    spread(_convolve, len(convolved), arguments, torch.get_num_threads())
    convolved = convolved if outputs == convolved.shape[-1] else convolved[..., :outputs].contiguous()
    return convolved.unflatten(0, (steps, samples)).movedim(-1, 2)


def _weight_gradient(images: torch.Tensor, grad: torch.Tensor, shape: torch.Size, stride: list[int]) -> torch.Tensor:
    """The gradient of the weights, `shape` (O, C, kH, kW), from grad (M, H', W', O)."""
    outputs, channels, kernel_h, kernel_w = shape
    (_, height, width, _), row = grad.shape, images.shape[3] * channels
    grad = _in_lanes(grad)
    pixels = memory.places((height, stride[0] * row), (width, stride[1] * channels))
    taps = memory.places((kernel_h, row), (kernel_w * channels, 1))
    parts = np.empty((-(-len(grad) // _CHUNK), len(taps), grad.shape[-1]), np.float32)
    arguments = (*memory.rows(images), pixels, taps, grad.flatten(1, 2).numpy(), parts)
    spread(_correlate, len(parts), arguments, torch.get_num_threads())
    total = torch.from_numpy(parts.sum(axis=0)).view(kernel_h, kernel_w, channels, -1)
    return total[..., :outputs].permute(3, 2, 0, 1)


def input_gradient(
    grad: torch.Tensor, weight: torch.Tensor, shape: torch.Size, stride: list[int], padding: list[int]
) -> torch.Tensor:
    """Computes the gradient of the images, `shape` (M, C, H, W), from grad (M, O, H', W'), both channels last.

    weight: (O, C, kH, kW). stride, padding: [down, right]. By torch or by the kernels here, whichever is quicker.
    """
    if shape[1] < _FEW:
        return _input_gradient(grad, weight, shape, stride, padding)
    model = torch.empty(shape, memory_format=torch.channels_last)  # only its order in memory matters
    rest = (None, stride, padding, [1, 1], False, [0, 0], 1, (True, False, False))
    return torch.ops.aten.convolution_backward(grad, model, weight, *rest)[0]


def _input_gradient(
    grad: torch.Tensor, weight: torch.Tensor, shape: torch.Size, stride: list[int], padding: list[int]
) -> torch.Tensor:
    """As `input_gradient`, by the kernels."""
    (_, channels, height, width), (top, left) = shape, padding
    row = (width + 2 * left) * channels
    kernels = _in_lanes(weight.detach().permute(2, 0, 3, 1).flatten(2))  # (kH, O, kW C)
    of_images = torch.empty(len(grad), height, width, channels)
    pixels = memory.places((grad.shape[2], stride[0] * row), (grad.shape[3], stride[1] * channels))
    image = (top, left * channels, row, (height + 2 * top) * row)
    arguments = (grad.movedim(1, -1).contiguous().flatten(1, 2).numpy(), kernels.numpy(), pixels, image)
    spread(_transpose, len(of_images), (*arguments, of_images.flatten(2).numpy()), torch.get_num_threads())
    return of_images.movedim(-1, 1)


@jit
def _convolve(images, starts, pixels, taps, kernels, convolved, first, last):
    """Convolves the images `first` to `last` with kernels (taps, O) to convolved (M, pixels, O)."""
    count, width = convolved.shape[1:]
    flat, out, to = kernels.reshape(-1), convolved.reshape(-1), np.arange(count) * width
    for m in range(first, last):
        convolved[m] = np.float32(0)
        contract(out, m * count * width, to, images, starts[m], pixels, taps, flat, 0, width)
    return 0, 0


@jit
def _correlate(images, starts, pixels, taps, grad, parts, first, last):
    """Correlates the chunks `first` to `last` of images with grad (M, pixels, O) to parts (chunks, taps, O)."""
    number, count, width = grad.shape
    flat, out, to = grad.reshape(-1), parts.reshape(-1), np.arange(taps.shape[0]) * width
    for chunk in range(first, last):
        parts[chunk] = np.float32(0)
        at = chunk * taps.shape[0] * width
        for m in range(chunk * _CHUNK, min((chunk + 1) * _CHUNK, number)):
            contract(out, at, to, images, starts[m], taps, pixels, flat, m * count * width, width)
    return 0, 0


@jit
def _transpose(grad, kernels, pixels, image, of_images, first, last):
    """Convolves grad (M, pixels, O) backwards to the images `first` to `last` of of_images (M, H, W C).

    kernels: (kH, O, kW C), the last axis filled up to whole vectors. image: of a padded image, the rows above, the
    elements to the left, the elements of a row and those of all rows.
    """
    count, outputs = grad.shape[1:]
    kernel_h, _, width = kernels.shape
    top, left, row, size = image
    flat, grads, rows, terms = kernels.reshape(-1), grad.reshape(-1), np.arange(count) * outputs, np.arange(outputs)
    padded = np.empty(size + LANES, np.float32)  # whole vectors are added, at its end as well
    for m in range(first, last):
        padded[:] = np.float32(0)
        for k in range(kernel_h):
            contract(padded, k * row, pixels, grads, m * count * outputs, rows, terms, flat, k * outputs * width, width)
        for y in range(of_images.shape[1]):
            start = np.uint64((top + y) * row + left)  # unsigned, since an index that may be negative is no vector's
            for i in range(np.uint64(of_images.shape[2])):
                of_images[m, y, i] = padded[start + i]
    return 0, 0
