"""Results of the benchmark `distillation`: the CSV with a row per cell and seed, the statistics, and the page."""

from __future__ import annotations

import csv
import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from scipy import stats

from distillation_cells import SETS, SHOWN, TABLES, VARIANTS, Cell
from snnkd.errors import FormatError
from snnkd.files import atomic

CONFIDENCE = 0.95
NONE = "-"  # in a table: not measured, or nothing to compare


@dataclass(frozen=True)
class Row:
    """One trained network on the whole test set of `set`, by its integer network where nothing else is said.

    float_accuracy, accuracy: fractions; by_step: the accuracy where inference stops after 1, 2, ... T of its steps.
    parameters: weights; spikes of all its neurons and synops, existing connections that an event goes through, per
    inference. exit_accuracy, exit_spikes: the same with the network's rule for early exit, None where that was not
    measured. epochs: of the last stage; seconds: of training all stages but those taken over from another run.
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
    by_step: list[float]
    exit_accuracy: float | None
    exit_spikes: float | None
    epochs: int
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
    kept = [one for one in read(path) if (one.cell, one.set, one.seed) != (row.cell, row.set, row.seed)]
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        for one in [*kept, row]:
            writer.writerow({**asdict(one), "by_step": json.dumps(one.by_step)})


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
    other = {(row.set, row.seed): row.accuracy for row in alone}
    differences = [row.accuracy - other[row.set, row.seed] for row in rows if (row.set, row.seed) in other]
    return interval(differences) if differences else None


_INTRODUCTION = """# Results of distillation

Written by `python toolchain/benchmarks/distillation.py --report` from [results.csv](results.csv), which has one row per
cell and seed; the same script trains what is missing. Every cell is a recipe, `snnkd recipes` lists them.

Accuracies are those of the deployed integer network (8 bit weights unless said) on the whole test set, `float` that of
the training network. Epochs are chosen on validation data; the test set is read once, at the end. All figures are means
over n seeds with 95 % intervals by Student's t. *To alone* is the difference to the same network trained from the
labels alone, from the same initial weights and with the same order of images, by pairs of the same seed. Spikes (of all
neurons) and synops (connections that an event goes through) are per inference of T steps; *early exit* ends inference
where the network's own rule, chosen on the validation data, says so. The paper's are single figures, and it does not
say which networks, T, encoding or epochs they are of, so ours are not the same networks.
"""

_GROUPS = {
    "lee2022": "Two temperatures, as in Lee et al.",
    "best": "Students that we recommend",
    "quick": "Digits, a quick look",
}
_TITLES = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}
_READINGS = (
    "Further readings of the paper: *faithful* imitates the teacher without labels, *literal* takes the formulas of "
    "the spike losses as they are written, where the tables above compare spike counts."
)


def page(cells: dict[str, Cell], rows: list[Row], plots: Sequence[str] = ()) -> str:
    """docs/results.md as Markdown. rows: those that count; plots: names of the images beside it.

    Raises FormatError where a cell was trained on several data sets, of which there is no mean.
    """
    parts = [_INTRODUCTION, *(f"![{Path(name).stem}]({name})\n" for name in plots)]
    by_cell: dict[str, list[Row]] = {name: [] for name in cells}
    for row in rows:
        by_cell[row.cell].append(row)
    for name, found in by_cell.items():
        if len(known := sorted({row.set for row in found})) > 1:
            raise FormatError(f"{name}: has rows of several data sets, {', '.join(known)}: keep those of one of them")
    for images in SETS:
        if any(by_cell[name] for name, cell in cells.items() if cell.group == images):
            parts += _tables(images, cells, by_cell)
    for group, title in _GROUPS.items():
        names = [name for name, cell in cells.items() if cell.group == group and by_cell[name]]
        if names:
            parts += [f"## {title}\n", _table(names, cells, by_cell)]
    return "\n".join([*parts, _spent(rows)])


def _tables(images: str, cells: dict[str, Cell], by_cell: dict[str, list[Row]]) -> list[str]:
    """The three tables of the paper, with the cells that are not trained yet, then further readings that are."""
    known = sorted({row.set for name, cell in cells.items() if cell.group == images for row in by_cell[name]})
    parts = [f"## {_TITLES[images]}\n", f"Data: {', '.join(f'`{name}`' for name in known)}.\n"]
    for title, keys in TABLES.items():
        parts += [f"### {_TITLES[images]}, {title}\n", _table([f"{images}-{key}" for key in keys], cells, by_cell)]
    further = [f"{images}-{key}-{variant}" for variant in VARIANTS for key in SHOWN]
    if further := [name for name in further if by_cell.get(name)]:
        parts += [f"### {_TITLES[images]}, further readings\n", _READINGS + "\n", _table(further, cells, by_cell)]
    return parts


_COLUMNS = (
    *("", "paper, %", "ours, %", "float, %", "to alone, %", "n", "weights", "T", "spikes", "synops"),
    *("early exit, %", "spikes", "cell"),
)


def _table(names: list[str], cells: dict[str, Cell], by_cell: dict[str, list[Row]]) -> str:
    lines = [_line(_COLUMNS), "| --- |" + " ---: |" * (len(_COLUMNS) - 2) + " --- |"]
    for name in names:
        cell, rows = cells[name], by_cell[name]
        paper = NONE if cell.paper is None else f"{cell.paper:.2f}"
        if not rows:
            lines.append(_line([cell.label, paper, *[NONE] * (len(_COLUMNS) - 3), f"`{name}`"]))
            continue
        difference = paired(rows, by_cell[cell.alone]) if cell.alone else None
        first = rows[0]
        lines.append(
            _line(
                [
                    cell.label,
                    paper,
                    _percent(interval([row.accuracy for row in rows])),
                    _percent(interval([row.float_accuracy for row in rows])),
                    _percent(difference, "+", len(rows)) if difference else NONE,
                    str(len(rows)),
                    f"{first.parameters:,}",
                    str(first.steps),
                    _number(interval([row.spikes for row in rows])),
                    _number(interval([row.synops for row in rows])),
                    *_early_exit(rows),
                    f"`{name}`",
                ]
            )
        )
    return "\n".join(lines) + "\n"


def _early_exit(rows: list[Row]) -> tuple[str, str]:
    """Accuracy and spikes with early exit, of the rows where they were measured."""
    accuracies = [row.exit_accuracy for row in rows if row.exit_accuracy is not None]
    spikes = [row.exit_spikes for row in rows if row.exit_spikes is not None]
    if not accuracies or not spikes:
        return NONE, NONE
    return _percent(interval(accuracies), of=len(rows)), _number(interval(spikes))


def _line(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _percent(value: Interval, sign: str = "-", of: int | None = None) -> str:
    """In percent; with the number of pairs where it is another one than `of`."""
    shown = f"{100 * value.mean:{sign}.2f}" + ("" if value.half is None else f" ± {100 * value.half:.2f}")
    return shown if of is None or of == value.n else f"{shown} (n = {value.n})"


def _number(value: Interval) -> str:
    return f"{value.mean:,.0f}" + ("" if value.half is None else f" ± {value.half:,.0f}")


def _spent(rows: list[Row]) -> str:
    seconds: dict[str, float] = {}
    for row in rows:
        seconds[row.set] = seconds.get(row.set, 0.0) + row.seconds
    parts = ", ".join(f"{name} {value / 3600:.2f}" for name, value in sorted(seconds.items()))
    return f"Hours of training, each on one core: {sum(seconds.values()) / 3600:.2f} ({parts or 'nothing yet'}).\n"
