"""Which frame belongs to a recording, where the images that were recorded are, and frames as events."""

from pathlib import Path

import numpy as np
import pytest

from snnkd.base.errors import DataError
from snnkd.data import frames
from snnkd.data.datasets import DataSet, Split, events
from snnkd.data.datasets.splits import Contents, assemble
from snnkd.data.pairing import by_class, by_sample
from snnkd.ir.event_encoding import EventEncoding

CLASSES = 3


def images(count: int, first: int) -> Split:
    """Images that say their place in the set."""
    return Split(np.arange(first, first + count, dtype=np.uint8).reshape(-1, 1, 1, 1), np.arange(count) % CLASSES)


FRAMES = assemble("frames", Contents(("a", "b", "c"), images(60, 0), images(30, 60)), 9, seed=4)


def recordings(origins: list[int] | None, labels: list[int]) -> Split:
    kept = None if origins is None else np.array(origins)
    return Split(np.zeros((len(labels), 1, 1, 1), np.uint8), np.array(labels), origins=kept)


def test_images_are_found_wherever_the_splits_have_put_them() -> None:
    places = np.array([89, 0, 59, 60, 7, 7])
    found = FRAMES.at(places)
    assert found.pixels.reshape(-1).tolist() == places.tolist()
    assert found.labels.tolist() == [2, 0, 2, 0, 1, 1]
    with pytest.raises(DataError, match="frames: has 90 images, and none at 90"):
        FRAMES.at(np.array([3, 90]))


def test_by_sample_each_recording_has_the_image_that_was_recorded() -> None:
    pairs = by_sample(recordings([61, 5, 5], [1, 2, 2]), FRAMES, variants=4, seed=1)
    chosen = pairs.frames.pixels[pairs.of(np.array([2, 0]), 3)].reshape(-1)
    assert chosen.tolist() == [5, 61]
    with pytest.raises(DataError, match=r"frames: image 61 has label 1, its recording 0; 1 of 2 differ"):
        by_sample(recordings([61, 5], [0, 2]), FRAMES, 1, 1)
    with pytest.raises(DataError, match="which image of frames was recorded is not known; use pair = 'class'"):
        by_sample(recordings(None, [0, 2]), FRAMES, 1, 1)


def test_by_class_frames_are_drawn_by_seed_variant_and_place_alone() -> None:
    split = recordings(None, [0, 1, 2, 2, 0] * 20)
    pairs, indices = by_class(split, FRAMES, variants=8, seed=1), np.arange(len(split))
    drawn = np.stack([pairs.frames.pixels[pairs.of(indices, variant)].reshape(-1) for variant in range(8)])
    assert (drawn % CLASSES == split.labels).all()
    assert set(drawn.ravel()) == set(FRAMES.train.pixels.ravel()), "all training images, and no others"
    half = split.take(np.arange(50, 100))
    of_half = by_class(half, FRAMES, variants=3, seed=1)
    again = of_half.frames.pixels[of_half.of(np.arange(50), 2)].reshape(-1)
    assert again.tolist() == drawn[2, 50:].tolist(), "whatever else is drawn"
    other = by_class(split, FRAMES, variants=8, seed=2)
    assert (other.frames.pixels[other.of(indices, 0)].reshape(-1) != drawn[0]).mean() > 0.8
    with pytest.raises(DataError, match="frames: has no training image with label 3"):
        by_class(recordings(None, [0, 3]), FRAMES, 1, 1)


def test_numbers_of_nmnist_files_are_places_in_mnist(tmp_path: Path) -> None:
    event = bytes([3, 4, 0x80, 0, 9])
    for name in ("Train/2/00005.bin", "Train/0/00001.bin", "Test/7/00001.bin", "Test/4/60005.bin"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(event)
    data = events.read_named("nmnist", tmp_path)
    places = {int(label): int(place) for split in (data.train, data.test) for label, place in _places(split)}
    assert places == {2: 4, 0: 0, 7: 60_000, 4: 60_004}


def _places(split: Split) -> list[tuple[int, int]]:
    assert split.origins is not None
    return list(zip(split.labels.tolist(), split.origins.tolist(), strict=True))


def test_an_image_stands_still_in_the_middle_of_the_sensor() -> None:
    image = np.zeros((1, 1, 2, 2), np.uint8)
    image[0, 0] = [[255, 128], [64, 0]]
    cells = frames.still(image, EventEncoding(8, (6, 8), window_us=1))
    assert cells.shape == (1, 8, 2, 6, 8) and cells.dtype == np.uint8
    assert (cells[:, :, 0] == cells[:, :, 1]).all()
    counts = cells[0, :, 0].sum(axis=0)
    assert counts[:, 1:7].tolist() == [[8] * 3 + [4] * 3] * 3 + [[2] * 3 + [0] * 3] * 3, "each pixel a square of 3"
    assert not counts[:, [0, 7]].any()


def test_frames_become_cells_as_recordings_do() -> None:
    image = np.full((2, 3, 4, 4), 200, np.uint8)
    how = {"crop": (0, 0, 4, 2), "pool": 2, "window_us": 1}
    counted = frames.still(image, EventEncoding(5, (4, 4), polarity="merged", cell="count", bits=3, **how))
    assert counted.shape == (2, 5, 1, 2, 1) and (counted == 200 >> 5).all()
    binary = frames.still(image, EventEncoding(51, (4, 4), **how))
    assert (binary.sum(axis=1) == 40).all()  # 200 of 255, of 51 steps
    with pytest.raises(DataError, match=r"frames of 4 x 4 are larger than the sensor, \[3, 9\]"):
        frames.still(image, EventEncoding(5, (3, 9), window_us=1))


def test_a_split_keeps_its_origins_when_it_is_cut() -> None:
    split = recordings([4, 2, 9], [0, 1, 2])
    assert split.take(np.array([2, 0])).origins.tolist() == [9, 4]  # pyright: ignore[reportOptionalMemberAccess]
    data = assemble("cut", Contents(("a", "b", "c"), recordings([4, 2, 9], [0, 1, 2]), split), 0, 0)
    assert isinstance(data, DataSet) and data.train.origins.tolist() == [4, 2, 9]  # pyright: ignore
