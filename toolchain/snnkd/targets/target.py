"""Targets as data: what a chip can hold, what its operations cost, and where each number comes from.

A target is a folder with `target.toml` (limits) and, where costs are known, `costs.toml`; see `docs/add_a_target.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from snnkd.base import files
from snnkd.targets.build import Build
from snnkd.targets.quantities import ErrorFactor, Quantity

Limits = Mapping[str, Quantity]


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

    @property
    def takes(self) -> tuple[str, ...]:
        """Kinds of input event: 'binary' and, unless its limit `payload_bits` is 0, 'graded'."""
        payload = self.limits.get("payload_bits")
        return ("binary",) if payload is not None and payload.high == 0 else ("binary", "graded")


def available() -> list[Target]:
    """Returns the targets that snnkd comes with, by name."""
    return [load(name) for name in _known()]


def load(name: str | Path) -> Target:
    """Reads the shipped target called `name`, or the user's own: a folder with `target.toml`, or a single TOML file.

    Costs are in the `[costs]` table of that file or in `costs.toml` beside a `target.toml`. Raises SnnkdError where
    there is no such target, FormatError that lists all that is wrong with its files: file, field, what was expected
    and what was found.
    """
    from snnkd.targets import tables  # loads pydantic, which most commands need not wait for

    known = _known()
    path = Path(name)
    own_folder = str(name) not in known and path.is_dir()
    path = files.find(path / "target.toml" if own_folder else name, known, "target")
    data = files.read_toml(path)
    costs_path = path.with_name("costs.toml")
    if path.name == "target.toml" and costs_path.is_file():
        return tables.folder(path, data, costs_path, files.read_toml(costs_path))
    return tables.single(path, data)


def _known() -> dict[str, Path]:
    return files.names("hw_targets", "*/target.toml")
