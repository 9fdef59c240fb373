"""Events made from MNIST's images by three saccades, as N-MNIST was recorded, calibrated on its real recordings.

    python toolchain/benchmarks/saccades.py --data-root DIR --out FILE.npz [--images N]

`snnkd.data.saccades` has the model; its numbers, `saccades.NMNIST`, are those that this prints. They are fitted to 100
of the real recordings, each against the events made of its own image: corners of the triangle, beginning and end of
each move, the brightness of the screen's black, and whether digits are dark on a bright ground by the correlation of
the cells (steps of 20 ms), thresholds by the counts of both polarities. It then prints how alike they are on 100 other
recordings.

FILE.npz has N training recordings, made of MNIST training images that none of the real recordings shows, and all
real recordings as test set, in the layout of docs/data.md. A student of made events, tested on real ones:

    snnkd train ckd/nmnist-alone --set data.set=FILE.npz --set 'encoding.sensor=[34, 34]' --set data.validation=0.1
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from snnkd.base.files import atomic
from snnkd.data import datasets, saccades
from snnkd.data.recordings.cells import encode
from snnkd.data.recordings.collection import Recordings
from snnkd.data.recordings.recording import Recording
from snnkd.data.saccades import FARTHEST, Setup
from snnkd.ir.event_encoding import EventEncoding

SIDE = 34
CELLS = EventEncoding(16, (SIDE, SIDE), window_us=20_000, cell="count", bits=4)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
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
    arrays = _columns(made_of(setup, frames.pixels), frames.labels, "")
    every = [one for split, _ in recorded for one in split.images]
    arrays |= _columns(iter(every), np.concatenate([split.labels for split, _ in recorded]), "_test")
    with atomic(options.out) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # pyright: ignore[reportArgumentType]
    print(f"{options.out}: {len(frames):,} made recordings to train on, {len(every):,} real ones to test on")


def made_of(setup: Setup, images: np.ndarray) -> Iterator[Recording]:
    """Makes a recording of each image (N, 1, 28, 28) uint8, which stands in the middle of the sensor."""
    border = (SIDE - images.shape[2]) // 2
    return saccades.events(setup, np.pad(images[:, 0], [(0, 0), (border, border), (border, border)]))


def calibrated(images: np.ndarray, real: list[Recording]) -> Setup:
    """Fits a set-up, number by number, to the recordings of the images."""
    wanted = encode(CELLS, real)

    def quality(setup: Setup) -> float:
        return _alike(encode(CELLS, made_of(setup, images)), wanted)

    started = (Setup(corners, inked=inked) for corners in _triangles() for inked in (False, True))
    best = max((_counted(setup, images, real) for setup in started), key=quality)
    for size in (1.0, 1.0, 0.5, 0.25):
        found = quality(best)
        for change in _changes(best, size):
            changed = change(best)
            if (reached := quality(changed)) > found:
                best, found = changed, reached
        best = _counted(best, images, real)
    return best


def _changes(setup: Setup, size: float) -> Iterator[Callable[[Setup], Setup]]:
    """Changes of one number: by `size` pixels, by 10 x `size` ms, or by a part of the brightness of black."""
    for move, part, sign in itertools.product(range(len(setup.corners)), range(2), (-1, 1)):
        yield partial(_moved, move=move, part=part, by=sign * size)
        yield partial(_timed, move=move, part=part, by=sign * 10 * size)
    for factor in (1 - size / 3, 1 + size / 3):
        yield lambda known, factor=factor: replace(known, dark=min(0.6, known.dark * factor))


def _moved(setup: Setup, move: int, part: int, by: float) -> Setup:
    corners = np.array(setup.corners)
    corners[move, part] = np.clip(corners[move, part] + by, -FARTHEST, FARTHEST)
    return replace(setup, corners=tuple(map(tuple, corners.tolist())))


def _timed(setup: Setup, move: int, part: int, by: float) -> Setup:
    times = np.array(setup.times, float)
    times[move, part] += by
    return setup if times[move, 1] - times[move, 0] < 20 else replace(setup, times=tuple(map(tuple, times.tolist())))


def _counted(setup: Setup, images: np.ndarray, real: list[Recording]) -> Setup:
    """With thresholds that make as many events of each polarity as there are."""
    wanted = [sum(int((one.p == polarity).sum()) for one in real) for polarity in (0, 1)]
    for _ in range(3):
        made = list(made_of(setup, images))
        off, on = (sum(int((one.p == polarity).sum()) for one in made) / wanted[polarity] for polarity in (0, 1))
        setup = replace(setup, rise=setup.rise * max(on, 0.1) ** 0.7, fall=setup.fall * max(off, 0.1) ** 0.7)
    return setup


def _triangles() -> Iterator[tuple[tuple[float, float], ...]]:
    """Corners of all triangles on a coarse grid that move the image by enough."""
    for corners in itertools.permutations([(-3.0, 0.0), (3.0, -3.0), (3.0, 3.0)]):
        for turned in (lambda y, x: (y, x), lambda y, x: (-y, x), lambda y, x: (x, y), lambda y, x: (x, -y)):
            yield tuple(turned(*corner) for corner in corners)


def _alike(made: np.ndarray, wanted: np.ndarray) -> float:
    """Mean correlation of the cells of recordings."""
    rows = [part.reshape(len(part), -1).astype(np.float32) for part in (made, wanted)]
    rows = [part - part.mean(axis=1, keepdims=True) for part in rows]
    norms = [np.linalg.norm(part, axis=1).clip(1e-9) for part in rows]
    return float(((rows[0] * rows[1]).sum(axis=1) / norms[0] / norms[1]).mean())


def likeness(setup: Setup, images: np.ndarray, real: list[Recording]) -> str:
    """Says how alike made and real recordings of the same images are."""
    made = list(made_of(setup, images))
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
