"""The search for the best student under a budget (docs/search.md): spaces, candidates, trials, the front of the best.

search runs it; taken gives the recipe of one of its candidates.
"""

from __future__ import annotations

from pathlib import Path

from snnkd.base import lock, provenance
from snnkd.data import datasets
from snnkd.runs.pool import Pool
from snnkd.study import candidate, measures, space
from snnkd.study.found import Found, taken, to_csv
from snnkd.study.searching import Search
from snnkd.study.trials import Trials

__all__ = ["Found", "search", "taken", "to_csv"]


def search(
    name_or_path: str | Path,
    out: Path,
    trials: int,
    pool: Pool,
    storage: str | None = None,
    data_root: str | Path | None = None,
) -> Found:
    """Searches a space, shipped or in the user's own .toml, until there are so many trials in the folder `out`, trained
    by `pool`.

    Trials that are there already are not made again. storage: URL of a database, as SQLAlchemy takes it, a SQLite file
    in `out` where None. Raises SnnkdError for a space that cannot be used, MismatchError where `out` has trials of
    another one, LimitError where nothing keeps to the constraints or another process works in `out`.
    """
    import snnkd.training  # noqa: F401  (where torch is missing, that is said before anything is drawn)

    opened = space.load(name_or_path)
    first = candidate.check(opened)
    measures.check(opened.space, first)
    out.mkdir(parents=True, exist_ok=True)
    digest = provenance.digest([opened.data, first.to_dict()])
    with lock.held(out, "search"):
        known = Trials(storage or f"sqlite:///{out.absolute() / 'trials.db'}", opened.space, digest)
        return Search(opened, out, known, pool, datasets.root_folder(data_root).absolute()).run(trials)
