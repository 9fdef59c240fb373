"""Trains one stage of a chain, resumable bit for bit, and measures what it made."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from snnkd.network import Readout
from snnkd.recipe_tables import Optimizer, Stage
from snnkd.training import checkpoint
from snnkd.training.blocks import Network
from snnkd.training.cuba import S_SCALE
from snnkd.training.feed import Feed
from snnkd.training.objective import Objective
from snnkd.training.teachers import Teacher

CALIBRATION = 256  # images of the first batch that thresholds are calibrated on

# Called after each batch with (stage, epoch, epochs, batch, batches); after each epoch with its row of metrics.
OnBatch = Callable[[str, int, int, int, int], None]
OnEpoch = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Measured:
    """A network on a split. accuracy: a fraction; by layer: spikes per neuron and step, the fractions of neurons that
    never and that always fire, and the number of wraps and clips of the states."""

    accuracy: float
    rate: list[float]
    silent: list[float]
    saturated: list[float]
    overflows: list[int]


@dataclass
class Training:
    """One stage: what it is called, what the recipe says of it, and everything that it needs.

    key: digest of all that determines the result, held in its checkpoint. seed: of the initial weights and the order
    of the images.
    """

    name: str
    stage: Stage
    network: Network
    train: Feed
    validation: Feed
    readout: Readout
    seed: int
    key: str
    path: Path
    teacher: Teacher | None = None
    on_batch: OnBatch = lambda *_: None
    on_epoch: OnEpoch = lambda *_: None
    progress: checkpoint.Progress = field(init=False)

    def run(self, resume: bool = False) -> Network:
        """Trains up to the recipe's epochs and returns the network of the epoch that was best on validation data.

        With `resume` it goes on from the checkpoint, if there is one; the end is the same, bit for bit.
        """
        objective = Objective(self.stage)
        optimizer = _optimizer(self.network, self.stage.optimizer)
        self.progress = checkpoint.Progress(self.key)
        best = self.network.state_dict()
        if resume and self.path.exists():
            self.progress, best = checkpoint.load(self.path, self.key, self.network, optimizer)
            objective.norms = self.progress.norms
            for row in self.progress.history:
                self.on_epoch(row)
        else:
            self._calibrate()
        while self.progress.epoch < self.stage.epochs:
            row = self._epoch(objective, optimizer)
            if row["validation"] >= self.progress.best_accuracy:  # the last of equals, as without validation data
                self.progress.best_epoch, self.progress.best_accuracy = row["epoch"], row["validation"]
                best = {name: value.clone() for name, value in self.network.state_dict().items()}
            self.progress.epoch, self.progress.norms = row["epoch"], objective.norms
            self.progress.history.append(row)
            checkpoint.save(self.path, self.progress, self.network, best, optimizer)
            self.on_epoch(row)
        self.network.load_state_dict(best)
        return self.network.eval()

    def restore(self) -> Network:
        """The network that `run` returned, from its checkpoint."""
        _, best = checkpoint.load(self.path, self.key, self.network)
        self.network.load_state_dict(best)
        return self.network.eval()

    def _calibrate(self) -> None:
        order = np.random.default_rng([self.seed, 0]).permutation(len(self.train))
        self.network.calibrate(self.train.batch(order[:CALIBRATION])[0])

    def _epoch(self, objective: Objective, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        epoch, started = self.progress.epoch + 1, time.perf_counter()
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.train))
        variant = (epoch - 1) % self.train.variants
        batches = np.array_split(order, math.ceil(len(order) / self.stage.batch))
        sums: dict[str, float] = {}
        correct = 0
        self.network.train()
        for number, indices in enumerate(batches):
            done = (epoch - 1 + number / len(batches)) / self.stage.epochs
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(self.stage.optimizer, done)
            terms, right = self._step(objective, optimizer, indices, variant)
            correct += right
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value * len(indices)
            self.on_batch(self.name, epoch, self.stage.epochs, number + 1, len(batches))
        losses = {f"loss.{name}": value / len(order) for name, value in sums.items()}
        return {
            "stage": self.name,
            "epoch": epoch,
            "loss": sum(losses.values()),
            **losses,
            "train": correct / len(order),
            **_row(measure(self.network, self.validation, self.readout)),
            "seconds": round(time.perf_counter() - started, 3),
        }

    def _step(
        self, objective: Objective, optimizer: torch.optim.Optimizer, indices: np.ndarray, variant: int
    ) -> tuple[dict[str, float], int]:
        events, labels = self.train.batch(indices, variant)
        teacher = self.teacher.sat(events, indices, variant) if self.teacher is not None else None
        output = self.network(events)
        terms = objective.terms(output.sat, labels, teacher)
        loss = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        right = int((output.sat.sum(dim=0).argmax(dim=0) == labels).sum())
        return {name: float(value.detach()) for name, value in terms.items()}, right


@torch.no_grad()
def measure(network: Network, feed: Feed, readout: Readout) -> Measured:
    """Accuracy and activity of the training network on a whole split."""
    network.eval()
    correct, overflows = 0, np.zeros(len(network.layers), dtype=np.int64)
    fired: list[torch.Tensor] = []
    for indices in feed.blocks():
        events, labels = feed.batch(indices)
        output = network(events)
        counts = output.sat.sum(dim=0).T.long().cpu().numpy()
        v = (output.v_last * S_SCALE).long().cpu().numpy()
        correct += int((readout.classify(counts, v) == labels.cpu().numpy()).sum())
        sums = [spikes.sum(dim=(0, 1)) for spikes in output.layers]
        fired = sums if not fired else [a + b for a, b in zip(fired, sums, strict=True)]
        overflows += [block.neuron.overflows + block.neuron.saturations for block in network.layers]
    opportunities = max(len(feed) * feed.encoding.steps, 1)
    return Measured(
        correct / max(len(feed), 1),
        [float(spikes.mean()) / opportunities for spikes in fired],
        [float((spikes == 0).float().mean()) for spikes in fired],
        [float((spikes == opportunities).float().mean()) for spikes in fired],
        overflows.tolist(),
    )


def learning_rate(optimizer: Optimizer, done: float) -> float:
    """Learning rate after the fraction `done` in [0, 1) of all batches.

    'cosine' falls from lr to 0; 'one-cycle' rises linearly to lr over the first 30 %, then falls as a cosine.
    """
    if optimizer.schedule == "constant":
        return optimizer.lr
    if optimizer.schedule == "one-cycle":
        if done < 0.3:
            return optimizer.lr * (0.04 + 0.96 * done / 0.3)
        done = (done - 0.3) / 0.7
    return optimizer.lr * 0.5 * (1 + math.cos(math.pi * done))


def _optimizer(network: Network, settings: Optimizer) -> torch.optim.Optimizer:
    weights = [block.synapse.weight for block in network.layers]
    if settings.kind == "sgd":
        return torch.optim.SGD(weights, lr=settings.lr, momentum=0.9, weight_decay=settings.weight_decay)
    return torch.optim.Adam(weights, lr=settings.lr, weight_decay=settings.weight_decay)


def _row(measured: Measured) -> dict[str, Any]:
    row: dict[str, Any] = {"validation": measured.accuracy}
    for name in ("rate", "silent", "saturated", "overflows"):
        row |= {f"{name}.layer{k}": value for k, value in enumerate(getattr(measured, name))}
    return row
