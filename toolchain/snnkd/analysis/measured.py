"""Estimates beside a user's own measurements: the ratio of both, never a mixture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from snnkd import targets
from snnkd.analysis.energy import Profile, Range, as_json
from snnkd.base.errors import FormatError, LimitError
from snnkd.targets.measurement import Measurement

QUANTITIES = {"dynamic_uJ": "dynamic", "total_uJ": "total", "latency_us": "latency"}  # and what of an estimate they are


@dataclass(frozen=True)
class Beside:
    """One measured value beside the estimate of it, None where there is none; in uJ or us per inference."""

    quantity: str
    measured: float
    estimate: Range | None

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data; keys in `docs/energy_model.md`."""
        known = self.estimate if self.estimate is not None and self.estimate.typical else None
        return {
            "quantity": self.quantity,
            "measured": self.measured,
            "estimate": as_json(self.estimate),
            "ratio": None if known is None else self.measured / known.typical,
            "inside": None if known is None else known.low <= self.measured <= known.high,
        }


@dataclass(frozen=True)
class MeasuredEnergy:
    """A measurement, and its values beside the estimate."""

    measurement: Measurement
    values: tuple[Beside, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data; keys in `docs/energy_model.md`."""
        said = {key: getattr(self.measurement, key) for key in ("source", "date", "instrument", "conditions")}
        return {"file": str(self.measurement.file), **said, "values": [value.to_json() for value in self.values]}


def target_names(measurements: Sequence[Measurement], named: Sequence[str | Path]) -> list[str]:
    """Finds the target that each measurement is of, by name.

    named: targets that were asked for, by name or file; none for those of the measurements. Raises FormatError where a
    file is there twice, LimitError where it was measured on another target.
    """
    seen: set[Path] = set()
    chosen = [targets.load(name).name for name in named]
    found: list[str] = []
    for one in measurements:
        if one.file.resolve() in seen:
            raise FormatError(f"{one.file}: was given twice; give each measurement once")
        seen.add(one.file.resolve())
        target = one.target if one.target in chosen else targets.load(one.target).name
        if chosen and target not in chosen:
            raise LimitError(
                f"{one.file}: target: measured on '{target}', and --target says {', '.join(chosen)}; leave out "
                "--target, or name this one too"
            )
        found.append(target)
    return found


def network_of(one: Measurement, networks: Sequence[set[str]]) -> int:
    """Finds which of the networks, each given by the names that it may have, was measured. Raises FormatError where the
    measurement does not tell it, or names another."""
    if one.network is None and len(networks) == 1:
        return 0
    matching = [k for k, names in enumerate(networks) if one.network in names]
    if len(matching) != 1:
        listed = ", ".join(sorted(max(names, key=len) for names in networks))
        found = "none" if one.network is None else f"'{one.network}'"
        raise FormatError(f"{one.file}: network: expected one of those that are profiled, {listed}; found {found}")
    return matching[0]


def beside(profile: Profile, target: str, measurement: Measurement) -> Profile:
    """Returns `profile` with a measurement of its network on a target, by the target's name, beside the estimate."""
    priced = profile.energy[target]
    values = tuple(
        Beside(quantity, value, getattr(priced.estimate, QUANTITIES[quantity]))
        for quantity, value in measurement.values.items()
    )
    priced = replace(priced, measured=(*priced.measured, MeasuredEnergy(measurement, values)))
    return replace(profile, energy={**profile.energy, target: priced})
