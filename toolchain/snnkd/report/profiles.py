"""Several profiles side by side, and as a table for other programs. Reads the object that `--json` prints."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from snnkd.base.files import atomic
from snnkd.report.tables import Sheet
from snnkd.report.terminal import NOT_KNOWN, number

_COUNTS = {"spikes": "spikes", "synops": "synops", "synops_effective": "effective synops", "updates": "updates"}
_ENERGIES = {
    "dynamic_uJ": ("dynamic energy", "uJ"),
    "static_uJ": ("static energy", "uJ"),
    "total_uJ": ("total energy", "uJ"),
    "latency_us": ("latency", "us"),
}


@dataclass(frozen=True)
class Figure:
    """A figure of one network, per inference: one of the whole network (target '') or on a target. low, typical and
    high are the same where it was counted."""

    network: str
    target: str
    layer: str
    quantity: str
    unit: str
    low: float
    typical: float
    high: float


def figures(profile: Mapping[str, Any]) -> Iterator[Figure]:
    """Yields all figures of a profile: counts by layer and in sum ('all', without the input), then the estimates of
    each target that are known."""
    name, samples = profile["name"], profile["samples"]
    layers = [row for row in profile["layers"] if row["name"] != "input"]
    whole: dict[str, Any] = {"name": "all"} | {key: sum(row[key] for row in layers) for key in _COUNTS}
    for row in (*profile["layers"], whole):
        for key, words in _COUNTS.items():
            value = row[key] / samples
            yield Figure(name, "", row["name"], words, "1", value, value, value)
    for target, energy in profile["energy"].items():
        for key, (words, unit) in _ENERGIES.items():
            if energy[key] is not None:
                yield Figure(name, target, "all", words, unit, **energy[key])


def write_csv(profiles: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Writes the figures of all profiles as one table with a header."""
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in fields(Figure)])
        writer.writerows(astuple(figure) for profile in profiles for figure in figures(profile))


def side_by_side(profiles: Sequence[Mapping[str, Any]]) -> Sheet:
    """Tabulates the whole networks' typical figures, one network a column; behind each what it differs by from the
    first one's."""
    shown = Sheet("side by side, per inference, typical", ("", *(profile["name"] for profile in profiles)))
    columns = [{_key(figure): figure for figure in figures(profile) if figure.layer == "all"} for profile in profiles]
    for key in dict.fromkeys(key for column in columns for key in column):
        shown.add(_words(key), *(_cell(column.get(key), columns[0].get(key)) for column in columns))
    return shown


def _key(figure: Figure) -> tuple[str, str, str]:
    return figure.target, figure.quantity, figure.unit


def _words(key: tuple[str, str, str]) -> str:
    target, quantity, unit = key
    return f"{quantity}, {unit}, {target}" if target else quantity


def _cell(figure: Figure | None, first: Figure | None) -> str:
    if figure is None:
        return NOT_KNOWN
    if first is None or figure.typical == first.typical:
        return number(figure.typical)
    change = f" {figure.typical / first.typical - 1:+.0%}" if first.typical else ""
    return f"{number(figure.typical)}{change}"
