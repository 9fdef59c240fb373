"""Reader of CIFAR-10 as published: the Python batches (pickles, read without unpickling objects) or the binary ones."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from snnkd.datasets.splits import Contents, Split, check_labels
from snnkd.errors import DataError

_SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32
_PICKLES = "cifar-10-batches-py"
_BINARY = "cifar-10-batches-bin"
_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_TEST = ("test_batch",)


def missing(folder: Path) -> str | None:
    """What `folder` lacks, None where all batches of one of the two layouts are there."""
    for layout, suffix in ((_BINARY, ".bin"), (_PICKLES, "")):
        absent = [name for name in _TRAIN + _TEST if not (folder / layout / (name + suffix)).is_file()]
        if not absent:
            return None
    return f"no {_PICKLES}/{absent[0]} (nor all of {_BINARY}/)"


def read(folder: Path, classes: tuple[str, ...]) -> Contents:
    """Both splits from the batches below `folder`. Raises DataError that names the damaged file."""
    pickles = all((folder / _PICKLES / name).is_file() for name in _TRAIN + _TEST)
    splits = []
    for names in (_TRAIN, _TEST):
        batches = [
            _pickled(folder / _PICKLES / name, len(classes))
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


def _pickled(path: Path, classes: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        batch = _Unpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except Exception as error:  # a damaged pickle raises nearly anything
        raise _damaged(path, f"not a CIFAR-10 batch: {str(error) or type(error).__name__}") from error
    if not isinstance(batch, dict):
        raise _damaged(path, f"expected a dictionary with 'data' and 'labels', found {type(batch).__name__}")
    # Written by Python 2, the keys are str here; written by Python 3 with b"" keys, as some copies are, bytes.
    batch = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in batch.items()}
    for key, kind in (("data", _Array), ("labels", list)):
        if not isinstance(batch.get(key), kind):
            raise _damaged(path, f"expected '{key}', found {', '.join(map(str, batch)) or 'nothing'}")
    images, labels = batch["data"].array(path), batch["labels"]
    if not all(isinstance(label, int) for label in labels):
        raise _damaged(path, "labels: expected integers")
    if len(labels) != len(images):
        raise _damaged(path, f"{len(labels)} labels for {len(images)} images")
    # Clipped so that no integer is too long for the array; a clipped one is out of range all the same.
    clipped = np.array([min(max(label, -1), classes) for label in labels], dtype=np.int64)
    return images.reshape(-1, *_SHAPE), check_labels(clipped, classes, str(path))


class _Dtype:
    """Stands for numpy.dtype: keeps the type's name."""

    def __init__(self, name: Any = None, *_: Any) -> None:
        self.name = name

    def __setstate__(self, state: Any) -> None:
        pass


class _Array:
    """Stands for numpy.ndarray: keeps the state that the pickle gives it, as plain data."""

    def __init__(self) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def array(self, path: Path) -> np.ndarray:
        """uint8 (N, 3072). Raises DataError where the state describes anything else."""
        try:
            _, shape, dtype, fortran, raw = self.state
            raw = raw.encode("latin1") if isinstance(raw, str) else raw
            if dtype.name not in ("u1", "|u1", "uint8") or len(shape) != 2 or shape[1] != _PIXELS or shape[0] < 1:
                raise ValueError(f"type {dtype.name}, shape {shape}")
            return np.frombuffer(raw, dtype=np.uint8).reshape(shape, order="F" if fortran else "C")
        except (AttributeError, TypeError, ValueError) as error:
            raise _damaged(path, f"data: expected uint8 (N, {_PIXELS}): {error}") from error


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _frombuffer(raw: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    """Stands for numpy's function of this name, which pickle protocol 5 uses."""
    array = _Array()
    array.state = (1, shape, dtype, order == "F", raw)
    return array


def _encode(text: str, encoding: str) -> bytes:
    """Stands for _codecs.encode, with which Python 3 writes bytes in old pickle protocols."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes are encoded as {encoding!r}")
    return text.encode("latin1")


# Nothing of numpy itself is reachable from a pickle: a forged dtype state would make it misread memory.
_STAND_INS = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,
    ("numpy._core.numeric", "_frombuffer"): _frombuffer,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}


class _Unpickler(pickle.Unpickler):
    """Reads plain containers and arrays; refuses every other class or function, so that no code runs."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _STAND_INS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no data needs") from None


def _damaged(path: Path, what: str) -> DataError:
    return DataError(f"{path}: {what}; replace the file, or delete it and use --download")
