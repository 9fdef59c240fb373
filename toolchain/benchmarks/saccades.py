"""Events made from MNIST's images by three saccades, as N-MNIST was recorded, calibrated on its real recordings.

    python toolchain/benchmarks/saccades.py --data-root DIR --out FILE.npz [--images N]

Orchard et al. (Frontiers in Neuroscience 2015) moved a camera over each image on a screen in three straight moves that
make a triangle, about 100 ms each, and it sent the changes of brightness. Here an image of 28 x 28 stands on the sensor
of 34 x 34 and moves so: a pixel sends an ON or OFF event whenever the logarithm of its brightness has risen or fallen by
a threshold since its last one. What the set-up's description leaves open is fitted to 100 of the real recordings,
each against the events made of its own image: corners of the triangle and both thresholds, by the correlation of the
cells (steps of 20 ms) and by the counts of both polarities. It then prints how alike they are on the other recordings.

FILE.npz has N training recordings, made of MNIST training images that none of the real recordings shows, and all
real recordings as test set, in the layout of docs/data.md. A student of made events, tested on real ones:

    snnkd train ckd/nmnist-alone --set data.set=FILE.npz --set 'encoding.sensor=[34, 34]' --set data.validation=0.1
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from snnkd.base.files import atomic
from snnkd.data import datasets
from snnkd.data.recordings.cells import encode
from snnkd.data.recordings.collection import Recordings
from snnkd.data.recordings.recording import Recording
from snnkd.ir.event_encoding import EventEncoding

SIDE, MOVES, TICKS, TICK_US = 34, 3, 21, 5_000  # three moves of 21 ticks of 5 ms
CELLS = EventEncoding(16, (SIDE, SIDE), window_us=20_000, cell="count", bits=4)
DARK = 0.15  # brightness of a black pixel on the screen, of 1
BLOCK = 250


@dataclass(frozen=True)
class Setup:
    """corners: of the triangle, (down, right) in pixels of the image\'s displacement at the start of each move; it ends
    where it began. rise, fall: of the logarithm of brightness, for an ON and for an OFF event."""

    corners: tuple[tuple[float, float], ...]
    rise: float = 0.3
    fall: float = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\\n")[0])
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="folder of the data sets (docs/data.md)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.npz")
    parser.add_argument("--images", type=int, default=5_000, metavar="N", help="of MNIST, made to recordings")
    options = parser.parse_args()
    real = datasets.load("nmnist", root=options.data_root, validation=0)
    mnist = datasets.load("mnist", root=options.data_root, validation=0)
    recorded = [
        (split, mnist.at(split.origins).pixels) for split in (real.train, real.test) if split.origins is not None
    ]
    (train, images), _ = recorded
    assert isinstance(train.images, Recordings)
    chosen = np.linspace(0, len(train) - 1, 200).astype(int)
    fit, held = chosen[::2], chosen[1::2]
    setup = calibrated(images[fit], list(train.images[fit]))
    print(f"fitted: {setup}")
    print(f"the recordings fitted to: {likeness(setup, images[fit], list(train.images[fit]))}")
    print(f"others: {likeness(setup, images[held], list(train.images[held]))}")
    shown = np.concatenate([split.origins for split in (real.train, real.test) if split.origins is not None])
    free = np.setdiff1d(np.arange(len(mnist.train)), shown)[: options.images]
    frames = mnist.at(free)
    arrays = _columns(events(setup, frames.pixels), frames.labels, "")
    every = [one for split, _ in recorded for one in split.images]
    arrays |= _columns(iter(every), np.concatenate([split.labels for split, _ in recorded]), "_test")
    with atomic(options.out) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
    print(f"{options.out}: {len(frames):,} made recordings to train on, {len(every):,} real ones to test on")


def path(setup: Setup) -> np.ndarray:
    """Displacements (ticks, 2) of the image, each move as slow at both ends as a cosine."""
    ends = np.array([*setup.corners, setup.corners[0]])
    along = (1 - np.cos(np.pi * np.arange(1, TICKS + 1) / TICKS)) / 2
    moves = [start + along[:, None] * (end - start) for start, end in itertools.pairwise(ends)]
    return np.concatenate(moves)


def events(setup: Setup, images: np.ndarray) -> Iterator[Recording]:
    """Makes a recording of each image (N, 1, 28, 28) uint8."""
    for first in range(0, len(images), BLOCK):
        yield from _block(setup, images[first : first + BLOCK, 0])


def _block(setup: Setup, images: np.ndarray) -> Iterator[Recording]:
    start = _brightness(images, setup.corners[0])
    last, found = start, []
    for tick, displacement in enumerate(path(setup)):
        change = _brightness(images, tuple(displacement)) - last
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


def _brightness(images: np.ndarray, displacement: tuple[float, ...]) -> np.ndarray:
    """The logarithm of brightness on the sensor, (N, 34, 34), with the images displaced by (down, right), bilinear."""
    margin = (SIDE - images.shape[1]) // 2
    padded = np.pad(images / np.float32(255), [(0, 0), (2 * margin, 2 * margin), (2 * margin, 2 * margin)])
    whole = np.floor(displacement).astype(int)
    down, right = displacement - whole
    total = np.zeros((len(images), SIDE, SIDE), np.float32)
    for row, column in itertools.product((0, 1), (0, 1)):
        weight = (down if row else 1 - down) * (right if column else 1 - right)
        top, left = (margin - step - part for step, part in zip(whole, (row, column), strict=True))
        total += np.float32(weight) * padded[:, top : top + SIDE, left : left + SIDE]
    return np.log(DARK + (1 - DARK) * total)


def calibrated(images: np.ndarray, real: list[Recording]) -> Setup:
    """Fits a set-up: first the corners, coordinate by coordinate, by correlation; then the thresholds by the counts."""
    wanted = encode(CELLS, real)
    best = max((Setup(corners) for corners in _triangles()), key=lambda setup: _correlation(setup, images, wanted))
    for step in (1.0, 0.5):
        for corner, axis, sign in itertools.product(range(MOVES), range(2), (-1, 1)):
            moved = [list(values) for values in best.corners]
            moved[corner][axis] += sign * step
            if abs(moved[corner][axis]) <= 2.9:
                other = replace(best, corners=tuple(map(tuple, moved)))
                best = max(best, other, key=lambda setup: _correlation(setup, images, wanted))
    counts = [sum(int((one.p == polarity).sum()) for one in real) for polarity in (0, 1)]
    for _ in range(6):
        made = list(events(best, images))
        off, on = (sum(int((one.p == polarity).sum()) for one in made) / counts[polarity] for polarity in (0, 1))
        best = replace(best, rise=best.rise * on**0.7, fall=best.fall * off**0.7)
    return best


def _triangles() -> Iterator[tuple[tuple[float, float], ...]]:
    """Corners of all triangles on a coarse grid that move the image by enough."""
    for corners in itertools.permutations([(-2.0, 0.0), (2.0, -2.0), (2.0, 2.0)]):
        for turned in (lambda y, x: (y, x), lambda y, x: (-y, x), lambda y, x: (x, y), lambda y, x: (x, -y)):
            yield tuple(turned(*corner) for corner in corners)


def _correlation(setup: Setup, images: np.ndarray, wanted: np.ndarray) -> float:
    return _alike(encode(CELLS, events(setup, images)), wanted)


def _alike(made: np.ndarray, wanted: np.ndarray) -> float:
    """Mean correlation of the cells of recordings."""
    rows = [[part.reshape(len(part), -1).astype(np.float32)][0] for part in (made, wanted)]
    rows = [part - part.mean(axis=1, keepdims=True) for part in rows]
    norms = [np.linalg.norm(part, axis=1).clip(1e-9) for part in rows]
    return float(((rows[0] * rows[1]).sum(axis=1) / norms[0] / norms[1]).mean())


def likeness(setup: Setup, images: np.ndarray, real: list[Recording]) -> str:
    """Says how alike made and real recordings of the same images are."""
    made = list(events(setup, images))
    cells, wanted = encode(CELLS, made), encode(CELLS, real)
    course = np.corrcoef(cells.sum(axis=(0, 2, 3, 4)), wanted.sum(axis=(0, 2, 3, 4)))[0, 1]
    counts = np.corrcoef([len(one) for one in made], [len(one) for one in real])[0, 1]
    mean = [np.mean([len(one) for one in some]) for some in (made, real)]
    on = [np.mean(np.concatenate([one.p for one in some])) for some in (made, real)]
    other = _alike(np.roll(cells, 1, axis=0), wanted)
    return (
        f"events {mean[0]:,.0f} made, {mean[1]:,.0f} real, ON {on[0]:.1%} and {on[1]:.1%}; correlation of cells "
        f"{_alike(cells, wanted):.2f} (with another image {other:.2f}), of counts {counts:.2f}, of time courses "
        f"{course:.2f}"
    )


def _columns(made: Iterator[Recording], labels: np.ndarray, end: str) -> dict[str, np.ndarray]:
    """The arrays of some recordings, one after the other."""
    every = list(made)
    columns = {key + end: np.concatenate([getattr(one, key) for one in every]) for key in ("t", "x", "y", "p")}
    return {**columns, f"ends{end}": np.cumsum([len(one) for one in every]), f"labels{end}": labels}


if __name__ == "__main__":
    main()
