"""Which frame belongs to a recording: an image of another data set, for those that read images and no events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from snnkd.base.errors import DataError
from snnkd.base.hashing import hash64
from snnkd.data.datasets import DataSet, Split

_PAIRING = 0x70616972  # of the random numbers that draw frames


@dataclass(frozen=True, eq=False)
class Pairs:
    """A frame for each of N samples in each of their variants.

    frames: those that are paired with anything. rows: (variants, N) int64, which of them each sample has.
    """

    frames: Split
    rows: np.ndarray

    def of(self, indices: np.ndarray, variant: int) -> np.ndarray:
        """Looks up the frames of the samples `indices` (B,) in a variant: (B,) int64, indices of `frames`."""
        return self.rows[variant, indices]


def by_sample(split: Split, frames: DataSet, variants: int, seed: int) -> Pairs:
    """Pairs each recording with the image that was recorded, the same in all variants; nothing is drawn.

    Raises DataError where that is not known, and where an image has another label than its recording.
    """
    if split.origins is None:
        raise DataError(f"which image of {frames.name} was recorded is not known; use pair = 'class'")
    found = frames.at(split.origins)
    other = np.flatnonzero(found.labels != split.labels)
    if other.size:
        raise DataError(
            f"{frames.name}: image {split.origins[other[0]]:,} has label {found.labels[other[0]]}, its recording "
            f"{split.labels[other[0]]}; {other.size} of {len(split)} differ: are these the images that were recorded?"
        )
    return Pairs(found, np.broadcast_to(np.arange(len(split)), (variants, len(split))))


def by_class(split: Split, frames: DataSet, variants: int, seed: int) -> Pairs:
    """Pairs each sample, in each of its variants, with a training image of its class, drawn by (seed, variant, place).

    Raises DataError where a class has no image.
    """
    word = hash64(seed, _PAIRING, np.arange(variants)[:, None], split.places)
    chosen = np.zeros(word.shape, np.int64)
    for label in np.unique(split.labels):
        alike = np.flatnonzero(frames.train.labels == label)
        if not alike.size:
            raise DataError(f"{frames.name}: has no training image with label {label}, which recordings have")
        of_label = split.labels == label
        chosen[:, of_label] = alike[(word[:, of_label] % np.uint64(alike.size)).astype(np.int64)]
    used, rows = np.unique(chosen, return_inverse=True)
    return Pairs(frames.train.take(used), rows.reshape(chosen.shape))


PAIRINGS: dict[str, Callable[[Split, DataSet, int, int], Pairs]] = {"sample": by_sample, "class": by_class}
