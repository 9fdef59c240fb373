"""Magnitude pruning in training: small weights become 0 and stay so, and effective synaptic operations fall with
them."""

from __future__ import annotations

import torch

from snnkd.recipe_tables import Prune


class Pruning:
    """Keeps the pruned ones of `weights` at 0 while others are trained.

    It has no state of its own to save: at the start of an epoch the masks follow from the weights, of which those that
    are 0 are the smallest.
    """

    def __init__(self, settings: Prune, weights: list[torch.Tensor]):
        self._settings, self._weights = settings, weights
        self._masks: list[torch.Tensor] = []

    def start(self, done: float) -> None:
        """Chooses what is pruned in an epoch that ends after the fraction `done` of the training."""
        self._masks = masks(self._weights, share(self._settings, done))
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
    """What stays, as boolean tensors, when the smallest `share` of all weights together goes."""
    sizes = torch.cat([weight.abs().flatten() for weight in weights])
    count = int(share * len(sizes))
    limit = sizes.kthvalue(count).values if count else -1.0
    return [weight.abs() > limit for weight in weights]
