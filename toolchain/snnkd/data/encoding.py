"""Encoders: 8-bit images to the events of T time steps, in integer arithmetic only.

`docs/encodings.md` has the formulas; the C99 runtime follows the same ones. What an image becomes depends on the
image, its index and the encoder's parameters, never on the batch that it is in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from snnkd.base.errors import FormatError, RecipeError
from snnkd.base.hashing import hash64, mix
from snnkd.data.recordings import cells
from snnkd.data.recordings.recording import Recording
from snnkd.ir import image_encoding
from snnkd.ir.event_encoding import EventEncoding
from snnkd.ir.network import IntNet

RATE_START = 127  # the accumulator's first value: spike counts are then rounded to the nearest, not down
_BLOCK = 1 << 16  # random words computed at a time, so that they stay in the cache


@dataclass(frozen=True)
class Encoding:
    """How an image becomes input events.

    kind: 'direct', 'rate', 'poisson' or 'latency'. steps: T, 1 to 4096. bits: size of a graded event, 1 to 8
    ('direct' only). seed: of the random spikes ('poisson' only). Raises RecipeError that names the bad field.
    """

    kind: str
    steps: int
    bits: int = image_encoding.DEFAULTS["bits"]
    seed: int = image_encoding.DEFAULTS["seed"]

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or self.kind not in ENCODERS:
            raise RecipeError(f"encoding.kind {self.kind!r}: expected {', '.join(ENCODERS)}")
        for name, (low, high) in image_encoding.BOUNDS.items():
            if not image_encoding.is_parameter(name, getattr(self, name)):
                found = repr(getattr(self, name))
                raise RecipeError(f"encoding.{name} {found:.80}: expected an integer in [{low}, {high}]")

    @property
    def largest(self) -> int:
        """Returns the largest event."""
        return (1 << self.bits) - 1 if self.kind == "direct" else 1

    @property
    def message_bits(self) -> int:
        """Returns the bits of a graded event (Lava's input_message_bits), 8, or 0 where events are 0 or 1."""
        return 8 if self.kind == "direct" else 0

    def encode(self, images: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """Encodes uint8 images (N, C, H, W) as events, (N, T, C, H, W) uint8.

        indices: (N,) integers, each image's position in its split; 'poisson' draws its spikes from them. 'direct'
        returns a read-only view whose time axis has stride 0: no copy per step. Raises FormatError for other arrays.
        """
        if images.ndim != 4 or images.dtype != np.uint8:
            raise FormatError(f"images: expected uint8 (N, C, H, W), found {images.dtype} {images.shape}")
        indices = np.asarray(indices)
        if indices.shape != images.shape[:1] or indices.dtype.kind not in "iu" or indices.min(initial=0) < 0:
            raise FormatError(
                f"indices: expected ({len(images)},) integers from 0, found {indices.dtype} {indices.shape}"
            )
        return ENCODERS[self.kind](self, images, indices)

    def to_json(self) -> dict[str, Any]:
        """Returns the parameters as plain JSON data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> Encoding:
        """Reads what `to_json` returned. Raises FormatError that names the missing, unknown or bad field."""
        if not isinstance(data, Mapping):
            raise FormatError(f"encoding: expected an object with kind and steps, found {type(data).__name__}")
        known = [field.name for field in fields(cls)]
        unknown = [name for name in data if name not in known]
        if unknown:
            raise FormatError(f"encoding.{unknown[0]}: unknown field; known: {', '.join(known)}")
        for name in ("kind", "steps"):
            if name not in data:
                raise FormatError(f"encoding.{name}: missing")
        try:
            return cls(**data)
        except RecipeError as error:
            raise FormatError(str(error)) from error


def _direct(encoding: Encoding, images: np.ndarray, indices: np.ndarray) -> np.ndarray:
    events = images >> (8 - encoding.bits)
    return np.broadcast_to(events[:, None], _events_shape(encoding, images))


def _rate(encoding: Encoding, images: np.ndarray, indices: np.ndarray) -> np.ndarray:
    events = np.empty(_events_shape(encoding, images), dtype=np.uint8)
    total = np.full(images.shape, RATE_START, dtype=np.uint16)  # at most 254 + 255
    for step in range(encoding.steps):
        total += images
        spikes = total >= 255
        events[:, step] = spikes
        total -= spikes * np.uint16(255)
    return events


def _poisson(encoding: Encoding, images: np.ndarray, indices: np.ndarray) -> np.ndarray:
    count, pixels = len(images), images[0].size if len(images) else 0
    events = np.empty((count, encoding.steps, pixels), dtype=np.uint8)
    # 2^32 for 255: such a pixel spikes at every step; 0 for 0: never.
    threshold = (images.reshape(count, 1, pixels).astype(np.uint64) << np.uint64(32)) // np.uint64(255)
    per_step = hash64(encoding.seed, indices[:, None], np.arange(encoding.steps))
    pixel = np.arange(pixels, dtype=np.uint64)
    block = max(1, _BLOCK // max(1, encoding.steps * pixels))
    for start in range(0, count, block):
        part = slice(start, start + block)
        words = mix(per_step[part, :, None] ^ pixel)
        np.less(words >> np.uint64(32), threshold[part], out=events[part], casting="unsafe")
    return events.reshape(_events_shape(encoding, images))


def _latency(encoding: Encoding, images: np.ndarray, indices: np.ndarray) -> np.ndarray:
    first = (255 - images.astype(np.int32)) * encoding.steps >> 8
    first[images == 0] = encoding.steps  # beyond the last step: never
    steps = np.arange(encoding.steps, dtype=np.int32).reshape(1, -1, 1, 1, 1)
    return (first[:, None] == steps).astype(np.uint8)


def _events_shape(encoding: Encoding, images: np.ndarray) -> tuple[int, ...]:
    return (len(images), encoding.steps, *images.shape[1:])


Encoder = Encoding | EventEncoding  # of images, and of recordings


def from_json(data: Any) -> Encoder:
    """Reads what the `to_json` of an encoder returned. Raises FormatError that names the missing or bad field."""
    recorded = isinstance(data, Mapping) and data.get("kind") == EventEncoding.kind
    return EventEncoding.from_json(data) if recorded else Encoding.from_json(data)


def read_by(net: IntNet, encoder: Encoder) -> Encoder:
    """Returns the encoder of what `net` reads where others read what `encoder` makes: a still image in one step, if it
    `reads_once`."""
    return replace(encoder, steps=1) if net.reads_once and encoder.kind == "direct" else encoder


def encode(encoder: Encoder, images: np.ndarray | Iterable[Recording], indices: np.ndarray) -> np.ndarray:
    """Encodes images (N, C, H, W) uint8, or N recordings, as events (N, T, C, H, W) by the encoder that reads them.

    indices: (N,), each one's position in its split. Raises FormatError for images where recordings are read, and the
    other way round.
    """
    if isinstance(images, np.ndarray) != isinstance(encoder, Encoding):
        raise FormatError(
            f"encoding.kind '{encoder.kind}' reads {'images' if isinstance(encoder, Encoding) else 'recordings'}"
        )
    if isinstance(encoder, EventEncoding):
        return cells.encode(encoder, images)
    assert isinstance(images, np.ndarray)
    return encoder.encode(images, indices)


ENCODERS: dict[str, Callable[[Encoding, np.ndarray, np.ndarray], np.ndarray]] = {
    "direct": _direct,
    "rate": _rate,
    "poisson": _poisson,
    "latency": _latency,
}
