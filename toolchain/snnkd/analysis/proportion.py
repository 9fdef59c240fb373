"""What a share of right answers says: its interval."""

from __future__ import annotations

from math import sqrt

_Z = 1.959963984540054  # 97.5 % of a normal distribution lie below


def interval(right: int, total: int) -> tuple[float, float]:
    """Returns the 95 % interval of a share, `right` of `total` independent answers: Wilson's score interval.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22, 1927. It stays within 0 and
    1, and has a width where all answers are right. Of no answers it is all of [0, 1].
    """
    if not total:
        return 0.0, 1.0
    share, z2 = right / total, _Z * _Z / total
    middle, half = share + z2 / 2, _Z * sqrt((share * (1 - share) + z2 / 4) / total)
    return max(0.0, (middle - half) / (1 + z2)), min(1.0, (middle + half) / (1 + z2))
