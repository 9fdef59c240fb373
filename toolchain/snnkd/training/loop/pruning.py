"""Magnitude pruning in training: small weights become 0 and stay so, which saves synaptic operations.

How small a weight is, its LAMP score says, which compares it with the weights of its own layer only (J. Lee, S. Park,
S. Mo, S. Ahn and J. Shin, "Layer-Adaptive Sparsity for the Magnitude-based Pruning", ICLR 2021, arXiv 2010.07611). The
lowest scores of the whole network go. So a small layer, as the output often is, keeps more of its weights than a large
one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from snnkd.recipe.tables import Prune


class Pruning:
    """Keeps the pruned weights of a training at 0.

    weights: the tensors that are trained, one of each layer; changed in place. unrounded: makes of a layer's weights
    those whose size counts, in the same shape and 0 where they are 0 (`weights.center` where weights are centered).

    It has no state to save: the masks of an epoch follow from the weights, of which those that are 0 score lowest.
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
        """Prunes for an epoch, at whose end the fraction `done` of the training, in (0, 1], is over."""
        with torch.no_grad():
            scored = [self._unrounded(weight) for weight in self._weights]
        self._masks = masks(scored, share(self._settings, done))
        self.apply()

    @torch.no_grad()
    def apply(self) -> None:
        """Sets the pruned weights to 0 again; to be called after each step of the optimizer."""
        for weight, mask in zip(self._weights, self._masks, strict=True):
            weight.mul_(mask)

    def complete(self, done: float) -> bool:
        """Tells whether the whole share is pruned after the fraction `done`: only such an epoch may be kept."""
        return done >= self._settings.until


def share(settings: Prune, done: float) -> float:
    """Computes the share of weights that are pruned after the fraction `done` of a training, both in [0, 1].

    It rises as s (1 - (1 - done / until)^3) to s = `settings.share`, and stays there from `settings.until` on: eq. 1 of
    M. Zhu and S. Gupta, "To prune, or not to prune" (2017, arXiv 1710.01878), from a sparsity of 0.
    """
    left = 1 - min(done / settings.until, 1.0)
    return settings.share * (1 - left**3)


@torch.no_grad()
def masks(weights: list[torch.Tensor], share: float) -> list[torch.Tensor]:
    """Marks the weights that stay when the lowest-scored ones of the whole network are pruned.

    weights: one tensor of each layer, of any shape; at least one. share: the fraction of all weights to prune, in
    [0, 1]. Returns a boolean tensor of each layer in its shape: True stays, False becomes 0. int(share * weights) are
    False, and more where others score the same as the last of these. Raises RuntimeError for a share above 1.
    """
    by_layer = [scores(weight) for weight in weights]
    network = torch.cat([layer.flatten() for layer in by_layer])
    pruned = int(share * len(network))
    highest_pruned = network.kthvalue(pruned).values if pruned else -1.0  # no score is negative
    return [layer > highest_pruned for layer in by_layer]


def scores(weight: torch.Tensor) -> torch.Tensor:
    """Computes the LAMP scores of a layer's weights (any shape): float64 of the same shape, in [0, 1].

    The score of w is w^2 / sum of v^2 over all weights v of the layer that are not smaller than it: 0 for w = 0, and 1
    for the largest, so that no layer goes whole. Of equal weights, the later one counts as the larger.
    """
    squares, order = weight.double().square().flatten().sort(stable=True)
    not_smaller = squares.flip(0).cumsum(0).flip(0)
    in_place = torch.empty_like(squares)
    in_place[order] = torch.where(squares > 0, squares / not_smaller, 0.0)
    return in_place.view(weight.shape)
