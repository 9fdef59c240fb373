"""What a sweep came to: results.csv in its folder, a row for each cell and seed, and statistics over the seeds."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from snnkd.analysis import paired
from snnkd.base.errors import FormatError
from snnkd.base.files import read_bytes, read_json, write_text
from snnkd.runs import sweep
from snnkd.runs.cells import Cell
from snnkd.runs.sweep import Finished, SweepOptions

NAME = "results.csv"


@dataclass(frozen=True)
class Row:
    """A cell with a seed, and what its student is on the whole test set, as `results.Summary` has it.

    run: its folder, in that of the sweep. accuracy: of the deployed network. exit_accuracy, exit_steps: with its rule
    for early exit, None without one. spikes: of all its neurons, mean per test image. error: why the cell failed; it
    then has nothing else.
    """

    cell: str
    seed: int
    run: str | None = None
    data_set: str | None = None
    test_images: int | None = None
    steps: int | None = None
    parameters: int | None = None
    float_accuracy: float | None = None
    accuracy: float | None = None
    exit_accuracy: float | None = None
    exit_steps: float | None = None
    spikes: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Mean:
    """A mean over `seeds` and its 95 % interval by Student's t, None of a single one."""

    mean: float
    interval: tuple[float, float] | None
    seeds: list[int]


@dataclass(frozen=True)
class CellResult:
    """A cell over its seeds. difference: its accuracy less that of the first cell, by pairs of the same seed; None for
    the first one, and where there is no pair on the same images. failed: seeds that came to nothing; with no others,
    all else is None."""

    cell: str
    data_set: str | None
    steps: int | None
    parameters: int | None
    accuracy: Mean | None
    float_accuracy: Mean | None
    difference: Mean | None
    spikes: Mean | None
    failed: list[int]


@dataclass(frozen=True)
class Sweep:
    """folder: of the sweep. rows: by cell and seed. warnings: what is wrong with networks, those of each run in one."""

    folder: str
    rows: list[Row]
    warnings: list[str]

    @property
    def cells(self) -> list[CellResult]:
        """The cells in the order of their rows, each compared with the first one."""
        groups: dict[str, list[Row]] = {}
        for row in self.rows:
            groups.setdefault(row.cell, []).append(row)
        first = next(iter(groups), "")
        return [_over_seeds(name, rows, [] if name == first else groups[first]) for name, rows in groups.items()]

    @property
    def failed(self) -> list[Row]:
        return [row for row in self.rows if row.error is not None]

    def to_json(self) -> dict[str, Any]:
        """Returns what `snnkd sweep --json` prints."""
        return {**asdict(self), "cells": [asdict(cell) for cell in self.cells]}


def collect(cells: Sequence[Cell], options: SweepOptions, on_row: Callable[[Row], None] = lambda _: None) -> Sweep:
    """Trains the cells as `sweep.train` does; results.csv has the rows of those that are done at any time.

    on_row: called with each of them that is trained now.
    """
    folder, rows, warnings = Path(options.folder), dict[Cell, Row](), list[str]()

    def on_cell(finished: Finished) -> None:
        rows[finished.cell], told = _row(finished)
        if told:
            more = f" (and {len(told) - 1} more)" if told[1:] else ""
            warnings.append(f"{finished.cell}: {told[0]}{more}")
        write(folder, [rows[cell] for cell in cells if cell in rows])
        if not finished.before:
            on_row(rows[finished.cell])

    sweep.train(cells, options, on_cell)
    return Sweep(str(folder), [rows[cell] for cell in cells], sorted(warnings))


def _row(finished: Finished) -> tuple[Row, list[str]]:
    """Reads a cell's row from its run, and what is wrong there. Raises FormatError for a damaged one."""
    cell, run = finished.cell, finished.run
    if run is None:
        return Row(cell.label, cell.seed, error=finished.error), []
    summary = read_json(run.summary)
    try:
        early, accuracy = summary["early_exit"] or {}, summary["accuracy"]
        row = Row(
            cell=cell.label,
            seed=cell.seed,
            run=run.folder.name,
            data_set=summary["data_set"],
            test_images=summary["test_images"],
            steps=summary["steps"],
            parameters=summary["networks"][cell.recipe.student]["parameters"],
            float_accuracy=accuracy["float"],
            accuracy=accuracy["integer"],
            exit_accuracy=early.get("accuracy"),
            exit_steps=early.get("steps"),
            spikes=summary["spikes"],
        )
        return row, summary["warnings"]
    except (KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"{run.summary}: not the summary of a run: {error!r}") from error


def write(folder: Path, rows: Sequence[Row]) -> None:
    """Writes results.csv into the folder of a sweep, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_text(folder / NAME, text.getvalue())


def read(folder: Path) -> Sweep:
    """Reads the results of the sweep in a folder. Raises FormatError for a damaged file."""
    path = folder / NAME
    try:
        lines = csv.DictReader(io.StringIO(read_bytes(path).decode("utf-8"), newline=""))
        plain = [{key: value or None for key, value in line.items() if key is not None} for line in lines]
        return Sweep(str(folder), TypeAdapter(list[Row]).validate_python(plain), [])
    except (ValidationError, UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{path}: not the results of a sweep: {str(error).splitlines()[0]}") from error


def _over_seeds(name: str, rows: Sequence[Row], first: Sequence[Row]) -> CellResult:
    """first: the rows that these are compared with."""
    done = [row for row in rows if row.error is None]
    one = done[0] if done else Row(name, 0)
    others = {(row.seed, row.data_set): row.accuracy for row in first}
    gains = {
        row.seed: row.accuracy - other
        for row in done
        if row.accuracy is not None and (other := others.get((row.seed, row.data_set))) is not None
    }

    def mean(field: str) -> Mean | None:
        return _mean({row.seed: value for row in done if (value := getattr(row, field)) is not None})

    return CellResult(
        cell=name,
        data_set=one.data_set,
        steps=one.steps,
        parameters=one.parameters,
        accuracy=mean("accuracy"),
        float_accuracy=mean("float_accuracy"),
        difference=_mean(gains),
        spikes=mean("spikes"),
        failed=[row.seed for row in rows if row.error is not None],
    )


def _mean(by_seed: dict[int, float]) -> Mean | None:
    return Mean(*paired.mean(list(by_seed.values())), list(by_seed)) if by_seed else None
