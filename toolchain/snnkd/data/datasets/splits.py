"""A data set in memory: its splits, how they are drawn, and its digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from snnkd.base import provenance
from snnkd.base.errors import DataError, FormatError, RecipeError
from snnkd.base.hashing import hash64
from snnkd.data.recordings.collection import Recordings
from snnkd.ir.network import check_class_names

TEST_SEED = 0  # not the run's seed: runs with other seeds are measured on the same test images


@dataclass(frozen=True, eq=False)
class Split:
    """images: uint8 (N, C, H, W), 0 to 255; or recordings. labels: int64 (N,), index into the data set's classes.

    order: int64 (N,), where each image is among those that the set was read with (train with validation, or test); None
    where they are all of them in that order. origins: int64 (N,), where the image that was recorded is in its own set,
    as `DataSet.at` counts; None where that is not known.
    """

    images: np.ndarray | Recordings
    labels: np.ndarray
    order: np.ndarray | None = None
    origins: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def pixels(self) -> np.ndarray:
        """Returns the images, (N, C, H, W) uint8. Raises DataError where there are recordings in their place."""
        if isinstance(self.images, Recordings):
            raise DataError("recordings of events are no images: only an encoder of kind 'events' reads them")
        return self.images

    def take(self, chosen: np.ndarray) -> Split:
        """Copies the images that an index or a mask chooses."""
        origins = None if self.origins is None else self.origins[chosen]
        return Split(self.images[chosen], self.labels[chosen], self.places[chosen], origins)

    @property
    def places(self) -> np.ndarray:
        """Returns `order`, (N,) int64, counted where it is None."""
        return np.arange(len(self)) if self.order is None else self.order


@dataclass(frozen=True, eq=False)
class DataSet:
    """A data set, read and split. `digest` is the sha256 of classes, images, labels and split."""

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    digest: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """Returns (C, H, W) of an image, or the polarities and the sides of a sensor."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    def at(self, places: np.ndarray) -> Split:
        """Copies the images at `places` (N,) of the whole set: train and validation as they were read, then test.

        Raises DataError for a place beyond its end.
        """
        learned, size = len(self.train) + len(self.validation), len(self.train) + len(self.validation) + len(self.test)
        if len(places) and not 0 <= places.min() <= places.max() < size:
            raise DataError(f"{self.name}: has {size:,} images, and none at {places.max():,}")
        images = np.zeros((len(places), *self.train.pixels.shape[1:]), np.uint8)
        labels = np.zeros(len(places), np.int64)
        for split, first in ((self.train, 0), (self.validation, 0), (self.test, learned)):
            row = np.full(size, -1)
            row[split.places + first] = np.arange(len(split))
            found = row[places] >= 0
            images[found], labels[found] = (a[row[places[found]]] for a in (split.pixels, split.labels))
        return Split(images, labels)


class Contents(NamedTuple):
    """What a reader finds on disk: everything that may be trained on, and the test split."""

    classes: tuple[str, ...]
    train: Split
    test: Split


def assemble(name: str, contents: Contents, validation: int | float, seed: int) -> DataSet:
    """Takes the validation split out of train; the test split stays as it was read.

    Raises DataError where a class is left without a training image, RecipeError for an impossible `validation`.
    """
    classes, train, test = contents
    try:
        check_class_names(classes, len(classes))
    except FormatError as error:
        raise DataError(f"{name}: {error}") from error
    train, test = replace(train, order=None), replace(test, order=None)
    chosen = stratified(train.labels, _count(validation, len(train)), seed)
    splits = (train.take(~chosen), train.take(chosen), test)
    present = np.bincount(splits[0].labels, minlength=len(classes))
    if not present.all():
        raise DataError(
            f"{name}: no training image of class '{classes[int(present.argmin())]}' is left (label "
            f"{present.argmin()}): add images of it or ask for a smaller validation split"
        )
    return DataSet(name, classes, *splits, _digest(classes, splits))


def stratified(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draws `count` items, each class in its share (largest remainders), by (seed, index) alone: a mask (N,)."""
    sizes = np.bincount(labels)
    quota, remainder = np.divmod(sizes * count, max(1, len(labels)))
    # Ties between remainders go to the lower class.
    quota[np.argsort(-remainder, kind="stable")[: count - quota.sum()]] += 1
    word = hash64(seed, np.arange(len(labels)))
    order = np.lexsort((word, labels))
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[order[rank < np.repeat(quota, sizes)]] = True
    return chosen


def check_labels(labels: np.ndarray, classes: int, where: str) -> np.ndarray:
    """Returns `labels` as int64 (N,). Raises DataError that names `where` and the first one outside [0, classes)."""
    bad = np.flatnonzero((labels < 0) | (labels >= classes))
    if bad.size:
        raise DataError(
            f"{where}: label {labels[bad[0]]} at position {bad[0]}: expected labels from 0 to {classes - 1}"
        )
    return labels.astype(np.int64)


def _count(validation: int | float, size: int) -> int:
    """Number of validation images that `validation`, a count or a fraction, asks for."""
    number = not isinstance(validation, bool) and isinstance(validation, (int, float))
    if not number or not 0 <= validation < (1 if isinstance(validation, float) else size):
        raise RecipeError(
            f"validation {validation!r}: expected a fraction in [0.0, 1.0) or a number of images below {size}"
        )
    return round(validation * size) if isinstance(validation, float) else validation


def _digest(classes: tuple[str, ...], splits: tuple[Split, ...]) -> str:
    arrays = [values for split in splits for values in (split.images, split.labels.astype("<i8"))]
    return provenance.digest(
        {
            "classes": list(classes),
            "shapes": [list(values.shape) for values in arrays],
            "sha256": [_sha256(values) for values in arrays],
        }
    )


def _sha256(values: np.ndarray | Recordings) -> str:
    if isinstance(values, Recordings):
        return values.sha256
    return hashlib.sha256(np.ascontiguousarray(values).reshape(-1).data).hexdigest()
