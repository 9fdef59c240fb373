"""Magnitude pruning in training: small weights become 0 and stay so, and effective synaptic operations fall with
them.

Which of all weights are small is measured within their layers, by the LAMP score (J. Lee, S. Park, S. Mo, S. Ahn and J.
Shin, "Layer-Adaptive Sparsity for the Magnitude-based Pruning", ICLR 2021, arXiv 2010.07611): a small layer, as the
output often is, keeps more of its weights than a large one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from snnkd.recipe_tables import Prune


class Pruning:
    """Keeps the pruned ones of `weights` at 0 while others are trained. unrounded: by what the weights are scored, one
    tensor of each in its shape, 0 where it is (`weights.center` where weights are centered).

    It has no state of its own to save: at the start of an epoch the masks follow from the weights, of which those that
    are 0 have the lowest scores.
    """

    def __init__(
        self,
        settings: Prune,
        weights: list[torch.Tensor],
        unrounded: Callable[[torch.Tensor], torch.Tensor] = lambda weight: weight,
    ):
        self._settings, self._weights, self._unrounded = settings, weights, unrounded
        self._masks: list[torch.Tensor] = []

    def start(self, done: float) -> None:
        """Chooses what is pruned in an epoch that ends after the fraction `done` of the training."""
        with torch.no_grad():
            scored = [self._unrounded(weight) for weight in self._weights]
        self._masks = masks(scored, share(self._settings, done))
        self.apply()

    @torch.no_grad()
    def apply(self) -> None:
        """Sets what is pruned to 0, after each step of the optimizer."""
        for weight, mask in zip(self._weights, self._masks, strict=True):
            weight.mul_(mask)

    def complete(self, done: float) -> bool:
        """Whether the whole share is pruned, so that an epoch may be the one that is kept."""
        return done >= self._settings.until


def share(settings: Prune, done: float) -> float:
    """The share of pruned weights after the fraction `done` of a training: a cubic rise to `settings.share` at
    `settings.until` (Zhu & Gupta 2017, "To prune, or not to prune", eq. 1)."""
    left = 1 - min(done / settings.until, 1.0)
    return settings.share * (1 - left**3)


@torch.no_grad()
def masks(weights: list[torch.Tensor], share: float) -> list[torch.Tensor]:
    """Marks which weights stay when the lowest-scored ones of the whole network are pruned.

    weights: one tensor of each layer, of any shapes, at least one. share: the fraction of all their elements to prune,
    0 to 1; a single layer may lose more or less. Returns one boolean tensor of the same shape for each: True stays,
    False becomes 0. int(share * elements) are False, and more only where the next scores equal the last of these. The
    scores are LAMP's, see `scores`. Raises RuntimeError for a share above 1.
    """
    by_layer = [scores(weight) for weight in weights]
    network = torch.cat([layer.flatten() for layer in by_layer])
    pruned = int(share * len(network))
    highest_pruned = network.kthvalue(pruned).values if pruned else -1.0  # no score is negative
    return [layer > highest_pruned for layer in by_layer]


def scores(weight: torch.Tensor) -> torch.Tensor:
    """LAMP scores of a layer's weights, float64 of the same shape: the square of each over the sum of its own and of
    those that are as large or larger. 0 for weights of 0, and 1 for the largest one, so that no layer goes whole."""
    squares, order = weight.double().square().flatten().sort(stable=True)
    not_smaller = squares.flip(0).cumsum(0).flip(0)
    found = torch.empty_like(squares)
    found[order] = torch.where(squares > 0, squares / not_smaller, 0.0)
    return found.view(weight.shape)
