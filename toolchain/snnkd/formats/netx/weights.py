"""What Lava makes of a dense layer's weights, in two steps: NetX fits them to a synapse, the synapse clips and
truncates them.

Follows lava-dl 0.6.0 `netx/utils.py` (optimize_weight_bits) and lava-nc 0.10.0 `utils/weightutils.py`
(determine_sign_mode, clip_weights, truncate_weights), their disagreements included: NetX takes a matrix without
positive weights but with zeros for a mixed one, the synapse takes it for an inhibitory one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snnkd.base.errors import FormatError
from snnkd.ir.arithmetic import WEIGHT_MAX, WEIGHT_MIN


class Synapses(NamedTuple):
    """What Lava's synapses hold: weight (O, I) int64 and exponent, the simplest pair that gives the same sums: 0
    wherever the weights allow it, else negative. clipped: how many weights NetX clipped; truncated: how many more are
    not those of the file."""

    weight: np.ndarray
    exponent: int
    clipped: int
    truncated: int


def convert(weight: np.ndarray) -> Synapses:
    """Makes the synapses that Lava builds from a file's integer weights (O, I).

    Raises FormatError where Lava's loader fails or where its conversion makes every weight 0.
    """
    if not weight.any():
        raise FormatError("all weights are 0: Lava's loader fails on them (log2 of 0); remove the layer or retrain it")
    clipped = _clip_mixed(weight)
    shifted, weight_bits, scale_bits = _fit(clipped)
    held = _synapse(shifted, weight_bits)
    if not held.any():
        raise FormatError(
            f"weights {weight.min()} to {weight.max()}: Lava's conversion makes every one of them 0; expected even "
            "integers in [-256, 254]"
        )
    beyond, lost = np.count_nonzero(clipped != weight), np.count_nonzero(held != shifted)
    return Synapses(*reduce(held, -scale_bits), int(beyond), int(lost))


def reduce(weight: np.ndarray, weight_exp: int) -> tuple[np.ndarray, int]:
    """Returns the pair (weight, weight_exp <= 0) that gives the same sums, with the exponent nearest to 0."""
    if weight_exp > 0:
        return weight << weight_exp, 0
    while weight_exp < 0 and not (weight & 1).any():
        weight, weight_exp = weight >> 1, weight_exp + 1
    return weight, weight_exp


def source_of(weight: np.ndarray, weight_exp: int) -> np.ndarray | None:
    """Finds integer weights for a file from which Lava makes exactly these synapses; None where there are none.

    weight: (O, I), as the synapses hold it, with its exponent. Mostly the weights are their own source. In a matrix
    without positive ones, Lava changes a lowest weight that is a negative power of two (it clips its shifted value,
    -256, at -255); such a weight is found again.
    """
    expected, exponent = reduce(weight.astype(np.int64), weight_exp)
    base = expected >> -exponent  # rounds down, away from zero: an exponent is left over from clipped negative weights
    lowest = int(base.min())
    candidates = [base]
    if lowest < 0:
        candidates.append(np.where(base == lowest, -(1 << (-lowest).bit_length()), base))
        doubled = base.copy()
        doubled.flat[int(base.argmin())] *= 2
        candidates.append(doubled)
    for candidate in candidates:
        try:
            synapses = convert(candidate)
        except FormatError:
            continue
        if synapses.exponent == exponent and np.array_equal(synapses.weight, expected):
            return candidate
    return None


def spare_bits(weight: np.ndarray, weight_exp: int) -> int:
    """Counts the bits by which NetX shifts these weights up before it sums, beyond those that weight_exp says: Lava's
    sums of 32 bits have so many fewer."""
    source = source_of(weight, weight_exp)
    _, _, scale_bits = _fit(_clip_mixed(weight.astype(np.int64) if source is None else source))
    return max(0, scale_bits + weight_exp)


def _clip_mixed(weight: np.ndarray) -> np.ndarray:
    """NetX: weights of both signs clipped to what a synapse of both signs holds."""
    low, high = weight.min(), weight.max()
    if (high > WEIGHT_MAX and low < 0) or (low < WEIGHT_MIN and high > 0):
        return np.clip(weight, WEIGHT_MIN, WEIGHT_MAX)
    return weight


def _fit(weight: np.ndarray) -> tuple[np.ndarray, int, int]:
    """NetX: (weight << scale_bits, num_weight_bits, scale_bits); weight_exp is -scale_bits."""
    low, high = int(weight.min()), int(weight.max())
    mixed = low < 0 <= high
    above, below = (127, -128) if mixed else (255, -256)
    scale = min(above / high if high > 0 else np.inf, below / low if low < 0 else np.inf)
    scale_bits = int(np.floor(np.log2(scale))) + mixed
    used_bits = int(np.bitwise_or.reduce(weight, axis=None)) | 1 << 8
    unused = (used_bits & -used_bits).bit_length() - 1 - mixed  # low bits that no weight uses, at most 8
    shifted = weight << scale_bits if scale_bits >= 0 else np.zeros_like(weight)  # numpy: x << -1 is 0
    return shifted, 8 - scale_bits - unused, scale_bits


def _synapse(weight: np.ndarray, weight_bits: int) -> np.ndarray:
    """The synapse: clipped to 8 bits in its own sign mode, then truncated to `weight_bits`."""
    low, high = weight.min(), weight.max()
    inhibitory = low < 0 and high <= 0
    mixed = low < 0 < high
    magnitude = np.clip(-weight if inhibitory else weight, -256 * mixed, 255)
    drop = 8 - weight_bits + mixed
    held = (magnitude >> drop) << drop if drop >= 0 else np.zeros_like(weight)  # numpy: x >> -1 is 0 for x >= 0
    return -held if inhibitory else held
