"""The runs of a folder, each in a row."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from snnkd.base.errors import FormatError, SnnkdError, SnnkdWarning
from snnkd.base.files import read_json, read_toml


@dataclass(frozen=True)
class Listed:
    """A run. accuracy: of the deployed network on the test set; spikes: of all its neurons, mean per test image; None
    of a run that is not finished, spikes also of one of an snnkd that did not count them. date: when it was finished,
    or begun."""

    run: str
    recipe: str
    seed: int
    accuracy: float | None
    spikes: float | None
    date: str

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data."""
        return asdict(self)


def listed(folder: Path) -> list[Listed]:
    """Lists the runs in `folder`, the newest last; warns of one that cannot be read.

    Raises SnnkdError where there is no such folder.
    """
    if not folder.is_dir():
        raise SnnkdError(f"{folder.absolute()}: no such folder; `snnkd train` makes runs/ where it is called")
    rows = []
    for path in folder.glob("*/recipe.toml"):
        try:
            rows.append(row(path.parent))
        except SnnkdError as error:
            warnings.warn(f"passed over: {error}", SnnkdWarning, stacklevel=2)
    return sorted(rows, key=lambda row: (row.date, row.run))


def row(run: Path) -> Listed:
    """Reads what a list says of the run in a folder. Raises FormatError where a file of it is damaged."""
    recipe, end = read_toml(run / "recipe.toml"), run / "summary.json"
    summary: dict[str, Any] = read_json(end) if end.is_file() else {"accuracy": {"integer": None}}
    time = (end if end.is_file() else run / "recipe.toml").stat().st_mtime
    date = datetime.fromtimestamp(time).astimezone().isoformat(timespec="seconds")
    try:
        accuracy, spikes = summary["accuracy"]["integer"], summary.get("spikes")
        return Listed(str(run), str(recipe["name"]), int(recipe.get("seed", 1)), accuracy, spikes, date)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"{run}: recipe.toml or summary.json is not that of a run: {error}") from error
