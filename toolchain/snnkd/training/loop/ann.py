"""Trains an ANN of a chain, and chooses its epoch by its accuracy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from snnkd.base.errors import SnnkdError
from snnkd.training.group import ALONE
from snnkd.training.loop.optimizer import Optimizer
from snnkd.training.loop.stage import StageTraining
from snnkd.training.teachers.ann import Ann, images
from snnkd.training.tuning import torch_threads


@dataclass(kw_only=True)
class AnnTraining(StageTraining[Ann]):
    """A stage that trains an ANN from the labels, by cross-entropy.

    `run` raises SnnkdError where the loss is no longer finite.
    """

    chosen_by = "validation.float"

    def run(self, resume: bool = False, until: int | None = None) -> Ann:
        """Trains as every stage does, on `threads` threads of torch; of a group, in the leading process alone, since
        batch normalization is of a whole batch."""
        group, self.group = self.group, ALONE
        train = super().run
        with torch_threads(self.threads):  # a chain gives it one, for spiking networks
            weights = group.led(
                lambda: {name: value.cpu() for name, value in train(resume, until).state_dict().items()}
            )
        self.network.load_state_dict(weights)
        return self.network.eval()

    def _optimizer(self) -> Optimizer:
        return Optimizer(self.stage.optimizer, list(self.network.parameters()))

    def _begin(self) -> None:
        self.network.standardize(self.train)

    def _batches(self, images: int) -> int:
        """Has at least two images in each, or batch normalization knows no variance."""
        return max(1, min(math.ceil(images / self.stage.batch), images // 2))

    def _gradients(self, indices: np.ndarray, variant: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        labels = self.train.labels[self.train.on_device(indices)]
        logits = self.network(images(self.train, indices, variant))
        loss = self.stage.label.weight * torch.nn.functional.cross_entropy(logits, labels)
        loss.backward()
        return {"label": loss.detach()}, (logits.argmax(dim=1) == labels).sum()

    def _measured(self, epoch: int, sums: dict[str, float]) -> dict[str, Any]:
        if not math.isfinite(sums["label"]):
            raise SnnkdError(f"{self.name}, epoch {epoch}: the loss is not finite; use a lower learning rate")
        return {self.chosen_by: self.network.accuracy(self.validation)}
