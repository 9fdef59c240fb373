"""Trials of DVS128 Gesture: parts of one long AEDAT 3.1 file, as a CSV of their classes and times has them.

Amir et al., "A Low Power, Fully Event-Based Gesture Recognition System", CVPR 2017.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from snnkd.base.errors import DataError
from snnkd.data.recordings import aedat
from snnkd.data.recordings.collection import Source
from snnkd.data.recordings.recording import Recording
from snnkd.data.recordings.tree import Tree
from snnkd.ir.event_encoding import Sensor

CLASSES = 11
_COLUMNS = 3  # class from 1, start and end in microseconds of the camera's clock


@dataclass(frozen=True)
class Trial:
    """One trial in the file `name`, from `start` to before `end`."""

    tree: Tree
    name: str
    start: int
    end: int
    sensor: Sensor

    @property
    def where(self) -> str:
        """Names the file and the trial's start."""
        return f"{self.tree.where(self.name)}: trial from {self.start:,} us"

    @property
    def stamp(self) -> str:
        """Tells the file and its state."""
        return f"{self.tree.stamp(self.name)} {self.start} {self.end}"

    def read(self) -> Recording:
        """Reads it; raises as `Source.read` says."""
        return _stream(self.tree, self.name, self.tree.stamp(self.name), self.sensor).part(
            self.sensor, self.start, self.end
        )


@lru_cache(maxsize=2)  # the trials of a file follow each other
def _stream(tree: Tree, name: str, stamp: str, sensor: Sensor) -> aedat.Stream:
    return aedat.stream(tree.read(name), sensor)


def trials(tree: Tree, places: Mapping[str, str], file: str, sensor: Sensor) -> list[tuple[Source, int]]:
    """Lists the trials of one file and their classes, from 0.

    places: where each file of the set is in the tree, by name. Raises DataError where the file or its CSV is missing,
    and that names the line of the CSV that is no trial.
    """
    table = f"{file.removesuffix('.aedat')}_labels.csv"
    for needed in (file, table):
        if needed not in places:
            raise DataError(f"{tree.path}: no {needed}, which its lists of trials ask for")
    found: list[tuple[Source, int]] = []
    lines = tree.read(places[table]).decode("utf-8", "replace").splitlines()
    for number, line in enumerate(lines[1:], start=2):
        cells = [cell.strip() for cell in line.split(",")]
        if not line.strip():
            continue
        right = len(cells) == _COLUMNS and all(cell.isdecimal() and len(cell) < 19 for cell in cells)
        values = [int(cell) for cell in cells] if right else [0, 0, 0]
        if not 1 <= values[0] <= CLASSES or values[1] >= values[2]:
            raise DataError(
                f"{tree.where(places[table])}: line {number}: expected a class from 1 to {CLASSES}, a start and an "
                f"end in microseconds, found {line[:80]!r}"
            )
        found.append((Trial(tree, places[file], values[1], values[2], sensor), values[0] - 1))
    return found
