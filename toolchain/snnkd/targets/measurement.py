"""A user's own measurement of a network on a target, from a TOML file (docs/energy_model.md)."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from math import isclose
from pathlib import Path

from pydantic import Field

from snnkd.base import files, schema
from snnkd.base.errors import FormatError
from snnkd.base.schema import Problem, Table
from snnkd.targets.tables import NumberAboveZero, Text

_TOLERANCE = 0.05  # between an energy, and the power times the time that were measured with it
_UJ_PER_MW_US = 1e-3


class Values(Table):
    """The table [measured], of one inference; None was not measured."""

    dynamic_uJ: NumberAboveZero | None = None
    total_uJ: NumberAboveZero | None = None
    power_mW: NumberAboveZero | None = None
    latency_us: NumberAboveZero | None = None


class MeasurementFile(Table):
    """The whole file."""

    target: Text = Field(description="the target's name, or the path of your own .toml")
    network: Text | None = None
    source: Text = Field(description="where the measurement is written down")
    date: datetime.date = Field(description="its day, like 2026-11-30")
    instrument: Text = Field(description="what measured, where, and how often")
    conditions: Text = Field(description="what ran, at which voltage, and what is counted or not, the host for one")
    measured: Values = Field(description="a table with dynamic_uJ, total_uJ, power_mW or latency_us")


@dataclass(frozen=True)
class Measurement:
    """A measurement of one inference.

    file: where it is from. target, network: as the file names them, network None where only one can be meant. values:
    'dynamic_uJ', 'total_uJ' and 'latency_us', those that were measured; the energy in all also where power and time
    were.
    """

    file: Path
    target: str
    network: str | None
    source: str
    date: str
    instrument: str
    conditions: str
    values: dict[str, float]

    def __str__(self) -> str:
        return f"{self.source}, {self.date}, {self.instrument}"


def load(path: Path) -> Measurement:
    """Reads a measurement. Raises FormatError that lists all that is wrong with the file: field, what was expected and
    what was found; values that contradict each other are refused too."""
    table, problems = schema.validate(MeasurementFile, files.read_toml(path))
    problems += [] if table is None else list(_unfit(table.measured))
    if table is None or problems:
        raise FormatError(schema.report(path, problems))
    said = {key: getattr(table, key) for key in ("target", "network", "source", "instrument", "conditions")}
    return Measurement(path, **said, date=table.date.isoformat(), values=_values(table.measured))


def _values(measured: Values) -> dict[str, float]:
    whole, power, latency = measured.total_uJ, measured.power_mW, measured.latency_us
    if whole is None and power is not None and latency is not None:
        whole = power * latency * _UJ_PER_MW_US
    values = {"dynamic_uJ": measured.dynamic_uJ, "total_uJ": whole, "latency_us": latency}
    return {quantity: value for quantity, value in values.items() if value is not None}


def _unfit(values: Values) -> list[Problem]:
    """What is wrong with the values together."""
    dynamic, whole, power, latency = values.dynamic_uJ, values.total_uJ, values.power_mW, values.latency_us
    problems: list[str] = []
    if dynamic is None and whole is None and power is None and latency is None:
        problems.append("expected one of dynamic_uJ, total_uJ, power_mW and latency_us at least, found none of them")
    if power is not None and latency is None:
        problems.append("power_mW: expected latency_us beside it, found none; an energy is what is compared")
    if dynamic is not None and whole is not None and dynamic > whole:
        problems.append(
            f"dynamic_uJ: expected at most total_uJ, {whole:g}, found {dynamic:g}; total is dynamic and static energy "
            "together"
        )
    if whole is not None and power is not None and latency is not None:
        made = power * latency * _UJ_PER_MW_US
        if not isclose(made, whole, rel_tol=_TOLERANCE):
            problems.append(
                f"total_uJ: expected power_mW x latency_us, {made:.4g}, within 5 %, found {whole:g}; leave out what "
                "was not measured at the same time"
            )
    return [Problem(("measured",), f"measured: {text}") for text in problems]
