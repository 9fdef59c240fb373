"""What a stage minimizes: its label loss plus the weighted distillation losses of its recipe."""

from __future__ import annotations

import torch

from snnkd.recipe_tables import Label, Stage
from snnkd.training.losses import SAT_LOSSES, SatSettings, cross_entropy, spike_rate


class Objective:
    """label.weight * label loss + sum of weight * distillation loss, each term divided by its `norms` entry.

    With `distil.normalize` the norms are the values of the terms on the first batch, so that equal weights mean equal
    shares at the start (our reading of the paper's unnamed weights); else they are 1.
    """

    def __init__(self, stage: Stage):
        self.label, self.distil = stage.label, stage.distil
        self.norms: dict[str, float] = {}
        if self.distil is not None:
            assert self.distil.window is not None, "a loaded recipe has its windows filled in"
            self._settings = SatSettings(
                self.distil.reading, self.distil.window, self.distil.temperature, self.distil.kl_axis
            )

    def terms(self, sat: torch.Tensor, labels: torch.Tensor, teacher: torch.Tensor | None) -> dict[str, torch.Tensor]:
        """The weighted terms by name; their sum is the loss. sat, teacher: (T, classes, B); labels: (B,)."""
        terms = {}
        if self.label.weight:
            terms["label"] = self.label.weight * _label_loss(self.label, sat, labels)
        if self.distil is None or teacher is None:
            return terms
        for name, weight in self.distil.losses.items():
            if weight:
                value = SAT_LOSSES[name](sat, teacher, self._settings)
                norm = self.norms.setdefault(name, max(value.item(), 1e-6) if self.distil.normalize else 1.0)
                terms[name] = weight / norm * value
        return terms


def _label_loss(label: Label, sat: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    if label.loss == "cross-entropy":
        return cross_entropy(sat, labels, label.scale)
    return spike_rate(sat, labels, label.true_rate, label.false_rate)
