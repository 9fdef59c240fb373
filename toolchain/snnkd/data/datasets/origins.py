"""Where the images that were recorded are in the set that they come from, by set of recordings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

_MNIST_TRAINING = 60_000


@dataclass(frozen=True)
class Origin:
    """set: the name of the set of images. place(part, name): where an image of it is, its training images first, by
    the part ('train' or 'test') and the file name of its recording."""

    set: str
    place: Callable[[str, str], int]


def _of_mnist(part: str, name: str) -> int:
    """The number of an N-MNIST file is its image's index + 1; some copies count test files on from 60001."""
    number = int(PurePosixPath(name).stem) - 1
    return number if part == "train" or number >= _MNIST_TRAINING else _MNIST_TRAINING + number


ORIGINS = {"nmnist": Origin("mnist", _of_mnist)}
