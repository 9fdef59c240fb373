"""Data sets: digits (embedded), MNIST, Fashion-MNIST, CIFAR-10, image folders and .npz files; recordings of events.

`docs/data.md` says where each is looked for and how to lay out one's own.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from snnkd.base import packages
from snnkd.base.errors import DataError
from snnkd.data.datasets import arrays, cifar, events, folder, idx
from snnkd.data.datasets.download import download as _download
from snnkd.data.datasets.splits import Contents, DataSet, Split, assemble, stratified
from snnkd.data.recordings import named as recordings
from snnkd.ir.event_encoding import Sensor

__all__ = ["SOURCES", "DataSet", "Source", "Split", "load", "root_folder", "stratified"]

_DIGITS = tuple("0123456789")
_FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Source:
    """A data set that has a name.

    title: for people. place: folder below the root, None where no file is read. missing(folder) says what the folder
    lacks, or None. read(folder) reads it. torchvision: the class that can download it, None for none. needs: modules
    beyond the core's, as `base.packages` names them.
    """

    title: str
    read: Callable[[Path], Contents]
    place: str | None = None
    missing: Callable[[Path], str | None] = lambda folder: None
    torchvision: str | None = None
    needs: tuple[str, ...] = ()


def _read_digits(_: Path) -> Contents:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = (np.asarray(array) for array in load_digits(return_X_y=True))
    images = np.rint(pixels * 255 / 16).astype(np.uint8).reshape(-1, 1, 8, 8)
    whole = Split(images, labels.astype(np.int64))
    train, test = train_test_split(np.arange(len(whole)), test_size=360, random_state=0, stratify=labels)
    return Contents(_DIGITS, whole.take(np.asarray(train)), whole.take(np.asarray(test)))


SOURCES: dict[str, Source] = {
    "digits": Source(
        "scikit-learn's handwritten digits, 8x8 grey, 1,437 + 360, embedded", _read_digits, needs=("sklearn",)
    ),
    "mnist": Source(
        "MNIST handwritten digits, 28x28 grey, 60,000 + 10,000",
        partial(idx.read, classes=_DIGITS),
        "MNIST/raw",
        idx.missing,
        "MNIST",
    ),
    "fashion-mnist": Source(
        "Fashion-MNIST, 28x28 grey, 60,000 + 10,000",
        partial(idx.read, classes=_FASHION),
        "FashionMNIST/raw",
        idx.missing,
        "FashionMNIST",
    ),
    "cifar10": Source(
        "CIFAR-10, 32x32 RGB, 50,000 + 10,000", partial(cifar.read, classes=_CIFAR10), ".", cifar.missing, "CIFAR10"
    ),
    "folder": Source(
        "the root itself, as an image folder with train/ and test/", folder.read, ".", folder.missing, needs=("PIL",)
    ),
    **{
        name: Source(known.title, partial(events.read_named, name), ".", known.missing)
        for name, known in recordings.SETS.items()
    },
}


def root_folder(root: Path | str | None = None) -> Path:
    """Returns the folder that named data sets are looked for in: `root`, else the variable SNNKD_DATA, else ./data."""
    return Path(root or os.environ.get("SNNKD_DATA") or "data").expanduser()


def load(
    name: str | Path,
    *,
    root: Path | None = None,
    validation: int | float = 0.1,
    seed: int = 0,
    download: bool = False,
    sensor: Sensor | None = None,
    skip_damaged: bool = False,
) -> DataSet:
    """Reads a data set and takes a validation split out of its training images.

    name: one of SOURCES, or the path of an image folder or of an .npz file, as it is or below the root. root: see
    `root_folder`. validation: number of images (int) or fraction (float), stratified and drawn by `seed`; the test
    split depends on neither. download: fetch a missing one with torchvision. sensor: (H, W), makes a path one of
    recordings. skip_damaged: leave damaged recordings out, with a warning that counts them.

    Raises DataError where the data is missing (with the folder that was looked in) or damaged (with the file),
    RecipeError for an impossible `validation`.
    """
    base = root_folder(root)
    if isinstance(name, str) and name in SOURCES:
        contents = events.checked(_named(name, base, download), skip_damaged)
        return assemble(name, contents, validation, seed)
    path = _own(Path(name).expanduser(), base, sensor is not None)
    if sensor is not None:
        contents = events.checked(events.read_own(path, sensor), skip_damaged)
    else:
        contents = arrays.read(path) if path.is_file() else folder.read(path)
    return assemble(path.stem if path.is_file() else path.resolve().name, contents, validation, seed)


def _named(name: str, base: Path, download: bool) -> Contents:
    source = SOURCES[name]
    place = base / (source.place or ".")
    packages.require(f"data set {name}", *source.needs)
    if download and source.torchvision and source.missing(place):
        _download(name, source.torchvision, base)
    lack = source.missing(place)
    if lack:
        raise DataError(_absent(name, source, place, lack))
    return source.read(place)


def _absent(name: str, source: Source, place: Path, lack: str) -> str:
    download = ", or add --download" if source.torchvision else ""
    return (
        f"{name}: {lack} in {place.absolute()}: say where the data is with --data-root DIR or the variable "
        f"SNNKD_DATA{download}"
    )


def _own(path: Path, base: Path, recorded: bool) -> Path:
    """The user's own file or folder, of images or of recordings, at `path` or below `base`."""
    suffixes = events.SUFFIXES if recorded else (".npz",)
    for candidate in (path, base / path):
        if candidate.is_file() and candidate.suffix not in suffixes:
            known = "an .npz or .h5 file or a folder of recordings" if recorded else "an .npz file or an image folder"
            raise DataError(f"{candidate}: expected {known}")
        if candidate.is_file():
            return candidate
        if candidate.is_dir():
            lack = folder.missing(candidate)
            if lack:
                raise DataError(f"{candidate}: {lack}; expected train/<class>/ and test/<class>/")
            return candidate
    close = difflib.get_close_matches(str(path), SOURCES, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise DataError(
        f"no data set is called '{path}': {hint}known: {', '.join(SOURCES)}, or the path of an .npz file or of an "
        f"image folder (looked in {Path.cwd()} and {base.absolute()}; choose the latter with --data-root DIR or the "
        "variable SNNKD_DATA)"
    )
