"""Convolutions of integers where torch leaves the algorithm to a library that may round, as cuDNN does: exact all the
same."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from snnkd.training.dynamics import W_SCALE

_LIMIT = 1 << 23  # of the sums in units of 1 / W_SCALE, as Lava wraps them
_found: dict[tuple, bool] = {}  # by all that the algorithm is chosen by: whether it is exact


def convolution(
    images: torch.Tensor,
    weight: torch.Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> torch.Tensor:
    """F.conv2d without bias of images (N, C, H, W), integers up to 255, with weight (O, C / groups, kH, kW), even
    integers in [-256, 254] divided by `W_SCALE`; float32, whose sums are within 23 bits (`network` sees to that).

    Products and sums of such numbers are exact in TF32 with float32 sums, but not where they are transformed first
    (Winograd with large tiles, Fourier). The first convolution of each shape is tried on random integers against
    float64; where it differs, float64 computes them all.
    """
    options = (tuple(stride), tuple(padding), tuple(dilation), groups)
    backend = (images.device, torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark)
    known = (*backend, images.shape, images.stride(), weight.shape, *options)
    if known not in _found:
        _found[known] = _is_exact(images, weight, options)
    if _found[known]:
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
    made = F.conv2d(x, w, None, *options)
    return torch.equal(made, F.conv2d(x.double(), w.double(), None, *options).float())
