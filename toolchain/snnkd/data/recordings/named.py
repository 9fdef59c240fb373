"""Data sets of recordings that have names, each in the layouts in which it is distributed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from snnkd.base.errors import DataError
from snnkd.data.recordings import atis
from snnkd.data.recordings.collection import FileSource, Source
from snnkd.data.recordings.tree import Tree
from snnkd.ir.event_encoding import Sensor

Listing = dict[str, list[tuple[Source, int]]]  # by split, 'train' and 'test': recordings and their classes

_NMNIST = re.compile(r"(?:^|/)(train|test)/(\d)/[^/]+\.bin$", re.IGNORECASE)


def nmnist(root: Path, sensor: Sensor) -> Listing:
    """Lists N-MNIST below `root`: folders Train/ and Test/ with one folder for each digit, in the root itself, in a
    folder or zip whose name has 'n-mnist' or 'nmnist' in it, or in Train.zip and Test.zip."""
    found: Listing = {"train": [], "test": []}
    for tree in _trees(root, r"n-?mnist.*|train|test"):
        prefix = f"{tree.path.stem}/" if tree.path.stem.lower() in found else ""
        for name in tree.names:
            match = _NMNIST.search(name if name.lower().startswith(prefix.lower()) else prefix + name)
            if match:
                source = FileSource(tree, name, atis.decode, sensor)
                found[match[1].lower()].append((source, int(match[2])))
    return found


def _trees(root: Path, pattern: str) -> list[Tree]:
    """The folders and zips right below `root` whose names, without .zip, match `pattern`; in sorted order, and of a
    folder and a zip of the same name the folder alone."""
    if not root.is_dir():
        return []
    named = re.compile(pattern, re.IGNORECASE)
    trees: dict[str, Tree] = {}
    for path in sorted(root.iterdir(), key=lambda path: (path.suffix.lower() == ".zip", path.name)):
        name = path.stem if path.suffix.lower() == ".zip" else path.name
        if named.fullmatch(name) and (path.is_dir() or path.suffix.lower() == ".zip"):
            trees.setdefault(name.lower(), Tree(path))
    return list(trees.values())


@dataclass(frozen=True)
class RecordingSet:
    """A data set of recordings that has a name.

    title: for people. sensor: (H, W). classes: their names. lists: finds its recordings below a folder. layout: what is
    looked for there, in words.
    """

    title: str
    sensor: Sensor
    classes: tuple[str, ...]
    lists: Callable[[Path, Sensor], Listing]
    layout: str

    def missing(self, root: Path) -> str | None:
        """Says what `root` lacks, None where both splits are there."""
        try:
            listing = self.lists(root, self.sensor)
        except DataError as error:
            return str(error)
        absent = [part for part, rows in listing.items() if not rows]
        return f"no {absent[0]} recordings; expected {self.layout}" if absent else None


SETS = {
    "nmnist": RecordingSet(
        "N-MNIST, recordings of MNIST by an event camera, 34x34, 60,000 + 10,000",
        (34, 34),
        tuple("0123456789"),
        nmnist,
        "Train/<digit>/*.bin and Test/<digit>/*.bin, or a zip of them",
    ),
}
