"""Numbers with their origin, as targets hold them: read from TOML, each with its unit, its kind and its source."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnkd.base.errors import FormatError

KINDS = ("measured", "vendor", "literature", "assumed")
_FACTOR_UNIT = "measured / estimate"


@dataclass(frozen=True)
class Quantity:
    """A limit or a cost. low <= typical <= high, equal where one value is known; `kind` is that of the typical one.

    For a limit, `high` is the ceiling that refuses a network and `typical` what is reached in practice.
    """

    low: float
    typical: float
    high: float
    unit: str
    kind: str
    source: str


@dataclass(frozen=True)
class ErrorFactor:
    """How far measurements were from such an estimate: measured / estimate lies between low and high."""

    of: str
    low: float
    high: float
    unit: str
    kind: str
    source: str


def quantities(path: Path, table: str, data: Any, units: dict[str, str]) -> dict[str, Quantity]:
    """The entries of a TOML table, by name; `units` has the allowed names and the unit of each.

    Raises FormatError that names the file, the entry and what was expected.
    """
    check_keys(path, table, data, units)
    return {name: _quantity(path, f"{table}.{name}", entry, units[name]) for name, entry in data.items()}


def _quantity(path: Path, where: str, entry: Any, unit: str) -> Quantity:
    check_keys(path, where, entry, {"value", "low", "typical", "high", "unit", "kind", "source"})
    band = [key for key in ("low", "typical", "high") if key in entry]
    if ("value" in entry) == bool(band) or len(band) not in (0, 3):
        raise FormatError(f"{path}: {where}: expected either 'value' or all of 'low', 'typical' and 'high'")
    low, typical, high = (_number(path, f"{where}.{key}", entry[key]) for key in band or ["value"] * 3)
    if not low <= typical <= high:
        raise FormatError(f"{path}: {where}: expected low <= typical <= high, found {low}, {typical}, {high}")
    return Quantity(low, typical, high, *_origin(path, where, entry, unit))


def error_factor(path: Path, where: str, entry: Any) -> ErrorFactor:
    """One table of `[[error_factors]]`. Raises FormatError as `quantities` does."""
    check_keys(path, where, entry, {"of", "low", "high", "unit", "kind", "source"})
    of = text(path, f"{where}.of", entry.get("of"))
    low, high = (_number(path, f"{where}.{key}", entry.get(key)) for key in ("low", "high"))
    if low > high:
        raise FormatError(f"{path}: {where}: expected low <= high, found {low}, {high}")
    return ErrorFactor(of, low, high, *_origin(path, where, entry, _FACTOR_UNIT))


def _origin(path: Path, where: str, entry: dict[str, Any], unit: str) -> tuple[str, str, str]:
    """(unit, kind, source) of an entry: a number without them is not a datum."""
    if entry.get("unit") != unit:
        raise FormatError(f"{path}: {where}.unit: expected '{unit}', found {_found(entry.get('unit'))}")
    if entry.get("kind") not in KINDS:
        raise FormatError(f"{path}: {where}.kind: expected {', '.join(KINDS)}; found {_found(entry.get('kind'))}")
    return unit, entry["kind"], text(path, f"{where}.source", entry.get("source"))


def check_keys(path: Path, where: str, data: Any, known: Collection[str]) -> None:
    """Raises FormatError where `data` is no table, or has a key that is not `known`."""
    if not isinstance(data, dict):
        raise FormatError(f"{path}: {where}: expected a table, found {_found(data)}")
    for key in data:
        if key not in known:
            entry = f"{where}.{key}" if where else key
            raise FormatError(f"{path}: {entry}: unknown; expected {', '.join(sorted(known))}")


def _number(path: Path, where: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise FormatError(f"{path}: {where}: expected a finite number from 0, found {_found(value)}")
    return value


def text(path: Path, where: str, value: Any) -> str:
    """`value` without blanks around it. Raises FormatError where it is no text or an empty one."""
    if not isinstance(value, str) or not value.strip():
        raise FormatError(f"{path}: {where}: expected a text, found {_found(value)}")
    return value.strip()


def _found(value: Any) -> str:
    return "nothing" if value is None else repr(value)
