"""Logits of a teacher in a file: its answers to each image of a data set, for a teacher that stays where it is."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snnkd.base import files
from snnkd.base.arrays import check
from snnkd.base.errors import DataError, FormatError
from snnkd.data.datasets import DataSet, Split


@dataclass(frozen=True, eq=False)
class Logits:
    """train, test: float32 (N, classes) of all images of a data set, in the order in which it is read, validation
    images at their place in train."""

    train: np.ndarray
    test: np.ndarray


def save_logits(path: str | Path, data: DataSet, train: np.ndarray, test: np.ndarray) -> None:
    """Writes `train` and `test`, (N, classes) as `Logits` has them, with the digest of the images that they are of.

    data: read with `datasets.load(name, validation=0)`, so that data.train has all its images in order. Raises
    FormatError for arrays that do not fit, SnnkdError where the file cannot be written.
    """
    path = Path(path)
    arrays = {name: np.asarray(value, np.float32) for name, value in (("train", train), ("test", test))}
    _check(path, arrays, data)
    with files.atomic(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, train=arrays["train"], test=arrays["test"], images=np.array(_digest(data)))


def read_logits(path: Path, data: DataSet) -> Logits:
    """Reads the logits of all images of `data`, however it is split. A file without the digest `images` is taken by the
    number of its rows alone.

    Raises FormatError that names the file and the array: what is expected, and what was found.
    """
    try:
        check(path)
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise FormatError(f"{path}: expected an .npz file with the arrays train and test, found a single array")
        with file:
            if not {"train", "test"} <= set(file.files):
                found = ", ".join(file.files) or "nothing"
                raise FormatError(f"{path}: expected the arrays train and test, found {found}")
            arrays = {name: file[name] for name in ("train", "test")}
            digest = str(file["images"]) if "images" in file.files else None
    except (OSError, EOFError, ValueError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise FormatError(
            f"{path}: not a readable .npz file: {error} (arrays of Python objects are refused)"
        ) from error
    _check(path, arrays, data)
    if digest not in (None, _digest(data)):
        raise FormatError(
            f"{path}: images: these are the logits of other images than those of '{data.name}', or in another order; "
            "make them again with snnkd.save_logits"
        )
    return Logits(*(arrays[name].astype(np.float32) for name in ("train", "test")))


def _check(path: Path, arrays: dict[str, np.ndarray], data: DataSet) -> None:
    for name, images in (("train", len(data.train) + len(data.validation)), ("test", len(data.test))):
        array, expected = arrays[name], (images, len(data.classes))
        if array.shape != expected or array.dtype.kind not in "fiu":
            raise FormatError(
                f"{path}: {name}: expected numbers {expected}, one row for each image of '{data.name}' in its "
                f"order and one column for each class, found {array.dtype} {array.shape}"
            )
        if not np.isfinite(array).all():
            row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
            raise FormatError(f"{path}: {name}: row {row} is not finite: {array[row]}")


def _digest(data: DataSet) -> str:
    """sha256 (hex) of all images, train with validation and then test, each in the order of the set."""
    sha256 = hashlib.sha256()
    for splits in ((data.train, data.validation), (data.test,)):
        images = _in_order(splits)
        sha256.update(f"{images.shape}\n".encode())
        sha256.update(np.ascontiguousarray(images).reshape(-1).data)
    return sha256.hexdigest()


def _in_order(splits: tuple[Split, ...]) -> np.ndarray:
    places = np.concatenate([split.places for split in splits if len(split)])
    if not np.array_equal(np.sort(places), np.arange(len(places))):
        raise DataError("these splits are not the whole data set; read it with datasets.load")
    return np.concatenate([split.pixels for split in splits if len(split)])[np.argsort(places)]
