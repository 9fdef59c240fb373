"""Run folders: one for each training, found by name, by path, or as the newest finished one."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnkd import recipe as recipes
from snnkd.errors import FormatError, SnnkdError
from snnkd.files import atomic, write_json, write_text
from snnkd.recipe import Recipe

RUNS = Path("runs")


@dataclass(frozen=True)
class Run:
    """A run folder and the resolved recipe in it.

    recipe.toml and provenance.json are there from the start; checkpoints/, metrics.csv and events.* grow with the
    training; student.net and summary.json end it. verification.json and profile.json come from export and profile.
    """

    folder: Path
    recipe: Recipe

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def student(self) -> Path:
        return self.folder / "student.net"

    @property
    def summary(self) -> Path:
        """Written last: a run that has one is finished."""
        return self.folder / "summary.json"

    @property
    def reused(self) -> dict[str, str]:
        """Of the stages that were not trained here: the folder of the run that they were taken over from."""
        path = self.folder / "reused.json"
        return read_json(path) if path.exists() else {}

    @property
    def provenance(self) -> dict[str, Any]:
        return read_json(self.folder / "provenance.json")


def create(recipe: Recipe, provenance: dict[str, Any], runs: Path) -> Run:
    """A new folder runs/<recipe>-<number>, with the recipe and where it came from."""
    numbers = [_number(path, recipe.name) for path in runs.glob(f"{recipe.name}-*")]
    run = Run(runs / f"{recipe.name}-{max(numbers, default=0) + 1:03d}", recipe)
    write_text(run.folder / "recipe.toml", recipe.to_toml())
    write_json(run.folder / "provenance.json", provenance)
    return run


def resumable(recipe: Recipe, runs: Path) -> Run | None:
    """The newest folder in `runs` with the same recipe, finished or not."""
    for folder in sorted(runs.glob(f"{recipe.name}-*"), key=lambda path: _number(path, recipe.name), reverse=True):
        if (folder / "recipe.toml").is_file() and (folder / "recipe.toml").read_text() == recipe.to_toml():
            return Run(folder, recipe)
    return None


def find(name: str | Path | None, runs: Path) -> Run:
    """The finished run called `name` (or at that path); for None the newest finished one in `runs`.

    Raises SnnkdError that says where it looked and what there is.
    """
    if name is not None:
        folder = Path(name) if Path(name).is_dir() else runs / name
        if not (folder / "recipe.toml").is_file():
            raise SnnkdError(f"{name}: no run folder here or in {runs.absolute()}; known: {_known(runs)}")
        if not (folder / "summary.json").is_file():
            raise SnnkdError(
                f"{folder}: this run is not finished; go on with `snnkd train {folder}/recipe.toml --resume`"
            )
        return Run(folder, recipes.load(folder / "recipe.toml"))
    finished = sorted(runs.glob("*/summary.json"), key=lambda path: path.stat().st_mtime)
    if not finished:
        raise SnnkdError(f"no finished run in {runs.absolute()}: run `snnkd train` first, or name a run or a .net file")
    return find(finished[-1].parent, runs)


def note_reused(run: Run, found: dict[str, Path]) -> None:
    """reused.json: adds stages that were taken over, each with the folder of the run that it is from."""
    if found:
        write_json(run.folder / "reused.json", run.reused | {name: str(folder) for name, folder in found.items()})


def write_metrics(run: Run, rows: list[dict[str, Any]]) -> None:
    """metrics.csv: one row per stage and epoch; columns of all stages, empty where a stage has none."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with atomic(run.folder / "metrics.csv") as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def read_json(path: Path) -> Any:
    """Contents of a JSON file of a run. Raises FormatError that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(f"{path}: cannot be read ({error})") from error


def _number(folder: Path, name: str) -> int:
    digits = folder.name[len(name) + 1 :]
    return int(digits) if digits.isdigit() else 0


def _known(runs: Path) -> str:
    return ", ".join(sorted(path.parent.name for path in runs.glob("*/recipe.toml"))) or "none"
