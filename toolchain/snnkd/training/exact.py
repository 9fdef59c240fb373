"""Computes convolutions of integers exactly, also where torch leaves them to a library that may round, as cuDNN."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from snnkd.training.dynamics import W_SCALE

_LIMIT = 1 << 23  # of the sums in units of 1 / W_SCALE, as Lava wraps them
_known: dict[tuple, bool] = {}  # whether the library's algorithm is exact, by all that it is chosen by


def convolution(
    images: torch.Tensor,
    weight: torch.Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> torch.Tensor:
    """Computes F.conv2d without bias: float32 (N, O, H', W'), exact.

    images: (N, C, H, W), integers up to 255. weight: (O, C / groups, kH, kW), even integers in [-256, 254] divided by
    `W_SCALE`. Sums are within 23 bits, which `network` sees to.

    Products and sums of such numbers are exact in TF32 with float32 sums, but not where they are transformed first
    (Winograd with large tiles, Fourier). So the first convolution of each shape is tried on random integers against
    float64; where the two differ, float64 computes all of that shape.
    """
    options = (tuple(stride), tuple(padding), tuple(dilation), groups)
    backend = (images.device, torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark)
    case = (*backend, images.shape, images.stride(), weight.shape, *options)
    if case not in _known:
        _known[case] = _is_exact(images, weight, options)
    if _known[case]:
        return F.conv2d(images, weight, None, *options)
    return F.conv2d(images.double(), weight.double(), None, *options).float()


@torch.no_grad()
def _is_exact(images: torch.Tensor, weight: torch.Tensor, options: tuple) -> bool:
    """Whether F.conv2d of float32 like these, filled with random integers as large as they may be, is that of float64.

    torch's own generator is left alone.
    """
    random = torch.Generator(images.device).manual_seed(0)
    most = min(max(_LIMIT // (256 * weight[0].numel()) - 1, 1), 255)
    x = torch.empty_like(images).random_(0, most + 1, generator=random)
    w = torch.empty_like(weight).random_(-128, 128, generator=random).mul_(2 / W_SCALE)
    float32 = F.conv2d(x, w, None, *options)
    return torch.equal(float32, F.conv2d(x.double(), w.double(), None, *options).float())
