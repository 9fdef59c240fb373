"""Batches of encoded events from images in memory: the same encoder as in simulation and hand-off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from snnkd.data.augmentation import Moves, moves, variant
from snnkd.data.datasets import Split
from snnkd.data.encoding import Encoding
from snnkd.recipe import tables
from snnkd.training.store import DeviceImages, SpikeStore

_STORED = 1 << 30  # bytes of encoded events that may be kept
_ON_DEVICE = 3 << 29  # bytes of variants that may be kept in the memory of another device


@dataclass(frozen=True)
class Feed:
    """A split and how its images become events; `augment` says how the pool of variants is made, if at all."""

    split: Split
    encoding: Encoding
    device: torch.device
    augment: tables.Data | None = None
    seed: int = 0

    def __len__(self) -> int:
        return len(self.split.labels)

    @property
    def variants(self) -> int:
        """Size of the pool of variants of each image, 1 without augmentation."""
        return self.augment.variants if self.augment is not None else 1

    def events(self, indices: np.ndarray, number: int = 0) -> np.ndarray:
        """Events (B, T, C, H, W) uint8 of variant `number` of the images at `indices`, as `encode` makes them."""
        return self.encoding.encode(self.images(indices, number), indices)

    def images(self, indices: np.ndarray, number: int = 0) -> np.ndarray:
        """Variant `number` of the images (B, C, H, W) uint8 at `indices`."""
        images = self.split.images[indices]
        return variant(images, indices, number, **self._augmentation) if number and self.augment else images

    def pixels(self, indices: np.ndarray, number: int = 0) -> torch.Tensor:
        """`images` on the feed's device."""
        if self._on_device is None:
            return torch.from_numpy(self.images(indices, number)).to(self.device)
        return self._on_device.read(self.there(indices), number).movedim(-1, 1)

    def there(self, indices: np.ndarray) -> torch.Tensor:
        """Indices on the feed's device, which nothing waits for."""
        return torch.from_numpy(indices).to(self.device, non_blocking=True)

    def batch(self, indices: np.ndarray, number: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """Events (B, T, C, H, W) float32 and labels (B,) int64 of variant `number` of the images at `indices`.

        In memory, time comes first and channels last. Direct encoding keeps a time axis of stride 0, so that the
        first layer's product is made once; other events are encoded once and kept as bits where there is room.
        """
        channels, high, wide = self.split.images.shape[1:]
        there = self.there(indices)
        if self._store is not None:
            flat = self._store.read(indices, number).to(self.device)
        elif self._on_device is not None and self.encoding.kind == "direct":
            flat = self._levels[self._on_device.read(there, number).int()][None]
        else:
            events = self.events(indices, number)
            distinct = events[:, :1] if events.strides[1] == 0 else events
            flat = torch.from_numpy(distinct.transpose(1, 0, 3, 4, 2).astype(np.float32, order="C")).to(self.device)
        events = flat.view(len(flat), len(indices), high, wide, channels).movedim(-1, 2).transpose(0, 1)
        return events.expand(-1, self.encoding.steps, -1, -1, -1), self.labels[there]

    @cached_property
    def labels(self) -> torch.Tensor:
        """Those of the whole split, (N,) int64 on the feed's device."""
        return torch.tensor(self.split.labels, device=self.device)

    @cached_property
    def _on_device(self) -> DeviceImages | None:
        """None where the device is the CPU or the images are too many."""
        if self.device.type == "cpu" or not 0 < self.split.images.size <= _ON_DEVICE:
            return None
        return DeviceImages(self.split.images, self._moves, self.device, _ON_DEVICE)

    @cached_property
    def _levels(self) -> torch.Tensor:
        """What direct encoding sends of each of the 256 values of a pixel, float32."""
        pixels = np.arange(256, dtype=np.uint8).reshape(-1, 1, 1, 1)
        events = self.encoding.encode(pixels, np.arange(256))[:, 0].reshape(-1)
        return torch.from_numpy(events.astype(np.float32)).to(self.device)

    def _moves(self, number: int) -> Moves:
        return moves(np.arange(len(self)), number, **self._augmentation)

    @property
    def _augmentation(self) -> dict[str, Any]:
        assert self.augment is not None, "there are no variants"
        return {"shift": self.augment.shift, "flip": self.augment.flip, "seed": self.seed}

    @cached_property
    def _store(self) -> SpikeStore | None:
        pixels = self.split.images[0].size if len(self) else 0
        size = self.variants * len(self) * self.encoding.steps * -(-pixels // 8)
        if self.encoding.message_bits or not 0 < size <= _STORED:
            return None
        return SpikeStore(len(self), self.variants, self._flat_events)

    def _flat_events(self, indices: np.ndarray, number: int) -> np.ndarray:
        return self.events(indices, number).transpose(0, 1, 3, 4, 2).reshape(len(indices), self.encoding.steps, -1)

    def blocks(self, size: int = 512) -> Iterator[np.ndarray]:
        """Indices of the whole split in order, in blocks."""
        for start in range(0, len(self), size):
            yield np.arange(start, min(start + size, len(self)))
