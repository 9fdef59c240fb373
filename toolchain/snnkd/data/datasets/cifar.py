"""Reader of CIFAR-10 as published: the Python batches, pickles known by their checksums, or the binary ones."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from snnkd.base.errors import DataError
from snnkd.data.datasets.splits import Contents, Split, check_labels

_SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32
_PICKLES = "cifar-10-batches-py"
_BINARY = "cifar-10-batches-bin"
# MD5 of the published Python batches, the same as in torchvision.datasets.CIFAR10.
CHECKSUMS = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
*_TRAIN, _TEST = CHECKSUMS


def missing(folder: Path) -> str | None:
    """Says what `folder` lacks, None where all batches of one of the two layouts are there."""
    for layout, suffix in ((_BINARY, ".bin"), (_PICKLES, "")):
        absent = [name for name in CHECKSUMS if not (folder / layout / (name + suffix)).is_file()]
        if not absent:
            return None
    return f"no {_PICKLES}/{absent[0]} (nor all of {_BINARY}/)"


def read(folder: Path, classes: tuple[str, ...], checksums: Mapping[str, str] = CHECKSUMS) -> Contents:
    """Reads both splits from the batches below `folder`, the Python ones where all of them are there.

    checksums: the MD5 of each Python batch. Raises DataError that names the file which is damaged, or which is a pickle
    with another checksum: no such file is unpickled.
    """
    pickles = all((folder / _PICKLES / name).is_file() for name in CHECKSUMS)
    splits = []
    for names in (_TRAIN, [_TEST]):
        batches = [
            _pickled(folder / _PICKLES / name, len(classes), checksums[name])
            if pickles
            else _binary(folder / _BINARY / (name + ".bin"), len(classes))
            for name in names
        ]
        splits.append(Split(*(np.concatenate(arrays) for arrays in zip(*batches, strict=True))))
    return Contents(classes, *splits)


def _binary(path: Path, classes: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        raw = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise _damaged(path, f"cannot be read: {error}") from error
    if raw.size == 0 or raw.size % (1 + _PIXELS):
        raise _damaged(path, f"expected records of {1 + _PIXELS} bytes, found {raw.size} bytes")
    records = raw.reshape(-1, 1 + _PIXELS)
    return records[:, 1:].reshape(-1, *_SHAPE), check_labels(records[:, 0], classes, str(path))


def _pickled(path: Path, classes: int, checksum: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise _damaged(path, f"cannot be read: {error}") from error
    # Nobody knows how to forge a second file with the MD5 of a given one, only two files with the same.
    actual = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    if actual != checksum:
        raise _damaged(path, f"not the published batch: expected MD5 {checksum}, found {actual}")
    batch = _Unpickler(io.BytesIO(raw), encoding="latin1").load()
    return batch["data"].reshape(-1, *_SHAPE), check_labels(np.array(batch["labels"]), classes, str(path))


class _Unpickler(pickle.Unpickler):
    """Reads arrays and plain containers, which is all that the published batches hold."""

    def find_class(self, module: str, name: str) -> Any:
        """Finds what arrays are made of. Raises UnpicklingError for all else."""
        if (module, name) in (
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
        ):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is no part of CIFAR-10")


def _damaged(path: Path, what: str) -> DataError:
    return DataError(f"{path}: {what}; replace the file, or delete it and use --download")
