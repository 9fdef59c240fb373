"""Batches of encoded events from images in memory: the same encoder as in simulation and hand-off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from snnkd import recipe_tables
from snnkd.augmentation import variant
from snnkd.datasets import Split
from snnkd.encoding import Encoding
from snnkd.training.store import DeviceStore, SpikeStore

_STORED = 1 << 30  # bytes of encoded events that may be kept
_ON_DEVICE = 3 << 29  # the same of pixels, and of graded events, in the memory of another device


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
        return self.encoding.encode(self.images(indices, number), indices)

    def images(self, indices: np.ndarray, number: int = 0) -> np.ndarray:
        """Variant `number` of the images (B, C, H, W) uint8 at `indices`."""
        images = self.split.images[indices]
        if self.augment is None or not number:
            return images
        options = {"shift": self.augment.shift, "flip": self.augment.flip, "seed": self.seed}
        return variant(images, indices, number, **options)

    def pixels(self, indices: np.ndarray, number: int = 0) -> torch.Tensor:
        """`images` on the feed's device."""
        if self._pixels is None:
            return torch.from_numpy(self.images(indices, number)).to(self.device)
        return self._pixels.read(indices, number).movedim(-1, 1)

    def batch(self, indices: np.ndarray, number: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """Events (B, T, C, H, W) float32 and labels (B,) int64 of variant `number` of the images at `indices`.

        In memory, time comes first and channels last. Direct encoding keeps a time axis of stride 0, so that the
        first layer's product is made once; other events are encoded once and kept as bits where there is room.
        """
        channels, high, wide = self.split.images.shape[1:]
        if self._store is not None:
            flat = self._store.read(indices, number).to(self.device)
        elif self._graded is not None:
            flat = self._graded.read(indices, number)[None].float()
        else:
            events = self.events(indices, number)
            distinct = events[:, :1] if events.strides[1] == 0 else events
            flat = torch.from_numpy(distinct.transpose(1, 0, 3, 4, 2).astype(np.float32, order="C")).to(self.device)
        events = flat.view(len(flat), len(indices), high, wide, channels).movedim(-1, 2).transpose(0, 1)
        labels = torch.from_numpy(self.split.labels[indices]).to(self.device)
        return events.expand(-1, self.encoding.steps, -1, -1, -1), labels

    @cached_property
    def _pixels(self) -> DeviceStore | None:
        return self._on_device(self._channels_last)

    @cached_property
    def _graded(self) -> DeviceStore | None:
        """Events that are the same at all steps."""
        return self._on_device(self._still_events) if self.encoding.kind == "direct" else None

    def _on_device(self, make: Callable[[np.ndarray, int], np.ndarray]) -> DeviceStore | None:
        """Of as many bytes an image as it has pixels; None where the device is the CPU or a variant too large."""
        if self.device.type == "cpu" or not 0 < self.split.images.size <= _ON_DEVICE:
            return None
        return DeviceStore(len(self), make, self.device, _ON_DEVICE)

    def _channels_last(self, indices: np.ndarray, number: int) -> np.ndarray:
        return np.ascontiguousarray(self.images(indices, number).transpose(0, 2, 3, 1))

    def _still_events(self, indices: np.ndarray, number: int) -> np.ndarray:
        return np.ascontiguousarray(self.events(indices, number)[:, 0].transpose(0, 2, 3, 1))

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
