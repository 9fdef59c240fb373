"""Events that a camera sends which moves over an image."""

from dataclasses import replace

import numpy as np
import pytest

from snnkd.base.errors import DataError
from snnkd.data import frames, saccades
from snnkd.data.recordings import cells
from snnkd.ir.event_encoding import EventEncoding


def test_events_are_made_where_an_edge_passes_and_nowhere_else() -> None:
    setup = saccades.Setup(((0.0, 0.0), (2.0, 0.0), (2.0, 2.0)), rise=0.4, fall=0.4)
    where = saccades.path(setup)
    assert where.shape == (64, 2) and np.allclose(where[-1], 0) and np.allclose(where[20], [2, 0])
    image = np.zeros((2, 34, 34), np.uint8)
    image[1, 13:17, 13:17] = 255
    dark, square = saccades.events(setup, image)
    assert not len(dark) and len(square)
    assert square.x.min() >= 13 and square.x.max() <= 18 and square.y.min() >= 13 and square.y.max() <= 18
    first = square.take(square.t < 100_000)
    assert set(first.y[first.p == 1]) == {17, 18} and set(first.y[first.p == 0]) == {13, 14}, "it moves down"
    (inked,) = saccades.events(replace(setup, inked=True), image[1:])
    first = inked.take(inked.t < 100_000)
    assert set(first.y[first.p == 1]) == {13, 14} and set(first.y[first.p == 0]) == {17, 18}


def test_frames_become_the_cells_of_those_events() -> None:
    image = np.random.default_rng(0).integers(0, 256, (2, 1, 3, 5)).astype(np.uint8)
    encoding = EventEncoding(16, (6, 11), window_us=20_000, cell="count", bits=4)
    standing = np.zeros((2, 6, 11), np.uint8)
    standing[:, :, :10] = image[:, 0].repeat(2, axis=1).repeat(2, axis=2)  # each pixel a square of two
    expected = cells.encode(encoding, saccades.events(saccades.NMNIST, standing))
    np.testing.assert_array_equal(frames.moved(image, encoding), expected)
    assert expected.any()
    with pytest.raises(DataError, match="larger than the sensor"):
        frames.moved(image, EventEncoding(16, (2, 11), window_us=20_000))
