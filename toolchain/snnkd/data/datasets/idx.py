"""Reader of the IDX files of MNIST and its kin, as torchvision lays them out, unpacked or with .gz."""

from __future__ import annotations

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np

from snnkd.base.errors import DataError
from snnkd.data.datasets.splits import Contents, Split, check_labels

_MOST = 1 << 30  # bytes of a file that is unpacked
# Two zero bytes, the element type (8: uint8), the number of dimensions.
_MAGIC = {3: 0x00000803, 1: 0x00000801}
_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def missing(folder: Path) -> str | None:
    """Says what `folder` lacks, None where all four files are there."""
    names = [name for pair in _FILES.values() for name in pair]
    absent = [name for name in names if not any((folder / (name + end)).is_file() for end in ("", ".gz"))]
    return f"no {absent[0]} (or {absent[0]}.gz)" if absent else None


def read(folder: Path, classes: tuple[str, ...]) -> Contents:
    """Reads both splits from the four files in `folder`. Raises DataError that names the damaged file."""
    train, test = (_split(folder, *names, len(classes)) for names in _FILES.values())
    if train.images.shape[1:] != test.images.shape[1:]:
        raise DataError(
            f"{folder}: test images are {test.images.shape[2:]} pixels, training images {train.images.shape[2:]}"
        )
    return Contents(classes, train, test)


def _split(folder: Path, images_name: str, labels_name: str, classes: int) -> Split:
    path, images = _array(folder / images_name, 3)
    labels_path, labels = _array(folder / labels_name, 1)
    if len(images) != len(labels):
        raise DataError(f"{labels_path}: {len(labels)} labels for the {len(images)} images of {path.name}")
    return Split(images[:, None], check_labels(labels, classes, str(labels_path)))


def _array(path: Path, dimensions: int) -> tuple[Path, np.ndarray]:
    """The file that was read (`path` or `path`.gz) and its uint8 array of so many dimensions."""
    path, raw = _bytes(path)
    header = 4 * (1 + dimensions)
    if len(raw) < header:
        raise _damaged(path, f"{len(raw)} bytes, shorter than an IDX header of {header} bytes")
    magic, *shape = (int(word) for word in np.frombuffer(raw, dtype=">u4", count=1 + dimensions))
    if magic != _MAGIC[dimensions]:
        raise _damaged(
            path, f"expected magic 0x{_MAGIC[dimensions]:08x} (uint8, {dimensions} dimensions), found 0x{magic:08x}"
        )
    if min(shape) < 1:
        raise _damaged(path, f"its header announces the shape {tuple(shape)}: nothing in it")
    if len(raw) - header != prod(shape):
        raise _damaged(
            path,
            f"expected {prod(shape)} bytes after the header for shape {tuple(shape)}, found {len(raw) - header}",
        )
    return path, np.frombuffer(raw, dtype=np.uint8, offset=header).reshape(shape).copy()  # torch wants it writable


def _bytes(path: Path) -> tuple[Path, bytes]:
    packed = path.with_name(path.name + ".gz")
    try:
        if path.is_file():
            return path, path.read_bytes()
        path = packed
        with gzip.open(packed) as unpacked:
            raw = unpacked.read(_MOST + 1)
        if len(raw) > _MOST:
            raise _damaged(packed, f"unpacks to more than {_MOST:,} bytes")
        return packed, raw
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, f"cannot be read: {error}") from error


def _damaged(path: Path, what: str) -> DataError:
    return DataError(f"{path}: {what}; replace the file, or delete it and use --download")
