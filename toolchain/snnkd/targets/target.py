"""What is known of a target: its limits, its costs, how its firmware is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from snnkd.targets.build import Build
from snnkd.targets.quantities import ErrorFactor, Quantity

Limits = Mapping[str, Quantity]


@dataclass(frozen=True)
class Packing:
    """How weights lie in a core's synaptic memory: those of one source in blocks of up to `weights`, each with a header
    of `header_bits` and in whole words of `word_bits`."""

    word_bits: int
    weights: int
    header_bits: int
    source: str


@dataclass(frozen=True)
class Mesh:
    """The tiles of a chip, between whose neighbours a message takes one hop."""

    rows: int
    columns: int
    cores_per_tile: int
    source: str


@dataclass(frozen=True)
class Target:
    """A chip or a simulator of one. engine: name of the engine that runs networks on it, None where none here can.

    limits and costs: by the names of their tables (`targets.tables`); one that is missing is not known. build: how
    firmware for it is built and emulated, None where that is not known; such a target has the limits flash and ram.
    """

    name: str
    description: str
    engine: str | None = None
    limits: Limits = field(default_factory=dict)
    costs: Mapping[str, Quantity] = field(default_factory=dict)
    error_factors: tuple[ErrorFactor, ...] = ()
    build: Build | None = None
    packing: Packing | None = None
    mesh: Mesh | None = None

    @property
    def takes(self) -> tuple[str, ...]:
        """Kinds of input event: 'binary' and, unless its limit `payload_bits` is 0, 'graded'."""
        payload = self.limits.get("payload_bits")
        return ("binary",) if payload is not None and payload.high == 0 else ("binary", "graded")
