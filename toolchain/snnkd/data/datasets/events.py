"""Data sets of recordings: those that have names, and a user's own folder or file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from snnkd.base.errors import DataError
from snnkd.data.datasets.origins import ORIGINS
from snnkd.data.datasets.splits import TEST_SEED, Contents, Split, check_labels, stratified
from snnkd.data.recordings import FORMATS, arrays, spike_lists
from snnkd.data.recordings.collection import FileSource, Recordings, Source, scanned
from snnkd.data.recordings.named import SETS, Listing
from snnkd.data.recordings.recording import Damaged, Recording
from snnkd.data.recordings.tree import Tree, stamp_of
from snnkd.ir.event_encoding import Sensor

SUFFIXES = (".npz", ".h5")  # of a file that holds a whole set


def read_named(name: str, root: Path) -> Contents:
    """Lists the recordings of the set of that name, below `root`; with their origins where these are known."""
    known = SETS[name]
    listing = known.lists(root, known.sensor)
    contents = _contents(root, known.classes, listing, known.sensor)
    if name not in ORIGINS:
        return contents
    train, test = (
        replace(split, origins=_origins(name, part, listing))
        for part, split in (("train", contents.train), ("test", contents.test))
    )
    return Contents(contents.classes, train, test)


def _origins(name: str, part: str, listing: Listing) -> np.ndarray | None:
    sources = [source for source, _ in listing[part]]
    files = [source.name for source in sources if isinstance(source, FileSource)]
    if len(files) < len(sources) or not all(PurePosixPath(file).stem.isdecimal() for file in files):
        return None
    return np.array([ORIGINS[name].place(part, file) for file in files], dtype=np.int64)


def read_own(path: Path, sensor: Sensor) -> Contents:
    """Lists a user's own recordings: a folder train/<class>/ and test/<class>/, an .npz or an .h5, see docs/data.md.

    Raises DataError that names the file or folder that is not laid out so.
    """
    if path.is_dir():
        return _folder(path, sensor)
    listing = {"train": spike_lists.listed(path, sensor)} if path.suffix == ".h5" else _npz(path, sensor)
    labels = np.array([label for _, label in listing["train"]], dtype=np.int64)
    classes = tuple(str(number) for number in range(int(labels.max(initial=0)) + 1))
    if len(classes) > max(1, len(labels)):
        raise DataError(f"{path}: label {len(classes) - 1} among {len(labels)}: expected 0, 1, 2, ... for classes")
    if "test" not in listing:
        check_labels(labels, len(classes), str(path))
        chosen = stratified(labels, len(labels) // 5, TEST_SEED)
        rows = listing["train"]
        listing = {
            part: [row for row, taken in zip(rows, chosen, strict=True) if taken == (part == "test")]
            for part in ("train", "test")
        }
    return _contents(path, classes, listing, sensor)


def checked(contents: Contents, skip_damaged: bool) -> Contents:
    """Reads every recording once, see `collection.scanned`. Images are checked already."""
    train, test = (_checked(split, skip_damaged) for split in (contents.train, contents.test))
    return Contents(contents.classes, train, test)


def _checked(split: Split, skip_damaged: bool) -> Split:
    if not isinstance(split.images, Recordings):
        return split
    recordings, whole = scanned(split.images, skip_damaged)
    return Split(recordings, split.labels[whole], origins=None if split.origins is None else split.origins[whole])


def _contents(path: Path, classes: tuple[str, ...], listing: Listing, sensor: Sensor) -> Contents:
    def split(part: str) -> Split:
        rows = listing[part]
        if not rows:
            raise DataError(f"{path}: no {part} recordings")
        labels = np.array([label for _, label in rows], dtype=np.int64)
        return Split(
            Recordings(sensor, [source for source, _ in rows]),
            check_labels(labels, len(classes), f"{path}: {part} recordings"),
        )

    return Contents(classes, split("train"), split("test"))


def _folder(path: Path, sensor: Sensor) -> Contents:
    """Classes are the sorted names of the folders in train/; files of other kinds are passed over."""
    tree = Tree(path)
    named: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}
    for name in tree.names:
        part, *inner = PurePosixPath(name).parts
        if part in named and len(inner) == 2 and PurePosixPath(name).suffix in (*FORMATS, ".h5"):
            named[part].append((inner[0], name))
    classes = tuple(sorted({label for label, _ in named["train"]}))
    listing: Listing = {"train": [], "test": []}
    for part, rows in named.items():
        for label, name in rows:
            if label not in classes:
                raise DataError(f"{path / part / label}: no such class in {path / 'train'}")
            number, suffix = classes.index(label), PurePosixPath(name).suffix
            if suffix == ".h5":
                listing[part] += [(source, number) for source, _ in spike_lists.listed(path / name, sensor)]
            else:
                listing[part].append((FileSource(tree, name, FORMATS[suffix], sensor), number))
    return _contents(path, classes, listing, sensor)


@dataclass(frozen=True, eq=False)
class _Part:
    """The events from `start` to `end` of arrays in memory."""

    path: Path
    columns: dict[str, np.ndarray]
    start: int
    end: int
    sensor: Sensor

    @property
    def where(self) -> str:
        return f"{self.path}: events {self.start:,} to {self.end:,}"

    @property
    def stamp(self) -> str:
        return f"{stamp_of(self.path)} {self.start} {self.end}"

    def read(self) -> Recording:
        return arrays.of_columns(
            {key: values[self.start : self.end] for key, values in self.columns.items()}, self.sensor
        )


def _npz(path: Path, sensor: Sensor) -> Listing:
    """Arrays t, x, y, p of all recordings one after the other, ends (N,) and labels (N,); with _test at the end of
    their names for a test set."""
    try:
        given = arrays.columns(path.read_bytes())
    except (OSError, Damaged) as error:
        raise DataError(f"{path}: {error}") from error
    listing: Listing = {}
    for part, end in (("train", ""), ("test", "_test")):
        if part == "test" and not any(key.endswith(end) for key in given):
            continue
        columns = {key: given[key + end] for key in arrays.KEYS if key + end in given}
        ends, labels = (given.get(key + end, np.zeros((0, 0))) for key in ("ends", "labels"))
        if any(values.ndim != 1 or values.dtype.kind not in "iu" for values in (ends, labels)):
            raise DataError(f"{path}: ends{end}, labels{end}: expected integers (N,), the end and the class of each")
        if len(ends) != len(labels) or not len(ends) or (np.diff(ends.astype(np.int64), prepend=0) < 0).any():
            raise DataError(f"{path}: ends{end}: expected {len(labels)} ends that rise, found {len(ends)}")
        if any(values.ndim != 1 or len(values) != ends[-1] for values in columns.values()):
            raise DataError(f"{path}: {', '.join(columns)}: expected {ends[-1]:,} events each, as ends{end} says")
        starts = [0, *ends[:-1].tolist()]
        sources: list[Source] = [
            _Part(path, columns, start, stop, sensor) for start, stop in zip(starts, ends.tolist(), strict=True)
        ]
        listing[part] = list(zip(sources, labels.tolist(), strict=True))
    return listing
