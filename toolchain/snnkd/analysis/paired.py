"""What pairs say of two accuracies: of two networks on the same images, of two recipes with the same seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from math import atan, cos, pi, sin, sqrt

_Z = 1.959963984540054  # 97.5 % of a normal distribution lie below


def mcnemar(first: int, second: int) -> float:
    """Returns how probable a difference as large as this one is where both networks are equally good: the two-sided
    p of McNemar's exact test.

    first, second: how many images the first network alone and the second alone gets right. McNemar, "Note on the
    Sampling Error of the Difference Between Correlated Proportions or Percentages", Psychometrika 12, 1947.
    """
    together = first + second
    ways = tail = 1  # of choosing k of all, and of choosing at most k
    for k in range(min(first, second)):
        ways = ways * (together - k) // (k + 1)
        tail += ways
    return min(1.0, 2 * tail / (1 << together))


def difference(first: int, second: int, images: int) -> tuple[float, float]:
    """Returns the 95 % interval of the second accuracy less the first, on `images` images that both have seen.

    first, second: as `mcnemar` takes them. Wald's interval with half an image added to each of the four counts:
    Agresti and Min, "Simple improved confidence intervals for comparing matched proportions", Statistics in Medicine
    24, 2005.
    """
    a, b, n = first + 0.5, second + 0.5, images + 2
    middle, half = (b - a) / n, _Z * sqrt(a + b - (b - a) ** 2 / n) / n
    return middle - half, middle + half


def mean(values: Sequence[float]) -> tuple[float, tuple[float, float] | None]:
    """Returns the mean of `values`, at least one, and its 95 % interval by Student's t, None of a single one."""
    middle, n = statistics.fmean(values), len(values)
    if n == 1:
        return middle, None
    half = quantile(n - 1) * statistics.stdev(values) / sqrt(n)
    return middle, (middle - half, middle + half)


def quantile(freedom: int) -> float:
    """Returns the t that 97.5 % of Student's distribution with so many degrees of freedom, at least 1, lie below."""
    low, high = 0.0, 13.0  # it is 12.7 for one degree, and falls
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < 0.95 else (low, middle)
    return high


def _within(t: float, freedom: int) -> float:
    """How much of the distribution lies between -t and t: Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    angle = atan(t / sqrt(freedom))
    odd = freedom % 2
    term, total = (cos(angle) if odd else 1.0), 0.0
    for k in range(odd, freedom - 1, 2):
        total += term
        term *= (k + 1) / (k + 2) * cos(angle) ** 2
    whole = sin(angle) * total
    return 2 / pi * (angle + whole) if odd else whole
