"""What pairs say, by hand and by tables."""

import statistics

import pytest

from snnkd.analysis import paired


@pytest.mark.parametrize(("first", "second", "p"), [(0, 0, 1.0), (3, 3, 1.0), (0, 5, 0.0625), (5, 15, 0.04138947)])
def test_mcnemar(first, second, p):
    assert paired.mcnemar(first, second) == pytest.approx(p)
    assert paired.mcnemar(second, first) == paired.mcnemar(first, second)


def test_mcnemar_of_many_images_is_a_probability():
    assert paired.mcnemar(9_000, 11_000) < 1e-40


def test_the_interval_of_a_difference():
    """The share's variance of (44.5 - 9.5) / 1002, whose four counts have half an image more."""
    low, high = paired.difference(9, 44, 1000)
    assert (low + high) / 2 == pytest.approx(35 / 1002)
    variance = (44.5 / 1002 + 9.5 / 1002 - (35 / 1002) ** 2) / 1002
    assert high - low == pytest.approx(2 * 1.959964 * variance**0.5, rel=1e-6)


def test_an_interval_of_equal_networks_has_a_width():
    low, high = paired.difference(0, 0, 100)
    assert low < 0 < high and low == -high


@pytest.mark.parametrize(("count", "t"), [(2, 12.7062), (5, 2.7764), (31, 2.0423), (32, 2.0395), (61, 2.0003)])
def test_the_mean_of_differences_by_students_t(count, t):
    values = [0.01 * (k % 7) - 0.02 for k in range(count)]
    middle, interval = paired.mean(values)
    assert interval is not None and sum(interval) / 2 == pytest.approx(middle)
    assert interval[1] - middle == pytest.approx(t * statistics.stdev(values) / count**0.5, rel=1e-4)


def test_a_single_value_has_no_interval():
    assert paired.mean([0.5]) == (0.5, None)
