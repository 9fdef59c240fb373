"""What pairs say of two accuracies: of two networks on the same images, of two recipes with the same seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from math import sqrt

_Z = 1.959963984540054  # 97.5 % of a normal distribution lie below
# 97.5 % of Student's t with 1, 2, ... 30 degrees of freedom lie below.
_T = (
    *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281),
    *(2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860),
    *(2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423),
)


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
    """Returns the mean of n values, and its 95 % interval by Student's t, None of a single one.

    Beyond 31 values t is taken from its expansion around the normal distribution, to 4 digits.
    """
    middle, free = statistics.fmean(values), len(values) - 1
    if not free:
        return middle, None
    t = _T[free - 1] if free <= len(_T) else _Z + (_Z**3 + _Z) / (4 * free) + 3.0 / free**2
    half = t * statistics.stdev(values) / sqrt(len(values))
    return middle, (middle - half, middle + half)
