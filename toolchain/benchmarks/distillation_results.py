"""Results of the benchmark `distillation`: the CSV with a row per cell and seed, and the statistics."""

from __future__ import annotations

import csv
import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from scipy import stats

from snnkd.base.errors import FormatError
from snnkd.base.files import atomic

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Row:
    """One trained network on the whole test set of `set`, by its integer network where nothing else is said.

    float_accuracy, accuracy: fractions; by_step: the accuracy where inference stops after 1, 2, ... T of its steps.
    parameters: weights; spikes of all its neurons and synops, existing connections that an event goes through, per
    inference; synops_effective: those with a weight other than 0. exit_accuracy, exit_spikes: with the network's rule
    for early exit. None where that was not measured. epochs: of the last stage; device: 'cpu' or the name of the GPU
    that trained it; seconds: of training all stages but those taken over from another run.
    recipe: `distillation_cells.digest`.
    """

    cell: str
    set: str
    seed: int
    steps: int
    parameters: int
    float_accuracy: float
    accuracy: float
    spikes: float
    synops: float
    synops_effective: float | None
    by_step: list[float]
    exit_accuracy: float | None
    exit_spikes: float | None
    epochs: int
    device: str
    seconds: float
    git: str
    date: str
    recipe: str


_READ: dict[str, Callable[[str], Any]] = {
    "str": str,
    "int": int,
    "float": float,
    "float | None": lambda text: float(text) if text else None,
    "list[float]": json.loads,
}


def read(path: Path) -> list[Row]:
    """Rows of a CSV; none where there is no file. Raises FormatError that names the line of a damaged one."""
    if not path.exists():
        return []
    rows = []
    with path.open(newline="", encoding="utf-8") as file:
        for number, line in enumerate(csv.DictReader(file), start=2):
            try:
                rows.append(Row(**{field.name: _READ[str(field.type)](line[field.name]) for field in fields(Row)}))
            except (KeyError, TypeError, ValueError) as error:
                raise FormatError(f"{path}, line {number}: no row of results ({error}); repair or delete it") from error
    return rows


def add(path: Path, row: Row) -> None:
    """Puts a row into the CSV at once, in place of one of the same cell, seed and data; the file is always whole."""
    kept = [stored for stored in read(path) if (stored.cell, stored.set, stored.seed) != (row.cell, row.set, row.seed)]
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        for stored in [*kept, row]:
            writer.writerow({**asdict(stored), "by_step": json.dumps(stored.by_step)})


def grouped(names: Iterable[str], rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of each of the cells `names`, in that order; rows of other cells are left out."""
    by_cell: dict[str, list[Row]] = {name: [] for name in names}
    for row in rows:
        if row.cell in by_cell:
            by_cell[row.cell].append(row)
    return by_cell


class Interval(NamedTuple):
    """The mean of n values and half the width of its 95 % interval by Student's t; None for a single value."""

    mean: float
    half: float | None
    n: int


def interval(values: Sequence[float]) -> Interval:
    """Raises statistics.StatisticsError for no values."""
    n = len(values)
    if n == 1:
        return Interval(values[0], None, 1)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * statistics.stdev(values) / n**0.5
    return Interval(statistics.fmean(values), float(half), n)


def paired(rows: Iterable[Row], alone: Iterable[Row]) -> Interval | None:
    """Accuracy of `rows` less that of `alone`, by pairs of the same seed and data; None where there is no pair."""
    accuracies = {(row.set, row.seed): row.accuracy for row in alone}
    differences = [row.accuracy - accuracies[row.set, row.seed] for row in rows if (row.set, row.seed) in accuracies]
    return interval(differences) if differences else None
