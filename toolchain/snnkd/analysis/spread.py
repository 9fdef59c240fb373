"""What a mean of a few seeds says: its interval."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from math import atan, cos, pi, sin, sqrt


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
