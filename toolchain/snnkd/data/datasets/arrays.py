"""Reader of .npz files with x and y, and optionally x_test and y_test."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from snnkd.base.arrays import check
from snnkd.base.errors import DataError, FormatError
from snnkd.data.datasets.splits import TEST_SEED, Contents, Split, check_labels, stratified

_MAX_CHANNELS = 4


def read(path: Path) -> Contents:
    """Reads both splits. Without x_test and y_test, the test split is a stratified fifth of x and y, always the same.

    x: uint8 (N, H, W), (N, C, H, W) or (N, H, W, C); the last axis is the channels' where it has at most 4 entries
    and fewer than the second one. y: integers (N,) from 0. Classes are named by their number. Raises DataError that
    names the file and the array.
    """
    arrays = _load(path)
    own_test = "x_test" in arrays
    if own_test != ("y_test" in arrays):
        raise DataError(f"{path}: x_test and y_test: expected both or neither")
    labels = arrays["y"]
    classes = int(labels.max(initial=0)) + 1 if labels.dtype.kind in "iu" else 0
    if classes > max(1, labels.size):
        raise DataError(f"{path}: y: label {classes - 1} among {labels.size} labels: expected 0, 1, 2, ... for classes")
    whole = _split(path, arrays, "x", "y", classes)
    names = tuple(str(index) for index in range(classes))
    if own_test:
        test = _split(path, arrays, "x_test", "y_test", classes)
        if test.images.shape[1:] != whole.images.shape[1:]:
            raise DataError(f"{path}: x_test: images {test.images.shape[1:]}, those of x are {whole.images.shape[1:]}")
        return Contents(names, whole, test)
    chosen = stratified(whole.labels, len(whole) // 5, TEST_SEED)
    if not chosen.any():
        raise DataError(
            f"{path}: x: {len(whole)} images are too few to take a fifth as test split; give x_test, y_test"
        )
    return Contents(names, whole.take(~chosen), whole.take(chosen))


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        check(path)
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise DataError(f"{path}: a single array: expected an .npz file with x and y")
        with file:
            absent = [key for key in ("x", "y") if key not in file.files]
            if absent:
                raise DataError(f"{path}: no array '{absent[0]}': expected x and y, found {', '.join(file.files)}")
            return {key: _member(path, file, key) for key in ("x", "y", "x_test", "y_test") if key in file.files}
    except FormatError as error:
        raise DataError(str(error)) from error
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: not a readable .npz file: {error}") from error


def _member(path: Path, file: Mapping[str, np.ndarray], key: str) -> np.ndarray:
    try:
        return file[key]
    except (OSError, EOFError, ValueError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: {key}: cannot be read: {error} (arrays of Python objects are refused)") from error


def _split(path: Path, arrays: dict[str, np.ndarray], x: str, y: str, classes: int) -> Split:
    images, labels = arrays[x], arrays[y]
    if images.dtype != np.uint8:
        raise DataError(f"{path}: {x}: expected uint8 from 0 to 255, found {images.dtype}: scale, round and convert it")
    if images.ndim not in (3, 4) or min(images.shape) < 1:
        raise DataError(f"{path}: {x}: expected (N, H, W), (N, C, H, W) or (N, H, W, C), found {images.shape}")
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise DataError(
            f"{path}: {y}: expected integers ({len(images)},), one for each image, found {labels.dtype} {labels.shape}"
        )
    return Split(_channels_first(images), check_labels(labels, classes, f"{path}: {y}"))


def _channels_first(images: np.ndarray) -> np.ndarray:
    if images.ndim == 3:
        return images[:, None]
    if images.shape[3] <= _MAX_CHANNELS and images.shape[3] < images.shape[1]:
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return images
