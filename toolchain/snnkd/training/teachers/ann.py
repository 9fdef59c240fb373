"""Artificial neural networks (ANNs) as teachers: a network description with ReLUs and batch normalization.

An ANN teaches a spiking network by its logits (KDSNN: Xu, Li, Shen, Liu, Tang and Pan, "Constructing Deep Spiking
Neural Networks from Artificial Neural Networks with Knowledge Distillation", CVPR 2023, arXiv 2304.05627). It reads
images, not events, and is never deployed.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import torch

from snnkd.engines.fast.threads import each
from snnkd.recipe.architecture import Architecture, Conv, Shape
from snnkd.recipe.architecture import Layer as Plan
from snnkd.recipe.tables import MapKind
from snnkd.training.feed import Feed
from snnkd.training.group import ALONE, Group
from snnkd.training.teachers.spiking import Teacher
from snnkd.training.tuning import torch_threads

_BLOCK = 512  # images at a time where nothing is trained
_PART = 32  # images of a batch that one core computes the maps of


class Ann(torch.nn.Module):
    """The layers of a network description, each with batch normalization and ReLU; the last one has a bias instead.

    mean, std: (1, C, 1, 1), subtracted from each channel of the images, which are in [0, 1], and dividing it.
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
        """Computes the logits (N, classes) of images (N, C, H, W) in [0, 1]."""
        return self.layers((images - self.mean) / self.std)

    def hidden(self, images: torch.Tensor, layers: int) -> list[torch.Tensor]:
        """Computes what the first `layers` hidden layers put out, behind their ReLUs: (N, C, H, W) or (N, neurons)."""
        x, found = (images - self.mean) / self.std, []
        for module in self.layers:
            if len(found) == layers:
                break
            x = module(x)
            if isinstance(module, torch.nn.ReLU):
                found.append(x)
        return found

    @property
    def size(self) -> int:
        """How many parameters: weights, biases, and two numbers of each channel that batch normalization learns."""
        return sum(parameter.numel() for parameter in self.parameters())

    def standardize(self, feed: Feed) -> None:
        """Sets mean and std to those of the feed's images, without augmentation."""
        channels = feed.split.pixels.shape[1]
        counts = np.zeros((channels, 256), dtype=np.int64)
        for indices in feed.blocks(_BLOCK):
            for channel, values in enumerate(feed.split.pixels[indices].swapaxes(0, 1)):
                counts[channel] += np.bincount(values.reshape(-1), minlength=256)
        shares, levels = counts / counts.sum(axis=1, keepdims=True), np.arange(256) / 255
        mean = shares @ levels
        std = np.sqrt((shares * (levels - mean[:, None]) ** 2).sum(axis=1))
        self.mean.view(-1).copy_(torch.from_numpy(mean))
        self.std.view(-1).copy_(torch.from_numpy(np.where(std > 0, std, 1)))

    @torch.no_grad()
    def logits(self, feed: Feed, variant: int = 0) -> torch.Tensor:
        """Computes the logits of all images of a feed in a variant, in eval mode: (images, classes) float32."""
        self.eval()
        logits = torch.empty(len(feed), self.classes, device=feed.device)
        for indices in feed.blocks(_BLOCK):
            logits[indices[0] : indices[-1] + 1] = self(images(feed, indices, variant))
        return logits

    def accuracy(self, feed: Feed) -> float:
        """Computes the fraction of a feed's images that get their label; 0 of an empty one."""
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


def images(feed: Feed, indices: np.ndarray, variant: int = 0) -> torch.Tensor:
    """Takes images in a variant: (B, C, H, W) float32 in [0, 1], channels last in memory.

    They are the very images that a spiking network reads as events.
    """
    return feed.pixels(indices, variant).to(torch.float32, memory_format=torch.channels_last).div_(255)


class AnnTeacher(Teacher):
    """A trained ANN: its activation tensor is logits / T at each of the T steps, so that all steps sum to the logits.

    The logits of all images in a variant are computed when the first of them is needed, on `threads` threads of torch
    in one process of the `group`, and kept.
    """

    def __init__(self, ann: Ann, feed: Feed, threads: int = 1, group: Group = ALONE):
        self._ann, self._feed, self._threads, self._group = ann, feed, threads, group
        self._logits: dict[int, torch.Tensor] = {}

    def sat(self, indices: np.ndarray, variant: int) -> torch.Tensor:
        """Looks up logits / T at each step, (T, classes, B) float32, of the images `indices` (B,) in a variant."""
        if variant not in self._logits:
            with torch_threads(self._threads):
                logits = self._group.led(lambda: self._ann.logits(self._feed, variant).cpu())
            self._logits[variant] = logits.to(self._feed.device)
        steps = self._feed.encoding.steps
        logits = self._logits[variant][self._feed.on_device(indices)]
        return (logits.T / steps).expand(steps, -1, -1)

    def features(
        self, indices: np.ndarray, variant: int, layers: Sequence[str], maps: MapKind
    ) -> dict[str, torch.Tensor]:
        """Computes what hidden layers put out behind their ReLUs, by their names, in eval mode.

        (N, C, H, W) or (N, neurons) float32, the same at every step, so `maps` says nothing more. Nothing is kept: maps
        are many times as large as images. A batch is cut into parts whose size does not depend on the number of cores,
        so that every bit is the same on any.
        """
        self._ann.eval()
        numbers = [int(name.removeprefix("layer")) for name in layers]

        def run(part: torch.Tensor) -> list[torch.Tensor]:
            torch.set_num_threads(1)  # each thread has a number of its own, and its own mode
            with torch.no_grad():
                return self._ann.hidden(part, max(numbers) + 1)

        batch = images(self._feed, indices, variant)
        parts = batch.split(_PART) if batch.device.type == "cpu" else (batch,)
        with torch_threads(1):
            hidden = [
                torch.cat(layer) for layer in zip(*each(run, parts, self._group.cores(self._threads)), strict=True)
            ]
        return {name: hidden[number] for name, number in zip(layers, numbers, strict=True)}
