"""Trains one stage of a chain, resumable bit for bit, and chooses its epoch by the integer network's accuracy."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from snnkd.errors import QuantizationError
from snnkd.readout import Readout
from snnkd.recipe_tables import Stage
from snnkd.training import checkpoint
from snnkd.training.blocks import Network
from snnkd.training.feed import Feed
from snnkd.training.measuring import Measured, measure
from snnkd.training.objective import Objective
from snnkd.training.optimizer import Optimizer
from snnkd.training.pruning import Pruning
from snnkd.training.quantization import to_intnet_so_far
from snnkd.training.step import backward
from snnkd.training.teachers import Teacher

CALIBRATION = 256  # images of the first batch that thresholds are calibrated on

# Called after each batch with (stage, epoch, epochs, batch, batches); after each epoch with its row of metrics.
OnBatch = Callable[[str, int, int, int, int], None]
OnEpoch = Callable[[dict[str, Any]], None]


@dataclass
class Training:
    """One stage: what it is called, what the recipe says of it, and everything that it needs.

    key: digest of all that determines the result, held in its checkpoint. seed: of the initial weights and the order
    of the images. threads: cores that a batch may use; torch itself is set to one thread.
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
    threads: int = 1
    on_batch: OnBatch = lambda *_: None
    on_epoch: OnEpoch = lambda *_: None
    progress: checkpoint.Progress = field(init=False)

    def run(self, resume: bool = False) -> Network:
        """Trains up to the recipe's epochs and returns the network of the epoch whose integer network was best on
        validation data.

        With `resume` it goes on from the checkpoint, if there is one; the end is the same, bit for bit. Raises
        QuantizationError, naming stage and epoch, where the weights are no longer finite.
        """
        objective = Objective(self.stage, self.train.device)
        weights = [block.synapse.weight for block in self.network.layers]
        pruning = Pruning(self.stage.prune, weights) if self.stage.prune else None
        optimizer = Optimizer(self.stage.optimizer, weights, objective.parameters())
        self.progress = checkpoint.Progress(self.key)
        best = self.network.state_dict()
        if resume and self.path.exists():
            self.progress, best = checkpoint.load(self.path, self.key, self.network, optimizer.torch)
            objective.load_state_dict(self.progress.objective)
            for row in self.progress.history:
                self.on_epoch(row)
        else:
            self._calibrate()
        while self.progress.epoch < self.stage.epochs:
            row = self._epoch(objective, optimizer, pruning)
            accuracy = row["validation.integer"]
            may_stay = pruning is None or pruning.complete(row["epoch"] / self.stage.epochs)
            if may_stay and accuracy >= self.progress.best_accuracy:  # the last of equals, as without validation data
                self.progress.best_epoch, self.progress.best_accuracy = row["epoch"], accuracy
                best = {name: value.clone() for name, value in self.network.state_dict().items()}
            self.progress.epoch, self.progress.objective = row["epoch"], objective.state_dict()
            self.progress.history.append(row)
            checkpoint.save(self.path, self.progress, self.network, best, optimizer.torch)
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

    def _epoch(self, objective: Objective, optimizer: Optimizer, pruning: Pruning | None) -> dict[str, Any]:
        epoch, started = self.progress.epoch + 1, time.perf_counter()
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.train))
        variant = (epoch - 1) % self.train.variants
        batches = np.array_split(order, math.ceil(len(order) / self.stage.batch))
        sums: dict[str, float] = {}
        correct = 0
        self.network.train()
        if pruning is not None:
            pruning.start(epoch / self.stage.epochs)
        for number, indices in enumerate(batches):
            terms, right = self._step(objective, indices, variant)
            optimizer.step((epoch - 1 + number / len(batches)) / self.stage.epochs)
            if pruning is not None:
                pruning.apply()
            correct += right
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value * len(indices)
            self.on_batch(self.name, epoch, self.stage.epochs, number + 1, len(batches))
        losses = {f"loss.{name}": value / len(order) for name, value in sums.items()}
        measured = self._evaluate(epoch)
        return {
            "stage": self.name,
            "epoch": epoch,
            "loss": sum(losses.values()),
            **losses,
            **({} if objective.scale is None else {"scale": objective.scale}),
            "train.float": correct / len(order),
            "validation.integer": measured.accuracy,
            **measured.activity,
            "seconds": round(time.perf_counter() - started, 3),
        }

    def _evaluate(self, epoch: int) -> Measured:
        encoding = self.validation.encoding
        metadata = {"steps": encoding.steps, "message_bits": encoding.message_bits, "readout": self.readout}
        try:
            net = to_intnet_so_far(self.network.blocks, self.network.input_shape, **metadata)
        except QuantizationError as error:
            raise QuantizationError(f"{self.name}, epoch {epoch}: {error}") from error
        return measure(net, self.validation)

    def _step(self, objective: Objective, indices: np.ndarray, variant: int) -> tuple[dict[str, float], int]:
        events, labels = self.train.batch(indices, variant)
        teacher = self.teacher.sat(indices, variant) if self.teacher is not None else None
        rate = objective.rate_term if objective.rate else None
        loss = partial(objective.terms, labels=labels, teacher=teacher)
        sat, terms = backward(self.network, events, loss, self.threads, rate)
        right = int((sat.sum(dim=0).argmax(dim=0) == labels).sum())
        return {name: float(value) for name, value in terms.items()}, right
