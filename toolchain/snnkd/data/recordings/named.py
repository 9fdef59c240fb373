"""Data sets of recordings that have names, each in the layouts in which it is distributed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from snnkd.base.errors import DataError
from snnkd.data.recordings import aedat, atis, gestures, spike_lists
from snnkd.data.recordings.collection import FileSource, Source
from snnkd.data.recordings.tree import Tree
from snnkd.ir.event_encoding import Sensor

Listing = dict[str, list[tuple[Source, int]]]  # by split, 'train' and 'test': recordings and their classes

_OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR10_DVS = re.compile(r"(?:^|/)cifar10_([a-z]+)_(\d+)\.aedat$")
_CIFAR10_DVS_TEST = 100  # of each class
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


def cifar10_dvs(root: Path, sensor: Sensor) -> Listing:
    """Lists CIFAR10-DVS below `root`: folders or zips of the classes, in the root itself or in a folder whose name is
    like cifar10-dvs. The set has no split of its own: numbers 0 to 99 of each class are the test set, as Duan et al.,
    "Temporal Effective Batch Normalization in Spiking Neural Networks", 2022, have it."""
    found: Listing = {"train": [], "test": []}
    roots = [root, *(tree.path for tree in _trees(root, r"cifar-?10-?dvs") if not tree.zipped)]
    for tree in (tree for folder in roots for tree in _trees(folder, "|".join(_OBJECTS))):
        for name in tree.names:
            match = _CIFAR10_DVS.search(name)
            if match:
                part = "test" if int(match[2]) < _CIFAR10_DVS_TEST else "train"
                found[part].append((FileSource(tree, name, aedat.decode, sensor), _OBJECTS.index(match[1])))
    return found


def dvs_gesture(root: Path, sensor: Sensor) -> Listing:
    """Lists DVS128 Gesture in a folder or zip below `root` whose name is like DvsGesture, or in the root itself: trials
    as user01_led_labels.csv has them of user01_led.aedat, split by users as in trials_to_train.txt and
    trials_to_test.txt."""
    found: Listing = {"train": [], "test": []}
    own = [Tree(root)] if (root / "trials_to_train.txt").is_file() else []
    for tree in [*own, *_trees(root, r"dvs(128)?[-_ ]?gestures?")]:
        places = {Path(name).name: name for name in tree.names}
        for part in found:
            listed = places.get(f"trials_to_{part}.txt")
            lines = tree.read(listed).decode("utf-8", "replace").split() if listed else []
            for line in lines:
                found[part] += gestures.trials(tree, places, line, sensor)
    return found


def shd(root: Path, sensor: Sensor) -> Listing:
    """Lists the Spiking Heidelberg Digits: shd_train.h5 and shd_test.h5."""
    return _spike_lists(root, sensor, {"train": ("shd_train",), "test": ("shd_test",)})


def ssc(root: Path, sensor: Sensor) -> Listing:
    """Lists the Spiking Speech Commands: ssc_train.h5, ssc_valid.h5, which is trained on too, and ssc_test.h5."""
    return _spike_lists(root, sensor, {"train": ("ssc_train", "ssc_valid"), "test": ("ssc_test",)})


def _spike_lists(root: Path, sensor: Sensor, files: dict[str, tuple[str, ...]]) -> Listing:
    folders = [root, *(root / name for name in ("SHD", "SSC", "hsd"))]
    found: Listing = {}
    for part, names in files.items():
        found[part] = []
        for name in names:
            places = (folder / f"{name}.h5{end}" for folder in folders for end in ("", ".zip", ".gz"))
            place = next((place for place in places if place.is_file()), None)
            found[part] += [] if place is None else spike_lists.listed(place, sensor)
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


_SPOKEN = tuple(f"{language} {digit}" for language in ("English", "German") for digit in range(10))
_GESTURES = (
    *("hand clapping", "right hand wave", "left hand wave", "right arm clockwise", "right arm counter-clockwise"),
    *("left arm clockwise", "left arm counter-clockwise", "arm roll", "air drums", "air guitar", "other gestures"),
)

SETS = {
    "nmnist": RecordingSet(
        "N-MNIST, recordings of MNIST by an event camera, 34x34, 60,000 + 10,000",
        (34, 34),
        tuple("0123456789"),
        nmnist,
        "Train/<digit>/*.bin and Test/<digit>/*.bin, or a zip of them",
    ),
    "dvs-gesture": RecordingSet(
        "DVS128 Gesture, 11 gestures before an event camera, 128x128",
        (128, 128),
        _GESTURES,
        dvs_gesture,
        "DvsGesture/ with trials_to_train.txt, trials_to_test.txt, *.aedat and *_labels.csv (unpack the .tar.gz)",
    ),
    "cifar10-dvs": RecordingSet(
        "CIFAR10-DVS, recordings of CIFAR-10 by an event camera, 128x128, 9,000 + 1,000",
        (128, 128),
        _OBJECTS,
        cifar10_dvs,
        "<class>/cifar10_<class>_<number>.aedat, or <class>.zip",
    ),
    "shd": RecordingSet(
        "Spiking Heidelberg Digits, spoken digits by a cochlea of 700 channels, 8,156 + 2,264",
        (1, 700),
        _SPOKEN,
        shd,
        "shd_train.h5 and shd_test.h5, or .zip or .gz of them",
    ),
    "ssc": RecordingSet(
        "Spiking Speech Commands, 35 words by a cochlea of 700 channels, 85,284 + 20,382",
        (1, 700),
        tuple(str(number) for number in range(35)),
        ssc,
        "ssc_train.h5, ssc_valid.h5 and ssc_test.h5, or .zip or .gz of them",
    ),
}
