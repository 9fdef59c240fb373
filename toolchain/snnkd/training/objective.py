"""What a stage minimizes: the sum of its label loss and its distillation losses, weighted as its recipe says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from snnkd.recipe.tables import Label, Stage
from snnkd.training.losses import (
    SAT_LOSSES,
    SELF_LOSSES,
    SatSettings,
    Scale,
    cross_entropy,
    rate_excess,
    spike_rate,
    temporal_cross_entropy,
)


class Objective:
    """The loss of a stage, as a sum of terms.

        label.weight * label loss + sum over distil.losses of weight / norm * loss + rate.weight * excess of the rates

    A norm is 1. With `distil.normalize` it is the value of its loss on the first batch, so that equal weights are equal
    shares at the start: our reading of weights that the paper of `losses` does not give.

    Where the recipe says that a logit scale is "learned", all losses of the stage share one scale: its logarithm is
    trained, starts at 0 and is kept on `device`.

    label, distil, rate: the tables of the stage; the last two may be None. norms: of the distillation losses, by name.
    """

    def __init__(self, stage: Stage, device: torch.device | None = None):
        self.label, self.distil = stage.label, stage.distil
        self.rate = stage.rate if stage.rate and stage.rate.weight else None
        self.norms: dict[str, float] = {}
        self._log_scale = torch.zeros((), device=device, requires_grad=True) if stage.learns_scale else None
        if self.distil is not None:
            assert self.distil.window is not None, "a loaded recipe has its windows filled in"
            self._settings = SatSettings(
                self.distil.reading,
                self.distil.window,
                self.distil.temperature,
                self.distil.kl_axis,
                self.distil.teacher_temperature,
            )

    @property
    def scale(self) -> float | None:
        """The learned logit scale, logit per unit of activation; None where there is none."""
        return None if self._log_scale is None else self._log_scale.detach().exp().item()

    def parameters(self) -> list[torch.Tensor]:
        """Lists what is trained here: the logarithm of the learned logit scale, (), or nothing."""
        return [] if self._log_scale is None else [self._log_scale]

    def state_dict(self) -> dict[str, Any]:
        """Returns all that training changes here, as JSON can hold it without loss."""
        return {"norms": dict(self.norms), "log_scale": None if self._log_scale is None else self._log_scale.item()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Sets all that training changes here to a `state_dict`."""
        self.norms = dict(state["norms"])
        if self._log_scale is not None:
            self._log_scale.data.fill_(state["log_scale"])

    def terms(self, sat: torch.Tensor, labels: torch.Tensor, teacher: torch.Tensor | None) -> dict[str, torch.Tensor]:
        """Computes the weighted terms of a batch by name, () each; their sum is the loss, but for `rate_term`.

        sat, teacher: output of the network and of its teacher, (T, classes, B); teacher is None where no loss needs
        one. labels: (B,) int64.
        """
        terms = {"label": self.label_term(sat, labels)} if self.label.weight else {}
        return {**terms, **self.distil_terms(sat, labels, teacher)}

    def label_term(self, sat: torch.Tensor, labels: torch.Tensor, shares: torch.Tensor | None = None) -> torch.Tensor:
        """Computes the weighted loss against the labels, (). shares: of each step, (T,), see
        `losses.temporal_cross_entropy`."""
        scale = self._scale(self.label.scale)
        if shares is not None:
            return self.label.weight * temporal_cross_entropy(sat, labels, scale, shares)
        return self.label.weight * _label_loss(self.label, sat, labels, scale)

    def _scale(self, said: float | str) -> Scale:
        if isinstance(said, float):
            return said
        assert self._log_scale is not None, "a stage that learns its scale has one"
        return self._log_scale.exp()

    def distil_terms(
        self, sat: torch.Tensor, labels: torch.Tensor, teacher: torch.Tensor | None
    ) -> dict[str, torch.Tensor]:
        """Computes those of `terms` that a teacher, or the network itself, teaches."""
        terms: dict[str, torch.Tensor] = {}
        if self.distil is None:
            return terms
        settings = replace(self._settings, scale=self._scale(self.distil.scale))
        for name, weight in self.distil.losses.items():
            if not weight:
                continue
            if name in SELF_LOSSES:
                value = SELF_LOSSES[name](sat, labels, settings)
            else:
                assert teacher is not None, f"{name} needs a teacher"
                value = SAT_LOSSES[name](sat, teacher, settings)
            if name not in self.norms:  # on the first batch: reading a value waits for a GPU
                self.norms[name] = max(value.item(), 1e-6) if self.distil.normalize else 1.0
            terms[name] = weight / self.norms[name] * value
        return terms

    def no_terms(self, sat: torch.Tensor) -> dict[str, torch.Tensor]:
        """Computes no term, for epochs in which hidden layers alone are trained; what is trained here stays."""
        for parameter in self.parameters():  # with a gradient, since optimizers have no state of what never had one
            parameter.grad = torch.zeros_like(parameter)
        return {}

    def rate_term(self, rates: torch.Tensor) -> torch.Tensor:
        """Computes the weighted term, (), of the hidden layers' rates, (layers,) in spikes per neuron and step.

        For stages with a `rate` only.
        """
        assert self.rate is not None
        return self.rate.weight * rate_excess(rates, self.rate.max_rate)


def _label_loss(label: Label, sat: torch.Tensor, labels: torch.Tensor, scale: Scale) -> torch.Tensor:
    if label.loss == "spike-rate":
        return spike_rate(sat, labels, label.true_rate, label.false_rate)
    loss = cross_entropy if label.loss == "cross-entropy" else temporal_cross_entropy
    return loss(sat, labels, scale)
