"""Batches of encoded events from images in memory: the same encoder as in simulation and hand-off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from snnkd import recipe_tables
from snnkd.augmentation import variant
from snnkd.datasets import Split
from snnkd.encoding import Encoding


@dataclass(frozen=True)
class Feed:
    """A split and how its images become events; `augment` says how the pool of variants is made, if at all."""

    split: Split
    encoding: Encoding
    device: torch.device
    augment: recipe_tables.Data | None = None
    seed: int = 0

    def __len__(self) -> int:
        return len(self.split.labels)

    @property
    def variants(self) -> int:
        """Size of the pool of variants of each image, 1 without augmentation."""
        return self.augment.variants if self.augment is not None else 1

    def events(self, indices: np.ndarray, number: int = 0) -> np.ndarray:
        """Events (B, T, C, H, W) uint8 of variant `number` of the images at `indices`, as `encode` makes them."""
        images = self.split.images[indices]
        if self.augment is not None and number:
            options = {"shift": self.augment.shift, "flip": self.augment.flip, "seed": self.seed}
            images = variant(images, indices, number, **options)
        return self.encoding.encode(images, indices)

    def batch(self, indices: np.ndarray, number: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """Events (B, T, C, H, W) float32 and labels (B,) int64 of variant `number` of the images at `indices`.

        Direct encoding keeps a time axis of stride 0, so that the first layer's product is made once.
        """
        events = self.events(indices, number)
        repeats = events.strides[1] == 0 and events.shape[1]
        tensor = torch.tensor(events[:, :1] if repeats else events).to(self.device).float()
        if repeats:
            tensor = tensor.expand(-1, repeats, -1, -1, -1)
        return tensor, torch.from_numpy(self.split.labels[indices]).to(self.device)

    def blocks(self, size: int = 512) -> Iterator[np.ndarray]:
        """Indices of the whole split in order, in blocks."""
        for start in range(0, len(self), size):
            yield np.arange(start, min(start + size, len(self)))
