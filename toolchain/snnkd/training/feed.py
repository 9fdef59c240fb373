"""Makes batches of events from images in memory or recordings on disk, with the encoder of simulation and hand-off."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import torch

from snnkd.data import augmentation, event_augmentation
from snnkd.data.datasets import Split
from snnkd.data.encoding import Encoder, encode
from snnkd.data.recordings import cells
from snnkd.data.recordings.collection import Recordings
from snnkd.data.recordings.recording import Recording
from snnkd.ir.event_encoding import EventEncoding
from snnkd.recipe import tables
from snnkd.training.store import DeviceImages, SpikeStore

_STORED = 1 << 30  # bytes of encoded events that may be kept
_ON_DEVICE = 3 << 29  # bytes of variants that may be kept in the memory of another device


@dataclass(frozen=True)
class Feed:
    """A split, and how its images become events.

    device: where tensors are wanted. augment: how the variants of an image are drawn, None for the image alone. seed:
    of these variants. Variant 0 is the image itself; all methods take the indices of images, (B,) int64.
    """

    split: Split
    encoding: Encoder
    device: torch.device
    augment: tables.Data | None = None
    seed: int = 0

    def __len__(self) -> int:
        return len(self.split.labels)

    @property
    def variants(self) -> int:
        """How many variants each image has, itself included; 1 without augmentation."""
        return self.augment.variants if self.augment is not None else 1

    def events(self, indices: np.ndarray, variant: int = 0) -> np.ndarray:
        """Encodes images in a variant: (B, T, C, H, W) uint8, in memory as `Encoding.encode` returns them."""
        if not variant and self._bits is not None:
            assert isinstance(self.encoding, EventEncoding)
            return cells.unpacked(self.encoding, self._bits[indices])
        return encode(self.encoding, self._seen(indices, variant), indices)

    @cached_property
    def _bits(self) -> np.ndarray | None:
        """The events of recordings as bits on disk; None of images, and where there is no room."""
        recordings = self.split.images
        if not isinstance(recordings, Recordings) or not isinstance(self.encoding, EventEncoding):
            return None
        return cells.bits(self.encoding, recordings)

    @property
    def shape(self) -> tuple[int, ...]:
        """Returns (C, H, W) of the events of a step."""
        return self.encoding.shape if isinstance(self.encoding, EventEncoding) else self.split.pixels.shape[1:]

    def _seen(self, indices: np.ndarray, variant: int) -> np.ndarray | Iterable[Recording]:
        """What is encoded: images or recordings, in a variant."""
        recordings = self.split.images
        if not isinstance(recordings, Recordings):
            return self.images(indices, variant)
        recordings = recordings[indices]
        if not variant or self.augment is None:
            return recordings
        how = {"drop": self.augment.drop, "jitter_us": self.augment.jitter_us, **self._movement}
        return event_augmentation.variants(recordings, indices, variant, **how)

    def images(self, indices: np.ndarray, variant: int = 0) -> np.ndarray:
        """Takes images in a variant: (B, C, H, W) uint8."""
        images = self.split.pixels[indices]
        if not variant or self.augment is None:
            return images
        return augmentation.variant(images, indices, variant, noise={**self.augment.noise}, **self._movement)

    def pixels(self, indices: np.ndarray, variant: int = 0) -> torch.Tensor:
        """Takes images in a variant to the feed's device: (B, C, H, W) uint8."""
        if self._device_images is None:
            return torch.from_numpy(self.images(indices, variant)).to(self.device)
        return self._device_images.read(self.on_device(indices), variant).movedim(-1, 1)

    def on_device(self, indices: np.ndarray) -> torch.Tensor:
        """Takes indices to the feed's device, and waits for nothing."""
        return torch.from_numpy(indices).to(self.device, non_blocking=True)

    def batch(self, indices: np.ndarray, variant: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """Makes a batch on the feed's device: events (B, T, C, H, W) float32 in a variant, and labels (B,) int64.

        In memory, time comes first and channels last. Direct encoding keeps a time axis of stride 0, so that the
        first layer's product is computed once; other events are encoded once, and kept as bits where there is room.
        """
        channels, height, width = self.shape
        on_device = self.on_device(indices)
        if self._store is not None:
            flat = self._store.read(indices, variant).to(self.device)
        elif self._device_images is not None and self.encoding.kind == "direct":
            flat = self._levels[self._device_images.read(on_device, variant).int()][None]
        else:
            events = self.events(indices, variant)
            distinct = events[:, :1] if events.strides[1] == 0 else events
            flat = torch.from_numpy(distinct.transpose(1, 0, 3, 4, 2).astype(np.float32, order="C")).to(self.device)
        events = flat.view(len(flat), len(indices), height, width, channels).movedim(-1, 2).transpose(0, 1)
        return events.expand(-1, self.encoding.steps, -1, -1, -1), self.labels[on_device]

    @cached_property
    def labels(self) -> torch.Tensor:
        """The labels of the whole split, (N,) int64 on the feed's device."""
        return torch.tensor(self.split.labels, device=self.device)

    @cached_property
    def _device_images(self) -> DeviceImages | None:
        """The split in the device's memory, None where the device is the CPU, the images are too many or recordings, or
        variants are more than moved."""
        images, noisy = self.split.images, self.augment is not None and bool(self.augment.noise)
        if self.device.type == "cpu" or noisy or isinstance(images, Recordings) or not 0 < images.size <= _ON_DEVICE:
            return None
        return DeviceImages(images, self._moves, self.device, _ON_DEVICE)

    @cached_property
    def _levels(self) -> torch.Tensor:
        """What direct encoding sends of each of the 256 values of a pixel, (256,) float32."""
        pixels = np.arange(256, dtype=np.uint8).reshape(-1, 1, 1, 1)
        events = encode(self.encoding, pixels, np.arange(256))[:, 0].reshape(-1)
        return torch.from_numpy(events.astype(np.float32)).to(self.device)

    def _moves(self, variant: int) -> augmentation.Moves:
        return augmentation.moves(np.arange(len(self)), variant, **self._movement)

    @property
    def _movement(self) -> dict[str, Any]:
        assert self.augment is not None, "there are no variants"
        return {"shift": self.augment.shift, "flip": self.augment.flip, "seed": self.seed}

    @cached_property
    def _store(self) -> SpikeStore | None:
        size = self.variants * len(self) * self.encoding.steps * -(-prod(self.shape) // 8)
        if self.encoding.message_bits or not 0 < size <= _STORED:
            return None
        return SpikeStore(len(self), self.variants, self._flat_events)

    def _flat_events(self, indices: np.ndarray, variant: int) -> np.ndarray:
        return self.events(indices, variant).transpose(0, 1, 3, 4, 2).reshape(len(indices), self.encoding.steps, -1)

    def blocks(self, size: int = 512) -> Iterator[np.ndarray]:
        """Yields the indices of the whole split in order, in blocks of at most `size` images."""
        for start in range(0, len(self), size):
            yield np.arange(start, min(start + size, len(self)))
