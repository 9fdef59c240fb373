"""Run folders: one for each training, found by name, by path, or as the newest finished one."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnkd import recipe as recipes
from snnkd.base import schema
from snnkd.base.errors import Note, SnnkdError, SnnkdWarning
from snnkd.base.files import atomic, read_json, to_json, write_listed
from snnkd.recipe import Recipe

RUNS = Path("runs")


@dataclass(frozen=True)
class Run:
    """A run folder and the resolved recipe in it.

    recipe.toml and provenance.json are there from the start; checkpoints/, metrics.csv and events.* grow with the
    training; student.net and summary.json end it. verification.json and profile.json come from export and profile.
    SHA256SUMS has the digests of what `write` wrote: such a file is refused where it was damaged. Checkpoints have
    theirs within.
    """

    folder: Path
    recipe: Recipe

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def student(self) -> Path:
        return self.folder / "student.net"

    def stage_net(self, stage: str) -> Path:
        """Where the integer network of a trained stage before the student is."""
        return self.folder / f"stage-{stage}.net"

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

    @property
    def inputs(self) -> list[Path]:
        """Files that commands read and never write: those of the run, but for products, and those its recipe names."""
        own = [
            self.folder / name
            for name in ("recipe.toml", "provenance.json", "student.net", "answers.csv", "summary.json")
        ]
        named = (path for stage in self.recipe.chain.values() for path in stage.files)
        return [*own, *self.folder.glob("stage-*.net"), *self.checkpoints.glob("*"), *named]

    def check_there(self) -> None:
        """Raises SnnkdError where the folder was deleted or moved: it would be made anew, without what was in it."""
        if not (self.folder / "recipe.toml").is_file():
            raise SnnkdError(
                f"{self.folder}: was deleted or moved while a command worked in it; put it back and go on with "
                "--resume, or start again"
            )

    def write(self, name: str, data: bytes | str) -> None:
        """Writes the file `name` of the run, whole or not at all, and its digest. Raises SnnkdError as
        `check_there`."""
        if name != "recipe.toml":  # the first of all
            self.check_there()
        write_listed(self.folder / name, data.encode() if isinstance(data, str) else data)


def create(recipe: Recipe, provenance: dict[str, Any], runs: Path) -> Run:
    """Makes a new folder runs/<recipe>-<number>, which no other process gets, with the recipe and its provenance."""
    number = max((_number(path, recipe.name) for path in runs.glob(f"{recipe.name}-*")), default=0)
    while True:
        number += 1
        run = Run(runs / f"{recipe.name}-{number:03d}", recipe)
        try:
            run.folder.mkdir(parents=True)
            break
        except FileExistsError:  # of a training that started at the same moment
            continue
        except OSError as error:
            raise SnnkdError(f"{run.folder}: cannot be made: {error.strerror}; choose another folder") from error
    run.write("recipe.toml", recipe.to_toml())
    run.write("provenance.json", to_json(provenance))
    return run


def resumable(recipe: Recipe, runs: Path) -> Run | None:
    """Finds the newest folder in `runs` whose recipe says the same, finished or not; tells what it passed over."""
    different: list[str] = []
    for folder in sorted(runs.glob(f"{recipe.name}-*"), key=lambda path: _number(path, recipe.name), reverse=True):
        if not (folder / "recipe.toml").is_file():
            continue
        try:
            theirs = recipes.load(folder / "recipe.toml")
        except SnnkdError as error:
            warnings.warn(f"--resume passes over a run that cannot be read: {error}", SnnkdWarning, stacklevel=2)
            continue
        if theirs.name != recipe.name:  # 'digits-deep-001' is no run of 'digits'
            continue
        changes = list(_changes(meant(theirs), meant(recipe)))
        if not changes:
            return Run(folder, recipe)
        different.append(f"{folder.name} has {changes[0]}" + (f" and {len(changes) - 1} more" if changes[1:] else ""))
    told = f"; of this recipe's name: {'; '.join(different[:3])}" if different else f"; none has the name {recipe.name}"
    warnings.warn(f"--resume: no run in {runs.absolute()} says what this recipe says{told}. A new run starts", Note, 2)
    return None


def meant(recipe: Recipe) -> dict[str, Any]:
    """Returns what a recipe says, as plain data: all but its description, and the order of its stages."""
    said = {key: value for key, value in recipe.to_dict().items() if key != "description"}
    return {**said, "order of the chain": list(recipe.chain)}


def _changes(theirs: Any, ours: Any, place: str = "") -> Iterator[str]:
    """What differs between two recipes' data, one text for each field: 'seed = 1 in place of 2'."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in [*theirs, *(key for key in ours if key not in theirs)]:
            yield from _changes(theirs.get(key), ours.get(key), f"{place}.{key}".removeprefix("."))
    elif theirs != ours and theirs and ours and place.endswith("sha256"):
        yield f"{place}: it was trained with another file, which has changed since or was another one"
    elif theirs != ours:
        there, here = ("nothing" if value is None else schema.shown(value) for value in (theirs, ours))
        yield f"{place} = {there} in place of {here}"


def find(name: str | Path | None, runs: Path) -> Run:
    """Finds the finished run called `name` (or at that path); for None the newest finished one in `runs`.

    Raises SnnkdError that says where it looked and what there is.
    """
    if name is not None:
        folder = Path(name) if Path(name).is_dir() else runs / name
        if not (folder / "recipe.toml").is_file():
            raise SnnkdError(f"{name}: {_absent(Path(name), runs)}")
        if not (folder / "summary.json").is_file():
            raise SnnkdError(
                f"{folder}: this run is not finished; go on with `snnkd train {folder}/recipe.toml --resume`"
            )
        return Run(folder, recipes.load(folder / "recipe.toml"))
    finished = sorted(runs.glob("*/summary.json"), key=lambda path: path.stat().st_mtime)
    if not finished:
        raise SnnkdError(f"no finished run in {runs.absolute()}: run `snnkd train` first, or name a run or a .net file")
    return find(finished[-1].parent, runs)


def note_reused(run: Run, origins: dict[str, Path]) -> None:
    """Adds to reused.json stages that were taken over, each with the folder of the run that it is from."""
    if origins:
        run.write("reused.json", to_json(run.reused | {name: str(folder) for name, folder in origins.items()}))


def write_metrics(run: Run, rows: list[dict[str, Any]]) -> None:
    """Writes metrics.csv: one row per stage and epoch; columns of all stages, empty where a stage has none.

    Raises SnnkdError as `Run.check_there`.
    """
    run.check_there()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with atomic(run.folder / "metrics.csv") as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def _number(folder: Path, name: str) -> int:
    digits = folder.name[len(name) + 1 :]
    return int(digits) if digits.isdigit() else 0


def _absent(path: Path, runs: Path) -> str:
    """Why there is no run at `path`, nor one of that name in `runs`."""
    known = f"known in {runs.absolute()}: {_known(runs)}"
    if path.is_file():
        return f"is a file, and this takes a run folder or its name; {known}"
    if path.is_dir():
        below = sorted(inner.parent.name for inner in path.glob("*/recipe.toml"))
        if below:
            return f"holds run folders: name one of them, {path / below[-1]}, or give --runs {path} and its name"
        return f"is a folder without recipe.toml, no run folder; {known}"
    if path.suffix:
        return f"no such file; known runs in {runs.absolute()}: {_known(runs)}"
    return f"no run folder here or in {runs.absolute()}; known: {_known(runs)}"


def _known(runs: Path) -> str:
    return ", ".join(sorted(path.parent.name for path in runs.glob("*/recipe.toml"))) or "none"
