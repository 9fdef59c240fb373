"""Artificial neural networks (ANNs) as teachers: a network description with ReLUs and batch normalization.

An ANN teaches a spiking network by its logits (KDSNN: Xu, Li, Shen, Liu, Tang and Pan, "Constructing Deep Spiking
Neural Networks from Artificial Neural Networks with Knowledge Distillation", CVPR 2023, arXiv 2304.05627). It reads
images, not events, and is never deployed.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from snnkd.architecture import Architecture, Conv, Shape
from snnkd.architecture import Layer as Plan
from snnkd.errors import SnnkdError
from snnkd.recipe_tables import Stage
from snnkd.training import checkpoint
from snnkd.training.feed import Feed
from snnkd.training.optimizer import Optimizer
from snnkd.training.step import torch_threads
from snnkd.training.teachers import Teacher
from snnkd.training.trainer import OnBatch, OnEpoch

_BLOCK = 512  # images at a time where nothing is trained


class Ann(torch.nn.Module):
    """The layers of a network description, each with batch normalization and ReLU; the last one has a bias instead.

    mean, std: (1, C, 1, 1), what is taken from and divides each channel of the images, which are in [0, 1].
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, plan: Architecture):
        super().__init__()
        modules: list[torch.nn.Module] = []
        for number, (layer, shape) in enumerate(plan.inputs(), start=1):
            modules += _modules(layer, shape, last=number == len(plan.layers))
        self.layers = torch.nn.Sequential(*modules, torch.nn.Flatten())
        self.neurons, self.classes = plan.neurons, plan.outputs
        for name, value in (("mean", 0.0), ("std", 1.0)):
            self.register_buffer(name, torch.full((1, plan.input[0], 1, 1), value))
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of images (N, C, H, W) in [0, 1]."""
        return self.layers((images - self.mean) / self.std)

    @property
    def size(self) -> int:
        """Parameters: weights, biases, and the two numbers that batch normalization learns of each channel."""
        return sum(parameter.numel() for parameter in self.parameters())

    def standardize(self, feed: Feed) -> None:
        """Sets mean and std to those of the feed's images, without augmentation."""
        channels = feed.split.images.shape[1]
        counts = np.zeros((channels, 256), dtype=np.int64)
        for indices in feed.blocks(_BLOCK):
            for channel, values in enumerate(feed.split.images[indices].swapaxes(0, 1)):
                counts[channel] += np.bincount(values.reshape(-1), minlength=256)
        shares, levels = counts / counts.sum(axis=1, keepdims=True), np.arange(256) / 255
        mean = shares @ levels
        std = np.sqrt((shares * (levels - mean[:, None]) ** 2).sum(axis=1))
        self.mean.view(-1).copy_(torch.from_numpy(mean))
        self.std.view(-1).copy_(torch.from_numpy(np.where(std > 0, std, 1)))

    @torch.no_grad()
    def logits(self, feed: Feed, number: int = 0) -> torch.Tensor:
        """Logits (images, classes) float32 of variant `number` of all images of a feed, in eval mode."""
        self.eval()
        made = torch.empty(len(feed), self.classes, device=feed.device)
        for indices in feed.blocks(_BLOCK):
            made[indices[0] : indices[-1] + 1] = self(images(feed, indices, number))
        return made

    def accuracy(self, feed: Feed) -> float:
        """Fraction of a feed's images that get their label; 0 of an empty one."""
        right = self.logits(feed).argmax(dim=1).cpu().numpy() == feed.split.labels
        return float(right.mean()) if len(feed) else 0.0


def _modules(layer: Plan, shape: Shape, last: bool) -> list[torch.nn.Module]:
    nn = torch.nn
    modules: list[torch.nn.Module] = []
    if isinstance(layer, Conv):
        options = {"padding": layer.padding, "dilation": layer.dilation, "groups": layer.groups, "bias": last}
        modules += [nn.Conv2d(shape[0], layer.channels, layer.kernel, layer.stride, **options)]
        norm = nn.BatchNorm2d(layer.channels)
    else:
        modules += [nn.Flatten(), nn.Linear(prod(shape), layer.neurons, bias=last)]
        norm = nn.BatchNorm1d(layer.neurons)
    return modules if last else [*modules, norm, nn.ReLU()]


def images(feed: Feed, indices: np.ndarray, number: int = 0) -> torch.Tensor:
    """Images (B, C, H, W) float32 in [0, 1], channels last in memory: variant `number` of those at `indices`, which
    are the very images that a spiking network reads as events."""
    made = torch.from_numpy(feed.images(indices, number)).to(feed.device)
    return made.to(torch.float32, memory_format=torch.channels_last).div_(255)


@dataclass
class AnnTraining:
    """One stage that trains an ANN from the labels, by cross-entropy; the fields are those of `trainer.Training`."""

    name: str
    stage: Stage
    network: Ann
    train: Feed
    validation: Feed
    seed: int
    key: str
    path: Path
    threads: int = 1
    on_batch: OnBatch = lambda *_: None
    on_epoch: OnEpoch = lambda *_: None
    progress: checkpoint.Progress = field(init=False)

    def run(self, resume: bool = False) -> Ann:
        """Trains up to the recipe's epochs and returns the network of the epoch that was best on validation data, the
        last one of equals.

        With `resume` it goes on from the checkpoint, if there is one; the end is the same, bit for bit. Raises
        SnnkdError, naming stage and epoch, where the loss is no longer finite.
        """
        with torch_threads(self.threads):  # a chain gives it one, for spiking networks
            return self._run(resume)

    def restore(self) -> Ann:
        """The network that `run` returned, from its checkpoint."""
        _, best = checkpoint.load(self.path, self.key, self.network)
        self.network.load_state_dict(best)
        return self.network.eval()

    def _run(self, resume: bool) -> Ann:
        optimizer = Optimizer(self.stage.optimizer, list(self.network.parameters()))
        self.progress = checkpoint.Progress(self.key)
        best = self.network.state_dict()
        if resume and self.path.exists():
            self.progress, best = checkpoint.load(self.path, self.key, self.network, optimizer.torch)
            for row in self.progress.history:
                self.on_epoch(row)
        else:
            self.network.standardize(self.train)
        while self.progress.epoch < self.stage.epochs:
            row = self._epoch(optimizer)
            if row["validation.float"] >= self.progress.best_accuracy:
                self.progress.best_epoch, self.progress.best_accuracy = row["epoch"], row["validation.float"]
                best = {name: value.clone() for name, value in self.network.state_dict().items()}
            self.progress.epoch = row["epoch"]
            self.progress.history.append(row)
            checkpoint.save(self.path, self.progress, self.network, best, optimizer.torch)
            self.on_epoch(row)
        self.network.load_state_dict(best)
        return self.network.eval()

    def _epoch(self, optimizer: Optimizer) -> dict[str, Any]:
        epoch, started = self.progress.epoch + 1, time.perf_counter()
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.train))
        variant_number = (epoch - 1) % self.train.variants
        # At least two images each, or batch normalization knows no variance.
        count = max(1, min(math.ceil(len(order) / self.stage.batch), len(order) // 2))
        total, correct = 0.0, 0
        self.network.train()
        for number, indices in enumerate(np.array_split(order, count)):
            loss, right = self._step(indices, variant_number)
            optimizer.step((epoch - 1 + number / count) / self.stage.epochs)
            total, correct = total + loss * len(indices), correct + right
            self.on_batch(self.name, epoch, self.stage.epochs, number + 1, count)
        if not math.isfinite(total):
            raise SnnkdError(f"{self.name}, epoch {epoch}: the loss is not finite; use a lower learning rate")
        loss = total / len(order)
        return {
            "stage": self.name,
            "epoch": epoch,
            "loss": loss,
            "loss.label": loss,
            "train.float": correct / len(order),
            "validation.float": self.network.accuracy(self.validation),
            "seconds": round(time.perf_counter() - started, 3),
        }

    def _step(self, indices: np.ndarray, number: int) -> tuple[float, int]:
        labels = torch.from_numpy(self.train.split.labels[indices]).to(self.train.device)
        logits = self.network(images(self.train, indices, number))
        loss = self.stage.label.weight * torch.nn.functional.cross_entropy(logits, labels)
        loss.backward()
        return float(loss.detach()), int((logits.argmax(dim=1) == labels).sum())


class AnnTeacher(Teacher):
    """A trained ANN: its activation tensor is logits / T at each of the T steps, so that all steps sum to the logits.

    Those of all images in a variant are computed the first time that one is needed, and kept.
    """

    def __init__(self, ann: Ann, feed: Feed, threads: int = 1):
        self._ann, self._feed, self._threads = ann, feed, threads
        self._logits: dict[int, torch.Tensor] = {}

    def sat(self, indices: np.ndarray, variant: int) -> torch.Tensor:
        """logits / T, (T, classes, B) float32, on the images `indices` in a variant."""
        if variant not in self._logits:
            with torch_threads(self._threads):
                self._logits[variant] = self._ann.logits(self._feed, variant)
        steps = self._feed.encoding.steps
        chosen = self._logits[variant][torch.from_numpy(indices).to(self._feed.device)]
        return (chosen.T / steps).expand(steps, -1, -1)
