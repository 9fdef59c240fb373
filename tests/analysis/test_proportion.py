"""Wilson's interval of a share."""

import pytest

from snnkd.analysis.proportion import interval


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (1, 29, 0.0061, 0.1718)],
    ids=["81/263", "15/148", "1/29"],
)
def test_published_values(right: int, total: int, low: float, high: float) -> None:
    """Newcombe, "Two-sided confidence intervals for the single proportion", Stat. Med. 17, 1998, table I."""
    assert interval(right, total) == pytest.approx((low, high), abs=5e-5)


def test_equals_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    for right, total in ((0, 20), (20, 20), (7, 31), (9999, 10000)):
        expected = stats.binomtest(right, total).proportion_ci(0.95, method="wilson")
        assert interval(right, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_of_nothing_it_says_nothing() -> None:
    assert interval(0, 0) == (0.0, 1.0)
