"""The term of the hidden layers: feature maps of the student, aligned with those of its teacher and compared.

KDSNN calls this feature-based distillation (Xu et al. 2023, arXiv 2304.05627).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from snnkd.base.errors import FormatError
from snnkd.recipe import tables
from snnkd.training.feature_losses import FEATURE_LOSSES
from snnkd.training.feed import Feed
from snnkd.training.network import Network, Output
from snnkd.training.teachers.spiking import Teacher


class FeatureTerm(torch.nn.Module):
    """weight * mean over the pairs of layers of a loss of `FEATURE_LOSSES`, on maps of the same size.

    Its parameters are those of the alignments: trained with the student, kept in its checkpoints, and never deployed.
    They are drawn by torch's random numbers, from `seed` on. Maps of different sizes are averaged over areas to the
    smaller of both in either direction.

    table: with pairs and maps filled in, as in a loaded recipe. Raises FormatError where the teacher's maps are none.
    """

    def __init__(self, table: tables.Features, network: Network, teacher: Teacher, feed: Feed, seed: int):
        super().__init__()
        assert table.pairs is not None and table.maps is not None, "a loaded recipe has them filled in"
        self.layers = [int(of_student.removeprefix("layer")) for of_student, _ in table.pairs]
        self._names = [of_teacher for _, of_teacher in table.pairs]
        self._weight, self._teacher = table.weight, teacher
        self._maps: tables.MapKind = table.maps
        self._loss = FEATURE_LOSSES[table.loss]
        torch.manual_seed(seed)
        self.alignments = torch.nn.ModuleList()
        for mine, theirs in zip(*self._one_image(network, feed), strict=True):
            self.alignments.append(self._loss.align(mine.shape[2], theirs.shape[2]))
        self.to(feed.device)

    @property
    def membranes(self) -> Sequence[int]:
        """The numbers of the layers whose membrane potentials `taken` reads; none where it reads spikes."""
        return self.layers if self._maps == "membrane" else ()

    def taken(self, output: Output) -> list[torch.Tensor]:
        """Takes the maps of the paired layers from a student's output, with their gradients: (T or 1, N, C, H, W)."""
        if self._maps == "membrane":
            return [_map(output.membranes[number]) for number in self.layers]
        spikes = [_map(output.layers[number]) / output.units[number] for number in self.layers]
        return [maps.mean(dim=0, keepdim=True) for maps in spikes] if self._maps == "rate" else spikes

    def taught(self, indices: np.ndarray, variant: int) -> list[torch.Tensor]:
        """Asks the teacher for its maps of the images `indices` (N,) in a variant: (T or 1, N, C, H, W) each.

        Raises FormatError where one is no map.
        """
        features = self._teacher.features(indices, variant, self._names, self._maps)
        return [_of_teacher(name, features[name]) for name in self._names]

    def forward(self, student: Sequence[torch.Tensor], teacher: Sequence[torch.Tensor]) -> torch.Tensor:
        """Computes the term, (), of the maps of a batch as `taken` and `taught` return them."""
        values = []
        for mine, theirs, align in zip(student, teacher, self.alignments, strict=True):
            size = min(mine.shape[3], theirs.shape[3]), min(mine.shape[4], theirs.shape[4])
            aligned = align(_pooled(mine, size).flatten(0, 1)).unflatten(0, mine.shape[:2])
            values.append(self._loss.compare(aligned, _pooled(theirs, size)))
        return self._weight * torch.stack(values).mean()

    @torch.no_grad()
    def _one_image(self, network: Network, feed: Feed) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """The maps of the first image, for their sizes."""
        first = np.arange(1)
        return self.taken(network(feed.batch(first)[0], membranes=self.membranes)), self.taught(first, 0)


def _map(values: torch.Tensor) -> torch.Tensor:
    """Values (T, N, C, H, W), or of a dense layer (T, N, C), as a map (T, N, C, H, W)."""
    return values if values.ndim == 5 else values[..., None, None]


def _of_teacher(name: str, values: torch.Tensor) -> torch.Tensor:
    """A teacher's features (N, C), (N, C, H, W) or of each step (T, N, C), (T, N, C, H, W) as a map."""
    if not 2 <= values.ndim <= 5:
        raise FormatError(
            f"the teacher's '{name}' gives features of shape {tuple(values.shape)}; expected (N, C), (N, C, H, W), or "
            "steps in front of these; name another layer in features.pairs"
        )
    return _map(values if values.ndim % 2 else values[None])


def _pooled(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Averages maps (T, N, C, H, W) over areas, so that they become `size`."""
    if maps.shape[3:] == size:
        return maps
    return F.adaptive_avg_pool2d(maps.flatten(0, 1), size).unflatten(0, maps.shape[:2])
