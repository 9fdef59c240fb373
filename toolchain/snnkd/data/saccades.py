"""Events that a camera sends when it moves over an image in three straight moves, as N-MNIST was recorded.

Orchard et al. (Frontiers in Neuroscience 2015) moved a camera over each image on a screen along a triangle, about
100 ms a side, and it sent the changes of brightness. Here a pixel sends an ON or OFF event whenever the logarithm of
its brightness has risen or fallen by a threshold since its last one. Nothing is drawn, and there is no noise.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from snnkd.data.recordings.recording import Recording

TICKS, TICK_US = 64, 5_000  # 320 ms
FARTHEST = 5.0  # pixels of a displacement
_BLOCK = 250


@dataclass(frozen=True)
class Setup:
    """How images are recorded.

    corners: of the triangle, (down, right) in pixels of the image's displacement at the start of each move; the last
    one ends where the first began. times: in ms, beginning and end of each move. dark: brightness of a black pixel, of
    1. inked: whether digits are dark on a bright ground. rise, fall: of the logarithm of brightness, for an ON and for
    an OFF event.
    """

    corners: tuple[tuple[float, float], ...]
    times: tuple[tuple[float, float], ...] = ((5, 85), (110, 190), (215, 295))
    dark: float = 0.15
    inked: bool = False
    rise: float = 0.3
    fall: float = 0.3


# Fitted to 100 recordings of N-MNIST by toolchain/benchmarks/saccades.py.
NMNIST = Setup(
    corners=((-1.5, -2.75), (4.0, -1.0), (-1.75, 3.0)),
    times=((10.0, 85.0), (107.5, 190.0), (217.5, 297.5)),
    dark=0.1146,
    inked=True,
    rise=0.3428,
    fall=0.3455,
)


def events(setup: Setup, images: np.ndarray) -> Iterator[Recording]:
    """Makes a recording of each image (N, H, W) uint8, which is as large as the sensor, its border black."""
    for first in range(0, len(images), _BLOCK):
        yield from _block(setup, images[first : first + _BLOCK])


def path(setup: Setup) -> np.ndarray:
    """Computes the image's displacements (TICKS, 2), each move as slow at both ends as a cosine."""
    now = (np.arange(TICKS) + 1) * TICK_US / 1000
    where = np.tile(np.array(setup.corners[0]), (TICKS, 1))
    goals = [*setup.corners[1:], setup.corners[0]]
    for (begin, end), start, goal in zip(setup.times, setup.corners, goals, strict=True):
        done = np.clip((now - begin) / (end - begin), 0, 1)
        where += (1 - np.cos(np.pi * done[:, None])) / 2 * (np.array(goal) - np.array(start))
    return where


def _block(setup: Setup, images: np.ndarray) -> Iterator[Recording]:
    last, found = _brightness(setup, images, setup.corners[0]), []
    for tick, displacement in enumerate(path(setup)):
        change = _brightness(setup, images, tuple(displacement)) - last
        counts = np.stack([np.floor(-change / setup.fall), np.floor(change / setup.rise)]).clip(0).astype(np.int64)
        last = last + counts[1] * setup.rise - counts[0] * setup.fall
        p, n, y, x = np.nonzero(counts)
        times = counts[p, n, y, x]
        t = np.full(times.sum(), tick * TICK_US)
        found.append([np.repeat(values, times) for values in (n, x, y, p)] + [t])
    n, x, y, p, t = (np.concatenate(values) for values in zip(*found, strict=True))
    for number in range(len(images)):
        own = n == number
        kinds = (np.uint32, np.uint16, np.uint16, np.uint8)
        yield Recording(*(v[own].astype(kind) for v, kind in zip((t, x, y, p), kinds, strict=True)))


def _brightness(setup: Setup, images: np.ndarray, displacement: tuple[float, ...]) -> np.ndarray:
    """The logarithm of brightness on the sensor, (N, H, W), with the images displaced by (down, right), bilinear."""
    outside = int(FARTHEST) + 1
    padded = np.pad(images / np.float32(255), [(0, 0), (outside, outside), (outside, outside)])
    whole = np.floor(displacement).astype(int)
    down, right = displacement - whole
    total = np.zeros(images.shape, np.float32)
    rows, columns = images.shape[1:]
    for row, column in itertools.product((0, 1), (0, 1)):
        weight = (down if row else 1 - down) * (right if column else 1 - right)
        top, left = (outside - step - part for step, part in zip(whole, (row, column), strict=True))
        total += np.float32(weight) * padded[:, top : top + rows, left : left + columns]
    return np.log(setup.dark + (1 - setup.dark) * (1 - total if setup.inked else total))
