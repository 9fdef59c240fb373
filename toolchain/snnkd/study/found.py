"""What a search has found: all its trials, and the front of those that no other beats in everything."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from snnkd.base import files
from snnkd.base.errors import SnnkdError
from snnkd.study.halving import pareto
from snnkd.study.measures import Measures
from snnkd.study.space import Space
from snnkd.study.trials import FINISHED, Trial

TAKEN = "recipe.toml"  # of a candidate's folder: its recipe without the economy of the search


@dataclass(frozen=True)
class Found:
    """out: the search's folder. trials: in the order in which they were drawn. reference: the recipe that the space
    starts from, trained as the candidates."""

    out: str
    space: Space
    trials: list[Trial]
    reference: Measures | None = None

    @cached_property
    def front(self) -> list[Trial]:
        """Lists the finished trials that no other of them dominates, the best in the first objective first."""
        finished = {one.number: one.last for one in self.trials if one.status == FINISHED and one.last}
        best, goal = pareto(finished, self.space.goals), self.space.goals[0]

        def place(number: int) -> tuple[float, int]:
            own = getattr(finished[number], goal.measure)
            return -own if goal.rises else own, number

        return [self.trials[number] for number in sorted(best, key=place)]

    def counted(self) -> dict[str, int]:
        """Counts the trials by their status."""
        statuses = [trial.status for trial in self.trials]
        return {status: statuses.count(status) for status in dict.fromkeys(statuses)}

    def to_json(self) -> dict[str, Any]:
        """Returns what `snnkd search --json` prints."""
        return {
            "out": self.out,
            "recipe": self.space.recipe,
            "objectives": self.space.objectives,
            "target": self.space.priced,
            "trials": self.counted(),
            "reference": None if self.reference is None else self.reference.to_json(),
            "front": [trial.to_json() for trial in self.front],
        }


def to_csv(trials: Sequence[Trial]) -> str:
    """Writes trials as CSV: number, status, reason, epochs, seconds, the measures, then a column for each parameter,
    empty where a trial has none."""
    rows = [_row(trial) for trial in trials]
    columns = dict.fromkeys(name for row in rows for name in row)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _row(trial: Trial) -> dict[str, Any]:
    said = trial.to_json()
    measures, parameters = said.pop("measures") or {}, said.pop("parameters")
    return {**said, **measures, **parameters}


def folder_of(out: Path, number: int) -> Path:
    """Names the folder of the candidate `number` of the search in `out`."""
    return out / "candidates" / f"{number:04d}"


def taken(out: Path, number: int) -> str:
    """Returns the recipe of a candidate of the search in `out`, as TOML. Raises SnnkdError where it has no such one."""
    path = folder_of(out, number) / TAKEN
    if not path.is_file():
        known = sorted(int(one.parent.name) for one in out.glob(f"candidates/*/{TAKEN}"))
        has = f"its candidates are {', '.join(map(str, known))}" if known else "it is no folder of a search"
        raise SnnkdError(f"--take {number}: not in {out}; {has}")
    return files.read_bytes(path).decode()
