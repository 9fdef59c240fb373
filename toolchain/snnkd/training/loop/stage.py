"""Trains one stage of a chain, epoch by epoch, resumable bit for bit: the loop that all kinds of networks share."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch

from snnkd.recipe.tables import Stage
from snnkd.training.feed import Feed
from snnkd.training.group import ALONE, Group
from snnkd.training.loop import checkpoint
from snnkd.training.loop.optimizer import Optimizer
from snnkd.training.tuning import kept_memory

# Called after each batch with (stage, epoch, epochs, batch, batches); after each epoch with its row of metrics.
OnBatch = Callable[[str, int, int, int, int], None]
OnEpoch = Callable[[dict[str, Any]], None]

Trained = TypeVar("Trained", bound=torch.nn.Module)


@dataclass
class StageTraining(ABC, Generic[Trained]):
    """One stage: its name, what the recipe says of it, and everything that it needs.

    A subclass says what kind of network is trained, and how; `run` is the same for all.

    network: changed in place. train, validation: the images. seed: of the order of the images. key: digest of all that
    determines the result. path: of the checkpoint. threads: cores that a batch may use. group: of the processes that
    train it together, of which one reads and writes checkpoints. progress: how far `run` is; done: the fraction of all
    batches that is over.
    beside: what is trained with the network and is no part of it, made with the optimizer; None for nothing.
    """

    chosen_by: ClassVar[str]  # the metric of an epoch's row by which the network that is kept is chosen

    name: str
    stage: Stage
    network: Trained
    train: Feed
    validation: Feed
    seed: int
    key: str
    path: Path
    threads: int = 1
    group: Group = ALONE
    on_batch: OnBatch = lambda *_: None
    on_epoch: OnEpoch = lambda *_: None
    progress: checkpoint.Progress = field(init=False)
    done: float = field(init=False, default=0.0)
    beside: torch.nn.Module | None = field(init=False, default=None)

    @kept_memory()
    def run(self, resume: bool = False, until: int | None = None) -> Trained:
        """Trains up to the recipe's epochs, or to the epoch `until`, and returns the network of the best one, in eval
        mode.

        The best epoch is the one with the highest `chosen_by`, the last of equals. With `resume` it goes on from the
        checkpoint, if there is one; the end is the same, bit for bit. Raises an SnnkdError, naming stage and epoch,
        where a training diverges, of a checkpoint that it goes on from as `checkpoint.load`, and as `Group` where other
        processes end or train something else.
        """
        optimizer = self._optimizer()
        self.progress = checkpoint.Progress(self.key)
        best = self.network.state_dict()
        self.group.check_same(f"stage {self.name}", lambda: self.key, "give all the same recipe, data and snnkd")
        if (found := self.group.led(lambda: self._found(resume))) is not None:
            self.progress, best = found.restore(self.network, optimizer.torch, self.beside)
            self._resume()
            for row in self.progress.history:
                self.on_epoch(row)
        else:
            self._begin()
        while self.progress.epoch < min(self.stage.epochs, until or self.stage.epochs):
            row = self._epoch(optimizer)
            accuracy = row[self.chosen_by]
            # The last of equals, as without validation data.
            if self._may_stay(row["epoch"] / self.stage.epochs) and accuracy >= self.progress.best_accuracy:
                self.progress.best_epoch, self.progress.best_accuracy = row["epoch"], accuracy
                best = {name: value.clone() for name, value in self.network.state_dict().items()}
            self.progress.epoch, self.progress.objective = row["epoch"], self._objective_state()
            self.progress.history.append(row)
            weights, advice = partial(checkpoint.digest, "", self.network.state_dict()), "use machines of one kind"
            self.group.check_same(f"{self.name}, epoch {row['epoch']}: the network", weights, advice)
            if self.group.leads:
                checkpoint.save(self.path, self.progress, self.network, best, optimizer.torch, self.beside)
            self.on_epoch(row)
        self.network.load_state_dict(best)
        return self.network.eval()

    def restore(self) -> Trained:
        """Reads the network that `run` returned from its checkpoint; raises as `checkpoint.load` does."""
        _, best = checkpoint.load(self.path, self.key, self.network)
        self.network.load_state_dict(best)
        return self.network.eval()

    def _found(self, resume: bool) -> checkpoint.Read | None:
        return checkpoint.read(self.path, self.key) if resume and self.path.exists() else None

    def _epoch(self, optimizer: Optimizer) -> dict[str, Any]:
        epoch, epochs, started = self.progress.epoch + 1, self.stage.epochs, time.perf_counter()
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.train))
        variant = (epoch - 1) % self.train.variants
        batches = np.array_split(order, self._batches(len(order)))
        # Summed where they are made, in float64: a GPU is waited for at the end of an epoch only.
        sums: dict[str, torch.Tensor] = {}
        correct = torch.zeros((), dtype=torch.int64, device=self.train.device)
        self.network.train()
        self._begin_epoch(epoch / epochs)
        for number, indices in enumerate(batches):
            self.done = (epoch - 1 + number / len(batches)) / epochs
            terms, right = self._gradients(indices, variant)
            optimizer.step(self.done)
            self._stepped()
            correct += right
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value.double() * len(indices)
            self.on_batch(self.name, epoch, epochs, number + 1, len(batches))
        totals = {name: float(value) for name, value in sums.items()}
        losses = {f"loss.{name}": value / len(order) for name, value in totals.items()}
        return {
            "stage": self.name,
            "epoch": epoch,
            "loss": sum(losses.values()),
            **losses,
            "train.float": int(correct) / len(order),
            **self._measured(epoch, totals),
            "seconds": round(time.perf_counter() - started, 3),
        }

    @abstractmethod
    def _optimizer(self) -> Optimizer:
        """Makes the optimizer of all that is trained."""

    @abstractmethod
    def _begin(self) -> None:
        """Prepares the network for its first epoch."""

    @abstractmethod
    def _batches(self, images: int) -> int:
        """Says into how many batches an epoch of so many images is cut."""

    @abstractmethod
    def _gradients(self, indices: np.ndarray, variant: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Adds the gradients of one batch, the images `indices` (B,) in a variant, to the tensors of the optimizer.

        Returns the loss by terms, and how many images were right, () each and without gradients.
        """

    @abstractmethod
    def _measured(self, epoch: int, sums: dict[str, float]) -> dict[str, Any]:
        """Measures further columns of an epoch's row, `chosen_by` among them. sums: of each term over all images."""

    def _resume(self) -> None:
        """Goes on from `progress`, beside network and optimizer."""

    def _begin_epoch(self, done: float) -> None:
        """Prepares an epoch, at whose end the fraction `done` of the training is over."""

    def _stepped(self) -> None:
        """Is called after each step of the optimizer."""

    def _may_stay(self, done: float) -> bool:
        """Tells whether an epoch that ends after the fraction `done` may be the one that is kept."""
        return True

    def _objective_state(self) -> dict[str, Any]:
        """Returns what training changes beside the network, as JSON can hold it."""
        return {}
