"""How the events of a recording become the cells of T time steps: the parameters, as a network's file keeps them.

`docs/encodings.md` has the formulas; `data/recordings/cells.py` computes them, and the C99 runtime event by event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from snnkd.base.errors import FormatError, RecipeError
from snnkd.ir.network import IntNet

Sensor = tuple[int, int]  # (H, W): rows and columns
TIME_LIMIT = 1 << 32  # microseconds: 71.6 minutes
SIDE_LIMIT = 1 << 16
POLARITIES = {"channels": 2, "signed": 1, "merged": 1}  # input channels
CELLS = ("binary", "count")
_BOUNDS = {
    "steps": (1, 4096),
    "window_us": (1, TIME_LIMIT - 1),
    "count": (1, (1 << 31) - 1),
    "pool": (1, 64),
    "bits": (1, 8),
}


@dataclass(frozen=True)
class EventEncoding:
    """How a recording becomes input events.

    steps: T, 1 to 4096. sensor: (H, W). Either window_us, microseconds of a step, or count, events of a step. polarity:
    'channels', 0 OFF and 1 ON; 'signed', ON less OFF; or 'merged'. crop: (top, left, height, width) of the part of the
    sensor that is seen, None for all of it. pool: side of the squares of pixels that share a cell. cell: 'binary', 1
    (signed: or -1) where events are; 'count', how many, at most 2^bits - 1. Raises RecipeError that names the field.
    """

    steps: int
    sensor: Sensor
    window_us: int | None = None
    count: int | None = None
    polarity: str = "channels"
    crop: tuple[int, int, int, int] | None = None
    pool: int = 1
    cell: str = "binary"
    bits: int = 4

    kind = "events"

    def __post_init__(self) -> None:
        for name, (low, high) in _BOUNDS.items():
            value = getattr(self, name)
            if value is not None and not _is_integer(value, low, high):
                raise RecipeError(f"encoding.{name} {value!r:.80}: expected an integer in [{low}, {high}]")
        if (self.window_us is None) == (self.count is None):
            raise RecipeError("encoding: expected either window_us or count, the time or the events of a step")
        for name, known in (("polarity", POLARITIES), ("cell", CELLS)):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in known:
                raise RecipeError(f"encoding.{name} {value!r:.80}: expected {', '.join(known)}")
        _check_sides("sensor", self.sensor, (1, 1))
        if self.crop is not None:
            _check_sides("crop", self.crop, (0, 0, 1, 1))
            top, left, height, width = self.crop
            if top + height > self.sensor[0] or left + width > self.sensor[1]:
                raise RecipeError(f"encoding.crop {list(self.crop)}: reaches beyond the sensor, {list(self.sensor)}")
        if any(side % self.pool for side in self.window[2:]):
            height, width = self.window[2:]
            raise RecipeError(
                f"encoding.pool {self.pool}: does not divide {height} x {width} pixels; set encoding.crop"
            )

    @property
    def window(self) -> tuple[int, int, int, int]:
        """Returns (top, left, height, width) of the part of the sensor that is seen."""
        return (0, 0, *self.sensor) if self.crop is None else self.crop

    @property
    def shape(self) -> tuple[int, int, int]:
        """Returns (C, H, W) of a step."""
        _, _, height, width = self.window
        return POLARITIES[self.polarity], height // self.pool, width // self.pool

    @property
    def largest(self) -> int:
        """Returns the largest magnitude of a cell."""
        return 1 if self.cell == "binary" else (1 << self.bits) - 1

    @property
    def signed(self) -> bool:
        """Tells whether cells may be negative."""
        return self.polarity == "signed"

    @property
    def message_bits(self) -> int:
        """Returns the bits of a graded event (Lava's input_message_bits), 8, or 0 where cells are 0 or 1."""
        return 8 if self.cell == "count" or self.signed else 0

    def to_json(self) -> dict[str, Any]:
        """Returns the parameters that matter as plain JSON data."""
        data: dict[str, Any] = {"kind": self.kind, "steps": self.steps, "sensor": list(self.sensor)}
        data |= {"window_us": self.window_us} if self.count is None else {"count": self.count}
        data |= {"polarity": self.polarity}
        data |= {} if self.crop is None else {"crop": list(self.crop)}
        data |= {"pool": self.pool, "cell": self.cell}
        return data | ({"bits": self.bits} if self.cell == "count" else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EventEncoding:
        """Reads what `to_json` returned. Raises FormatError that names the missing, unknown or bad field."""
        known = {field.name for field in fields(cls)}
        given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
        given.pop("kind", None)
        for name in given:
            if name not in known:
                raise FormatError(f"encoding.{name!r:.80}: unknown field; known: kind, {', '.join(sorted(known))}")
        for name in ("steps", "sensor"):
            if name not in given:
                raise FormatError(f"encoding.{name}: missing")
        try:
            return cls(**given)
        except RecipeError as error:
            raise FormatError(str(error)) from error


def of_network(net: IntNet) -> EventEncoding | None:
    """Returns how recordings become the events of `net`, None where its file does not say so or says what cannot be."""
    if (net.encoding or {}).get("kind") != "events":
        return None
    try:
        encoding = EventEncoding.from_json(net.encoding or {})
    except FormatError:
        return None
    return encoding if encoding.shape == net.input_shape and encoding.message_bits <= net.message_bits else None


def _is_integer(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _check_sides(name: str, values: Any, lowest: tuple[int, ...]) -> None:
    right = isinstance(values, tuple) and len(values) == len(lowest)
    if not right or not all(_is_integer(v, low, SIDE_LIMIT) for v, low in zip(values, lowest, strict=True)):
        raise RecipeError(f"encoding.{name} {values!r:.80}: expected {len(lowest)} integers")
