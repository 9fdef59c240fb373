"""Targets by name or path: a folder with `target.toml` (limits) and, where costs are known, `costs.toml`; see
`docs/add_a_target.md`."""

from __future__ import annotations

from pathlib import Path

from snnkd.base import files
from snnkd.targets.target import Target


def available() -> list[Target]:
    """Returns the targets that snnkd comes with, by name."""
    return [load(name) for name in _known()]


def load(name: str | Path) -> Target:
    """Reads the shipped target called `name`, or the user's own: a folder with `target.toml`, or a single TOML file.

    Costs are in the `[costs]` table of that file or in `costs.toml` beside a `target.toml`. Raises SnnkdError where
    there is no such target, FormatError that lists all that is wrong with its files: file, field, what was expected
    and what was found.
    """
    from snnkd.targets import tables  # loads pydantic, which most commands need not wait for

    known = _known()
    path = Path(name)
    own_folder = str(name) not in known and path.is_dir()
    path = files.find(path / "target.toml" if own_folder else name, known, "target")
    data = files.read_toml(path)
    costs_path = path.with_name("costs.toml")
    if path.name == "target.toml" and costs_path.is_file():
        return tables.folder(path, data, costs_path, files.read_toml(costs_path))
    return tables.single(path, data)


def _known() -> dict[str, Path]:
    return files.names("hw_targets", "*/target.toml")
