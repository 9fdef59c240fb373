"""Data sets of recordings: those that have names, and a user's own folder or file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from snnkd.base.errors import DataError
from snnkd.data.datasets.splits import Contents, Split
from snnkd.data.recordings.collection import Recordings, scanned
from snnkd.data.recordings.named import Listing, RecordingSet
from snnkd.ir.event_encoding import Sensor

SUFFIXES = (".npz",)


def read_named(known: RecordingSet, root: Path) -> Contents:
    """Lists the recordings of a set that has a name, below `root`."""
    return _contents(known.classes, known.lists(root, known.sensor), known.sensor)


def read_own(path: Path, sensor: Sensor) -> Contents:
    """Lists a user's own recordings, a folder or a file."""
    raise DataError(f"{path}: no")


def checked(contents: Contents, skip_damaged: bool) -> Contents:
    """Reads every recording once, see `collection.scanned`. Images are checked already."""
    train, test = (_checked(split, skip_damaged) for split in (contents.train, contents.test))
    return Contents(contents.classes, train, test)


def _checked(split: Split, skip_damaged: bool) -> Split:
    if not isinstance(split.images, Recordings):
        return split
    recordings, whole = scanned(split.images, skip_damaged)
    return Split(recordings, split.labels[whole])


def _contents(classes: tuple[str, ...], listing: Listing, sensor: Sensor) -> Contents:
    def split(part: str) -> Split:
        rows = listing[part]
        labels = np.array([label for _, label in rows], dtype=np.int64)
        return Split(Recordings(sensor, [source for source, _ in rows]), labels)

    return Contents(classes, split("train"), split("test"))
