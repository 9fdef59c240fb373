"""Runs side by side: what their recipes have otherwise, accuracies by pairs, spikes and energy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from snnkd.analysis import paired
from snnkd.base.errors import FormatError, LimitError
from snnkd.base.files import read_json
from snnkd.runs import answers
from snnkd.runs.folder import Run, find
from snnkd.runs.listing import Listed, row

Band = dict[str, float]  # low, typical, high


@dataclass(frozen=True)
class Field:
    """A field of the recipe that is not the same in all runs: its value in each run, None where it is not there."""

    field: str
    values: list[Any]


@dataclass(frozen=True)
class Pair:
    """Two runs on the same test images. first_right, second_right: images that only this run recognizes. difference:
    the second accuracy less the first, `interval` its 95 % interval, `p` that of McNemar's exact test.

    Where the images cannot be compared, `why` says so, and images, interval and p are None.
    """

    first: str
    second: str
    difference: float | None
    images: int | None = None
    first_right: int | None = None
    second_right: int | None = None
    interval: tuple[float, float] | None = None
    p: float | None = None
    why: str | None = None


@dataclass(frozen=True)
class BySeed:
    """Two recipes with several seeds each. first, second: runs in the order of `seeds`, those that both have.
    difference: mean of the second accuracies less the first, `interval` its 95 % interval by Student's t."""

    seeds: list[int]
    first: list[str]
    second: list[str]
    difference: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """runs: as they were named. recipe: fields that differ. pairs: each run and the first one, or those with the same
    seed where there are two recipes. by_seed: None unless two seeds have both recipes. energy: by target, dynamic, in
    uJ per inference, for each run, None where its profile.json has none. warnings: what is missing."""

    runs: list[Listed]
    recipe: list[Field]
    pairs: list[Pair]
    by_seed: BySeed | None
    energy: dict[str, list[Band | None]]
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        """Returns what `snnkd compare --json` prints."""
        return asdict(self)


def compare(names: Sequence[str | Path], folder: Path) -> Comparison:
    """Compares finished runs: folders, or names in `folder`.

    Raises LimitError for less than two different ones, SnnkdError where there is no such run or one is damaged.
    """
    found = [find(name, folder) for name in names]
    if len({run.folder.resolve() for run in found}) < max(2, len(found)):
        raise LimitError(f"{' '.join(map(str, names))}: expected two runs or more, each once; see `snnkd runs`")
    rows = [row(run.folder) for run in found]
    groups = _by_recipe(found)
    if len(groups) == 2 and (seeds := sorted(groups[0].keys() & groups[1].keys())):
        chosen = [(groups[0][seed], groups[1][seed]) for seed in seeds]
    else:
        seeds, chosen = [], [(0, other) for other in range(1, len(found))]
    energy, told = _energy(found)
    return Comparison(
        runs=rows,
        recipe=list(_differing([_fields(run) for run in found])),
        pairs=[_pair(found, rows, first, second) for first, second in chosen],
        by_seed=_of_seeds(rows, seeds, chosen) if len(seeds) > 1 else None,
        energy=energy,
        warnings=told,
    )


def _fields(run: Run) -> dict[str, Any]:
    """All fields of a recipe by their dotted names, but its description."""

    def flat(table: dict[str, Any], place: str) -> Iterator[tuple[str, Any]]:
        for key, value in table.items():
            if isinstance(value, dict):
                yield from flat(value, f"{place}{key}.")
            else:
                yield f"{place}{key}", value

    return {name: value for name, value in flat(run.recipe.to_dict(), "") if not name.endswith("description")}


def _differing(recipes: Sequence[dict[str, Any]]) -> Iterator[Field]:
    """The fields that differ. A network that only some have is told by the stages' names of it."""
    for name in dict.fromkeys(name for fields in recipes for name in fields):
        values = [fields.get(name) for fields in recipes]
        if any(value != values[0] for value in values) and not (name.startswith("networks.") and None in values):
            yield Field(name, values)


def _by_recipe(runs: Sequence[Run]) -> list[dict[int, int]]:
    """The runs whose recipes say the same but for the seed, by seed: places among `runs`."""
    groups: list[tuple[dict[str, Any], dict[int, int]]] = []
    for place, run in enumerate(runs):
        said = _fields(run)
        seed = said.pop("seed")
        group = next((places for fields, places in groups if fields == said), None)
        if group is None:
            groups.append((said, group := {}))
        group.setdefault(seed, place)
    return [places for _, places in groups]


def _pair(runs: Sequence[Run], rows: Sequence[Listed], first: int, second: int) -> Pair:
    names, change = (rows[first].run, rows[second].run), _change(rows[first], rows[second])
    if runs[first].recipe.data.set != runs[second].recipe.data.set:
        return Pair(*names, change, why="not the same data set")
    given = [answers.read(runs[place].folder) for place in (first, second)]
    missing = [name for name, found in zip(names, given, strict=True) if found is None]
    if missing:
        return Pair(*names, change, why=f"no {answers.NAME} in {', '.join(missing)}: made by an snnkd without it")
    one, other = (found for found in given if found is not None)
    if one.labels.shape != other.labels.shape or (one.labels != other.labels).any():
        return Pair(*names, change, why="not the same test images")
    alone = int((one.right & ~other.right).sum()), int((other.right & ~one.right).sum())
    images = len(one.labels)
    return Pair(*names, change, images, *alone, paired.difference(*alone, images), paired.mcnemar(*alone))


def _change(first: Listed, second: Listed) -> float | None:
    """The second accuracy less the first, None where one of them is not known."""
    if first.accuracy is None or second.accuracy is None:
        return None
    return second.accuracy - first.accuracy


def _of_seeds(rows: Sequence[Listed], seeds: list[int], pairs: Sequence[tuple[int, int]]) -> BySeed | None:
    changes = [change for a, b in pairs if (change := _change(rows[a], rows[b])) is not None]
    if len(changes) < len(pairs):
        return None
    middle, interval = paired.mean(changes)
    assert interval is not None, "two seeds at least"
    first, second = ([rows[pair[side]].run for pair in pairs] for side in (0, 1))
    return BySeed(seeds, first, second, middle, interval)


def _energy(runs: Sequence[Run]) -> tuple[dict[str, list[Band | None]], list[str]]:
    """Dynamic energy by target, from each run's profile.json, and which runs have none."""
    profiles: list[dict[str, Band]] = []
    told = []
    for run in runs:
        path = run.folder / "profile.json"
        if not path.is_file():
            told.append(f"{run.folder}: no energy, since it has no profile.json; `snnkd profile {run.folder}` makes it")
            profiles.append({})
            continue
        try:
            energy = read_json(path)["energy"]
            profiles.append({name: found["dynamic_uJ"] for name, found in energy.items() if found["dynamic_uJ"]})
        except (KeyError, TypeError, AttributeError) as error:
            raise FormatError(f"{path}: not the profile of a run: {error}") from error
    targets = dict.fromkeys(name for profile in profiles for name in profile)
    return {name: [profile.get(name) for profile in profiles] for name in targets}, told
