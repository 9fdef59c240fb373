"""Integers for the real weights of a layer: the scale and the step between two integers at which least is lost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnkd.ir.arithmetic import WEIGHT_MIN

_CLIPS = np.linspace(1, 2, 21)  # how far beyond the range the largest weight may lie, of which the best is taken


@dataclass
class Fit:
    """Weights of a layer before (float64, in the unit of its thresholds), and how they became integers.

    factor: what they were multiplied by; step: between two of their integers; clipped: how many lay beyond the range.
    error: root mean square error of the weights as a fraction of their own root mean square. bias: that before.
    """

    weight: np.ndarray
    factor: float
    step: int
    clipped: int
    error: float
    bias: np.ndarray | None = None


def steps(bits: int) -> list[int]:
    """Returns the steps that integers of `bits` bits, sign included, may have: powers of two from 2, as synapses of
    both signs hold even integers."""
    return [1 << power for power in range(1, 10 - bits)]


def factors(weight: np.ndarray, bits: int, largest: float) -> list[float]:
    """Returns the factors worth trying for real weights, ascending: a power of two, and those at which the largest
    weight lies at the end of the range or somewhat beyond. largest: none lies above it."""
    high, low = weight.max(initial=0), weight.min(initial=0)
    range_high, range_low = ((1 << bits - 1) - 1) * steps(bits)[-1], WEIGHT_MIN
    reach = max(high / range_high, low / range_low)
    if not reach:
        return [min(1.0, largest)]
    return sorted({min(float(factor), largest) for factor in (2 ** np.floor(np.log2(1 / reach)), *(_CLIPS / reach))})


def rounded(weight: np.ndarray, factor: float, step: int, bits: int) -> tuple[np.ndarray, Fit]:
    """Returns weight * factor as multiples of `step` that have `bits` bits, int64, and what that loses."""
    codes = np.rint(weight * factor / step)
    kept = np.clip(codes, -(1 << bits - 1), (1 << bits - 1) - 1)
    size = float(np.sqrt(np.mean(weight**2))) or 1.0
    error = float(np.sqrt(np.mean((kept * step / factor - weight) ** 2))) / size
    fit = Fit(weight, factor, step, int(np.count_nonzero(kept != codes)), error)
    return (kept * step).astype(np.int64), fit
