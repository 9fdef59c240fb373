"""Losses on feature maps: what a hidden layer does in the student and in its teacher.

`student` and `teacher` are maps f_S and f_T, (T, N, C, H, W) float32, of T steps (1 where the steps are averaged, or
where they are all the same), N images and C channels; a dense layer has H = W = 1. Sizes are equal but for T of the
teacher, which may be 1, and C where the loss has no use for an alignment. Every loss returns a tensor (), a mean over
steps and images, that is 0 where both maps are the same.

Where channels differ, a module that is trained beside the student and never deployed makes the student's as many as
the teacher's: `FeatureLoss.align`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

MASKED = 0.15  # the share of the channels that `Blur` sets to 0, as in the code of BKDSNN


def normalized_mse(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Computes ||f_S / ||f_S|| - f_T / ||f_T|| ||^2, norms over (C, H, W): 2 - 2 cos of the angle between the maps.

    So neither map's scale matters: rates are at most 1, ReLUs have any size. KDSNN (Xu et al. 2023, arXiv 2304.05627)
    has the mean squared error of the maps as they are, after an alignment by 1x1 convolution, as have we.
    """
    return (_unit(student) - _unit(teacher)).square().sum(dim=2).mean()


def attention(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Computes ||q_S - q_T||^2 with q = Q / ||Q||, Q[h, w] = sum over c of f[c, h, w]^2: where the maps are active.

    It needs no alignment: channels are summed up. Attention maps are those of Zagoruyko and Komodakis (ICLR 2017, arXiv
    1612.03928), with their p = 2; LaSNN (Hong et al. 2023, arXiv 2304.09101) distils spiking networks by attention.
    """
    return (_unit(student.square().sum(dim=2)) - _unit(teacher.square().sum(dim=2))).square().sum(dim=2).mean()


def scaled_mse(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Computes the mean of (f_S - f_T / max f_T)^2 over all elements; max: over the batch.

    As in BKDSNN (Xu et al., ECCV 2024), whose f_S is G(M x A(f)), see `Blur`. There f_T is multiplied by the maximum of
    A(f) as well; with that, a smaller map would be a smaller loss.
    """
    return (student - teacher / teacher.amax().clamp_min(1e-6)).square().mean()


def membrane(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Computes the mean of (v_S - v_T)^2 over all elements: membrane potentials at each step, in units of the
    thresholds.

    Membrane potentials as what is distilled are of MD-SNN (Lee et al., DATE 2026, arXiv 2512.04443), for students that
    are quantized twins of their teachers. Units, and alignment where the layers' sizes differ, are ours.
    """
    return (student - teacher).square().mean()


def cka(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Computes 1 - CKA(f_S, f_T), mean over the steps: how differently images are like each other in the two layers.

    CKA = <K, L> / (||K|| ||L||), K = X X^T and L = Y Y^T, of the maps as matrices (N, C H W) whose columns have mean 0:
    linear centered kernel alignment (Kornblith et al., ICML 2019, arXiv 1905.00414). It needs no alignment, and knows
    neither rotations nor scale of a map. He et al. (AAAI 2024, arXiv 2303.13077) use it on spiking networks.
    """
    return cka_by_step(student, teacher).mean()


def cka_by_step(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Computes `cka` of each step, (T,)."""
    teacher = teacher.expand(len(student), *teacher.shape[1:])
    likeness = []
    for k, l in zip(map(_gram, student), map(_gram, teacher), strict=True):  # noqa: E741  (as in the formula)
        likeness.append((k * l).sum() / (k.norm() * l.norm()).clamp_min(1e-12))
    return 1 - torch.stack(likeness)


def _unit(maps: torch.Tensor) -> torch.Tensor:
    """Maps (T, N, ...) as vectors (T, N, elements) of length 1; 0 stays 0."""
    return F.normalize(maps.flatten(2), dim=2)


def _gram(maps: torch.Tensor) -> torch.Tensor:
    """Inner products (N, N) of maps (N, C, H, W), flattened and less their mean over N."""
    rows = maps.flatten(1)
    rows = rows - rows.mean(dim=0)
    return rows @ rows.T


class Blur(torch.nn.Module):
    """Makes a map of what is left of another one: G(M x A(f)), as in BKDSNN (Xu et al., ECCV 2024).

    A: `projection`; M: sets each channel of each image to 0 with a probability of `MASKED`, drawn by torch's random
    numbers on the CPU; G: two 3x3 convolutions with a ReLU between them. Reads (B, C, H, W), returns (B, C', H, W).
    """

    def __init__(self, channels: int, wanted: int):
        super().__init__()
        self.projection = projection(channels, wanted)
        convolutions = (torch.nn.Conv2d(wanted, wanted, 3, padding=1) for _ in range(2))
        self.first, self.second = convolutions

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Computes the map, with other channels masked each time."""
        aligned = self.projection(maps)
        kept = torch.rand(*aligned.shape[:2], 1, 1) >= MASKED
        return self.second(self.first(aligned * kept.to(aligned.device)).relu())


def projection(channels: int, wanted: int) -> torch.nn.Module:
    """Makes an alignment: a 1x1 convolution, which is a linear map of the channels of a dense layer."""
    return torch.nn.Conv2d(channels, wanted, 1)


def where_needed(channels: int, wanted: int) -> torch.nn.Module:
    """Makes a `projection`, or nothing where the channels are as many."""
    return unaligned(channels, wanted) if channels == wanted else projection(channels, wanted)


def unaligned(channels: int, wanted: int) -> torch.nn.Module:
    """Makes an alignment that changes nothing."""
    return torch.nn.Identity()


@dataclass(frozen=True)
class FeatureLoss:
    """compare: the loss of aligned maps. align: makes the module that aligns maps (B, C, H, W) of the student, given C
    of student and teacher."""

    compare: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    align: Callable[[int, int], torch.nn.Module]


FEATURE_LOSSES: dict[str, FeatureLoss] = {
    "mse": FeatureLoss(normalized_mse, projection),
    "attention": FeatureLoss(attention, unaligned),
    "blurred": FeatureLoss(scaled_mse, Blur),
    "membrane": FeatureLoss(membrane, where_needed),
    "cka": FeatureLoss(cka, unaligned),
}
