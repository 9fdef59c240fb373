"""From events to steps: the definition against one that takes event by event, and the parameters that make no sense."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snnkd.base.errors import FormatError, RecipeError
from snnkd.data import encoding as encoders
from snnkd.data.event_augmentation import variants
from snnkd.data.recordings import cells
from snnkd.data.recordings.collection import Recordings, scanned
from snnkd.data.recordings.recording import Recording
from snnkd.ir.event_encoding import EventEncoding

SENSOR = (12, 16)
BASE = EventEncoding(5, SENSOR, window_us=700)


def event_by_event(encoding: EventEncoding, one: Recording) -> np.ndarray:
    """The formulas of docs/encodings.md, without a thought of speed."""
    top, left, height, width = encoding.crop or (0, 0, *encoding.sensor)
    result = np.zeros((encoding.steps, *encoding.shape), int)
    latest = taken = 0
    for t, x, y, p in zip(*(v.tolist() for v in (one.t, one.x, one.y, one.p)), strict=True):
        latest = max(latest, t)
        if not (top <= y < top + height and left <= x < left + width):
            continue
        step = latest // encoding.window_us if encoding.window_us else taken // encoding.count
        taken += 1
        if step < encoding.steps:
            channel = p if encoding.polarity == "channels" else 0
            size = (2 * p - 1) if encoding.polarity == "signed" else 1
            result[step, channel, (y - top) // encoding.pool, (x - left) // encoding.pool] += size
    limit = 1 if encoding.cell == "binary" else 2**encoding.bits - 1
    return np.clip(result, -limit, limit)


def test_cells_are_those_of_the_formulas(event_encoding, shaken):
    for seed in range(3):
        one = shaken(seed=seed)
        found = cells.encode_one(event_encoding, one)
        np.testing.assert_array_equal(found, event_by_event(event_encoding, one))
        assert found.any()
        assert np.abs(found).max() <= event_encoding.largest


def test_parameters_come_back_from_a_file(event_encoding, shaken):
    again = encoders.from_json(event_encoding.to_json())
    assert isinstance(again, EventEncoding) and again.to_json() == event_encoding.to_json()
    np.testing.assert_array_equal(cells.encode_one(again, shaken()), cells.encode_one(event_encoding, shaken()))


def test_an_event_that_goes_back_counts_at_the_latest_time_before_it():
    one = Recording(
        *(np.array(v, k) for v, k in (([5, 800, 10], "u4"), ([0, 1, 2], "u2"), ([0, 0, 0], "u2"), ([1, 1, 1], "u1")))
    )
    assert cells.encode_one(BASE, one).sum(axis=(1, 2, 3)).tolist() == [1, 2, 0, 0, 0]


def test_no_event_makes_no_cell(event_encoding, shaken):
    empty = shaken().take(np.zeros(0, int))
    assert not cells.encode_one(event_encoding, empty).any()
    assert cells.encode(BASE, []).shape == (0, 5, 2, 12, 16)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"count": 3}, "expected either window_us or count"),
        ({"window_us": None}, "expected either window_us or count"),
        ({"window_us": 0}, r"encoding.window_us 0: expected an integer in \[1, 4294967295\]"),
        ({"steps": True}, "encoding.steps True"),
        ({"polarity": "both"}, "encoding.polarity 'both': expected channels, signed, merged"),
        ({"cell": "sum"}, "encoding.cell 'sum': expected binary, count"),
        ({"pool": 5}, "encoding.pool 5: does not divide 12 x 16 pixels"),
        ({"crop": (0, 0, 13, 4)}, "encoding.crop .*: reaches beyond the sensor"),
        ({"crop": (0, 0, 0, 4)}, "encoding.crop .*: expected 4 integers"),
        ({"sensor": (0, 4)}, "encoding.sensor .*: expected 2 integers"),
        ({"bits": 9}, "encoding.bits 9"),
    ],
)
def test_parameters_that_make_no_sense_are_named(changes, words):
    with pytest.raises(RecipeError, match=words):
        replace(BASE, **changes)
    data = {**BASE.to_json(), **{k: list(v) if isinstance(v, tuple) else v for k, v in changes.items()}}
    with pytest.raises(FormatError, match=words):
        encoders.from_json(data)


def test_unknown_and_missing_parameters_of_a_file_are_named():
    with pytest.raises(FormatError, match=r"encoding\.'speed': unknown field"):
        encoders.from_json({**BASE.to_json(), "speed": 1})
    with pytest.raises(FormatError, match=r"encoding\.sensor: missing"):
        encoders.from_json({"kind": "events", "steps": 3, "window_us": 5})


class Given:
    """A recording in memory as a source."""

    where = stamp = "memory"

    def __init__(self, one):
        self.read = lambda: one


@pytest.fixture
def pool_of(shaken):
    return lambda count=4: Recordings(SENSOR, [Given(shaken(seed=seed)) for seed in range(count)])


HOW = {"shift": 2, "flip": True, "drop": 0.25, "jitter_us": 50, "seed": 7}


def test_a_variant_depends_on_the_recording_alone(pool_of):
    pool, indices = pool_of(), np.arange(4)
    whole = list(variants(pool, indices, 3, **HOW))
    (alone,) = variants(pool[indices == 2], indices[indices == 2], 3, **HOW)
    for key in "txyp":
        np.testing.assert_array_equal(getattr(alone, key), getattr(whole[2], key))
    assert list(variants(pool, indices, 0, **HOW))[1].t.tolist() == pool.read(1).t.tolist()


def test_events_are_dropped_shaken_moved_and_mirrored(pool_of):
    pool, indices = pool_of(1), np.arange(1)
    one = pool.read(0)
    (dropped,) = variants(pool, indices, 1, **{**HOW, "shift": 0, "flip": False, "jitter_us": 0})
    assert 0.65 < len(dropped) / len(one) < 0.85
    (shook,) = variants(pool, indices, 1, **{**HOW, "shift": 0, "flip": False, "drop": 0.0})
    assert len(shook) == len(one) and (np.diff(shook.t.astype(int)) >= 0).all()
    assert 0 < np.abs(np.sort(shook.t.astype(int)) - np.sort(one.t.astype(int))).max() <= 50
    moved = [
        v for number in range(1, 30) for v in variants(pool, indices, number, **{**HOW, "drop": 0.0, "jitter_us": 0})
    ]
    places = {
        (int(v.x.astype(int)[0] - one.x[0]), int(v.y.astype(int)[0]) - int(one.y[0]))
        for v in moved
        if len(v) == len(one)
    }
    assert len({len(v) for v in moved}) > 5 and all(v.x.max() < 16 and v.y.max() < 12 for v in moved)
    assert len(places) >= 1


def test_cells_are_kept_on_disk_as_bits(event_encoding, shaken, monkeypatch, tmp_path):
    monkeypatch.setenv("SNNKD_CACHE", str(tmp_path))
    pool, _ = scanned(Recordings(SENSOR, [Given(shaken(seed=seed)) for seed in range(3)]), skip_damaged=False)
    rows = cells.bits(event_encoding, pool)
    expected = cells.encode(event_encoding, pool)
    found = cells.unpacked(event_encoding, rows[np.array([2, 0])])
    np.testing.assert_array_equal(found, expected[[2, 0]])
    assert found.dtype == expected.dtype and rows.nbytes <= expected.nbytes
    monkeypatch.setattr(cells, "encode_one", None)  # not needed a second time
    again = cells.bits(event_encoding, pool)
    np.testing.assert_array_equal(again, rows)
    for path in tmp_path.iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(TypeError):  # nor believed when it is damaged
        cells.bits(event_encoding, pool)
