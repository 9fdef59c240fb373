"""Integer arithmetic of the CUBA-LIF neuron and its synapses, as Lava's fixed-point models compute it.

Sources: lava-nc 0.10.0 `lava/proc/lif/models.py` (AbstractPyLifModelFixed), `proc/conv/utils.py` (signed_clamp).
All functions take and return numpy int64 arrays of any shape.
"""

from __future__ import annotations

import numpy as np

DECAY_BITS = 12  # decays are fractions of 4096
STATE_SHIFT = 6  # activation, bias and threshold are aligned to the states by << 6
STATE_LIMIT = 1 << 23  # u and v are 24 bit signed
THRESHOLD_LIMIT = (1 << 17) - 1  # vThMant is 17 bit unsigned
WEIGHT_MIN, WEIGHT_MAX = -256, 254  # 8 bit, mixed sign mode: even integers
DELAY_MAX = 62
EXPONENT_MAX = 15  # of spikes and states of sigma-delta neurons; NetX has 6


def decay(state: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    """Decays `state` by `fraction` of 4096: state * (4096 - fraction) / 4096, rounded towards zero."""
    product = state * ((1 << DECAY_BITS) - fraction)
    return np.sign(product) * (np.abs(product) >> DECAY_BITS)


def wrap_current(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wraps u once, by 2^24 where u > 2^23 or u <= -2^23 (no modulo); also returns where it did, bool."""
    above, below = u > STATE_LIMIT, u <= -STATE_LIMIT
    return u - 2 * STATE_LIMIT * above + 2 * STATE_LIMIT * below, above | below


def saturate_voltage(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Clips v to +-(2^23 - 1); also returns where it did, bool."""
    clipped = np.clip(v, 1 - STATE_LIMIT, STATE_LIMIT - 1)
    return clipped, clipped != v


def wrap24(a: np.ndarray) -> np.ndarray:
    """Wraps a into [-2^23, 2^23), modulo 2^24, as Lava's convolution does its sums."""
    return (a + STATE_LIMIT) % (2 * STATE_LIMIT) - STATE_LIMIT


def wrap32(a: np.ndarray) -> np.ndarray:
    """Wraps a into [-2^31, 2^31), modulo 2^32, as int32 arithmetic does."""
    return (a + (1 << 31)) % (1 << 32) - (1 << 31)


def shift(a: np.ndarray, exponent: int) -> np.ndarray:
    """Shifts a by a dense layer's weight exponent: << exponent, or an arithmetic >> -exponent where it is negative."""
    return a << exponent if exponent > 0 else a >> -exponent
