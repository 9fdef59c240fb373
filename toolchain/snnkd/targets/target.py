"""Targets as data: what a chip can hold, what its operations cost, and where each number comes from.

A target is a folder with `target.toml` (limits) and, where costs are known, `costs.toml`; see `docs/add_a_target.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snnkd.base import files
from snnkd.base.errors import FormatError
from snnkd.targets.build import Build
from snnkd.targets.build import build as read_build
from snnkd.targets.quantities import ErrorFactor, Quantity, check_keys, error_factor, quantities, text

LIMIT_UNITS = {
    "cores": "cores",
    "neurons_per_core": "neurons",
    "synapse_memory_per_core": "byte",
    "stored_bits_per_weight": "bit",
    "weight_bits": "bit",
    "delay": "step",
    "payload_bits": "bit",
    "flash": "byte",
    "ram": "byte",
}
COST_UNITS = {
    "synop": "pJ",
    "synop_dense": "pJ",
    "synop_conv": "pJ",
    "neuron_update": "pJ",
    "spike": "pJ",
    "static_power": "W",
}
_TARGET_KEYS = {"name", "description", "engine", "limits", "build"}
_COST_KEYS = {"costs", "error_factors"}
_MAY_BE_ZERO = {"delay", "payload_bits"}

Limits = Mapping[str, Quantity]


@dataclass(frozen=True)
class Target:
    """A chip or a simulator of one. engine: name of the engine that runs networks on it, None where none here can.

    limits and costs: by the names of LIMIT_UNITS and COST_UNITS; one that is missing is not known. build: how firmware
    for it is built and emulated, None where that is not known; such a target has the limits flash and ram.
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
    """The targets that snnkd comes with, by name."""
    return [load(name) for name in _known()]


def load(name: str | Path) -> Target:
    """The shipped target called `name`, or the user's own: a folder with `target.toml`, or a single TOML file.

    Costs are in the `[costs]` table of that file or in `costs.toml` beside a `target.toml`. Raises SnnkdError where
    there is no such target, FormatError that names file and entry where one is not what it should be.
    """
    known = _known()
    path = Path(name)
    own_folder = str(name) not in known and path.is_dir()
    path = files.find(path / "target.toml" if own_folder else name, known, "target")
    data = files.read_toml(path)
    beside = path.with_name("costs.toml")
    if path.name == "target.toml" and beside.is_file():
        costs = files.read_toml(beside)
        check_keys(path, "", data, _TARGET_KEYS)
        check_keys(beside, "", costs, _COST_KEYS)
        return _target(path, data, beside, costs)
    check_keys(path, "", data, _TARGET_KEYS | _COST_KEYS)
    return _target(path, data, path, data)


def _known() -> dict[str, Path]:
    return files.names("hw_targets", "*/target.toml")


def _target(path: Path, data: dict[str, Any], costs_path: Path, costs: dict[str, Any]) -> Target:
    factors = costs.get("error_factors", [])
    if not isinstance(factors, list):
        raise FormatError(f"{costs_path}: error_factors: expected an array of tables, [[error_factors]]")
    limits = quantities(path, "limits", data.get("limits", {}), LIMIT_UNITS)
    for name, limit in limits.items():
        if limit.low == 0 and name not in _MAY_BE_ZERO:
            raise FormatError(f"{path}: limits.{name}: expected a number above 0, found 0")
    if "build" in data and not {"flash", "ram"} <= limits.keys():
        raise FormatError(f"{path}: build: expected the limits flash and ram too, which say how much memory there is")
    return Target(
        name=text(path, "name", data.get("name")),
        description=text(path, "description", data.get("description")),
        engine=text(path, "engine", data["engine"]) if "engine" in data else None,
        limits=limits,
        costs=quantities(costs_path, "costs", costs.get("costs", {}), COST_UNITS),
        error_factors=tuple(error_factor(costs_path, f"error_factors[{i}]", f) for i, f in enumerate(factors)),
        build=read_build(path, data["build"]) if "build" in data else None,
    )
