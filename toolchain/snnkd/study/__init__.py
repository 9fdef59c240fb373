"""The search for the best student under a budget (docs/search.md): spaces, candidates, trials, the front of the best.

search runs it; taken gives the recipe of one of its candidates.
"""

from __future__ import annotations

from pathlib import Path

from snnkd.base import files, lock, provenance
from snnkd.base.errors import SnnkdError
from snnkd.data import datasets
from snnkd.runs.pool import Pool
from snnkd.study import candidate, measures, space
from snnkd.study.found import Found, to_csv
from snnkd.study.searching import TAKEN, Search, folder
from snnkd.study.trials import Trials

__all__ = ["Found", "search", "taken", "to_csv"]


def search(
    path: Path, out: Path, trials: int, pool: Pool, storage: str | None = None, data_root: str | Path | None = None
) -> Found:
    """Searches the space in the file `path` until there are so many trials in the folder `out`, trained by `pool`.

    Trials that are there already are not made again. storage: URL of a database, as SQLAlchemy takes it, a SQLite file
    in `out` where None. Raises SnnkdError for a space that cannot be used, MismatchError where `out` has trials of
    another one, LimitError where nothing keeps to the constraints or another process works in `out`.
    """
    opened = space.load(path)
    first = candidate.check(opened)
    measures.check(opened.space, first)
    out.mkdir(parents=True, exist_ok=True)
    digest = provenance.digest([opened.data, first.to_dict()])
    with lock.held(out, "search"):
        known = Trials(storage or f"sqlite:///{out.absolute() / 'trials.db'}", opened.space, digest)
        return Search(opened, out, known, pool, datasets.root_folder(data_root).absolute()).run(trials)


def taken(out: Path, number: int) -> str:
    """Returns the recipe of a candidate of the search in `out`, as TOML. Raises SnnkdError where it has no such one."""
    path = folder(out, number) / TAKEN
    if not path.is_file():
        known = sorted(int(one.parent.name) for one in out.glob(f"candidates/*/{TAKEN}"))
        raise SnnkdError(f"--take {number}: {out} has no such candidate; {_listed(known)}")
    return files.read_bytes(path).decode()


def _listed(known: list[int]) -> str:
    return f"it has {', '.join(map(str, known))}" if known else "it is no folder of a search"
