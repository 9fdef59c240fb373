"""Noise of an event camera: the same events everywhere, as many as its rate says, independent of batch and severity."""

from dataclasses import dataclass

import numpy as np
import pytest

from snnkd.base.errors import RecipeError
from snnkd.data.event_corruption import EVENT_CORRUPTIONS, corrupt
from snnkd.data.recordings.collection import Recordings
from snnkd.data.recordings.recording import Recording

SENSOR = (34, 30)
KINDS = {"t": np.uint32, "x": np.uint16, "y": np.uint16, "p": np.uint8}
RATES = EVENT_CORRUPTIONS["background"].constants


@dataclass(frozen=True)
class Given:
    """A recording in memory as a source."""

    one: Recording
    where = stamp = "memory"

    def read(self):
        return self.one


def made(t, p=None):
    count = len(t)
    columns = {"t": t, "x": np.arange(count) % 30, "y": np.arange(count) % 34, "p": np.arange(count) % 2}
    columns |= {} if p is None else {"p": p}
    return Recording(*(np.asarray(columns[key]).astype(kind) for key, kind in KINDS.items()))


ONES = [made(np.arange(0, 400_000, 400 + 10 * number)) for number in range(5)]
POOL = Recordings(SENSOR, [Given(one) for one in ONES])


def noisy(severity, pool=POOL, indices=None):
    return list(corrupt(pool, np.arange(len(pool)) if indices is None else indices, "background", severity))


def rows(one):
    return list(zip(*(getattr(one, key).tolist() for key in "txyp"), strict=True))


def test_the_events_are_these():
    (one,) = noisy(1, POOL[np.array([3])], np.array([3]))
    added = sorted(set(rows(one)) - set(rows(ONES[3])))
    assert added[:3] == [(191, 1, 8, 1), (984, 7, 11, 0), (2075, 15, 30, 1)]


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_as_many_as_the_rate_says_in_their_places(severity):
    for one, found in zip(ONES, noisy(severity), strict=True):
        seconds = (int(one.t[-1]) + 1) / 1e6
        assert len(found) - len(one) == round(RATES[severity - 1] * 34 * 30 * seconds)
        assert set(rows(one)) <= set(rows(found)) and (np.diff(found.t.astype(int)) >= 0).all()
        assert found.t.max() <= one.t.max() and found.x.max() < 30 and found.y.max() < 34
        assert all(getattr(found, key).dtype == kind for key, kind in KINDS.items())


def test_a_severity_is_the_one_before_and_more():
    for mild, strong in zip(noisy(2), noisy(4), strict=True):
        assert set(rows(mild)) < set(rows(strong))


def test_noise_is_uniform_in_time_place_and_polarity():
    long = Recordings(SENSOR, [Given(made(np.array([0, 9_000_000]), [0, 1]))])
    (found,) = noisy(5, long)
    assert len(found) > 90_000
    for values, size in ((found.x, 30), (found.y, 34), (found.t // 900_001, 10), (found.p, 2)):
        counts = np.bincount(values, minlength=size)
        expected = len(found) / size
        assert ((counts - expected) ** 2 / expected).sum() < 2.5 * size, "chi squared"


def test_depends_on_the_position_in_the_split_alone():
    whole = noisy(3)
    (alone,) = noisy(3, POOL[np.array([2])], np.array([2]))
    assert rows(alone) == rows(whole[2])
    assert rows(noisy(3, POOL[np.array([2])], np.array([4]))[0]) != rows(whole[2])


def test_a_recording_without_off_gets_none_and_times_that_go_back_stay():
    t = np.array([5, 70_000, 60_000, 200_000])
    (found,) = noisy(5, Recordings(SENSOR, [Given(made(t, [1, 1, 1, 1]))]))
    assert found.p.all() and len(found) > 2000
    own = set(rows(made(t, [1, 1, 1, 1])))
    assert [row[0] for row in rows(found) if row in own] == t.tolist()


def test_other_names_and_severities_are_refused():
    for name, severity in (("gaussian", 1), ("background", 6)):
        with pytest.raises(RecipeError, match=r"expected (background|1 to 5)"):
            corrupt(POOL, np.arange(5), name, severity)
