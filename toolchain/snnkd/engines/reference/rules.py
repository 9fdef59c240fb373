"""What the definition limits and compares, as rules: what `headroom` watches and `explanation` changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from snnkd.ir.arithmetic import decay, saturate_voltage, wrap24, wrap32, wrap_current

# Brings int64 values, whose first dimension is the sample, into a range; also returns how many that changed.
Limit = Callable[[np.ndarray], tuple[np.ndarray, int]]


def _in_24_bits(a: np.ndarray) -> tuple[np.ndarray, int]:
    wrapped = wrap24(a)
    return wrapped, int(np.count_nonzero(wrapped != a))


def _in_32_bits(a: np.ndarray) -> tuple[np.ndarray, int]:
    wrapped = wrap32(a)
    return wrapped, int(np.count_nonzero(wrapped != a))


def _corrected(total: np.ndarray) -> tuple[np.ndarray, int]:
    current, wraps = _in_32_bits(total)
    u, corrected = wrap_current(current)
    return u, wraps + int(np.count_nonzero(corrected))


def _saturated(total: np.ndarray) -> tuple[np.ndarray, int]:
    v, clipped = saturate_voltage(total)
    return v, int(np.count_nonzero(clipped))


@dataclass(frozen=True)
class Rules:
    """What a layer follows where engines are known to differ; the defaults are the definition.

    dense_sum, conv_sum: of the sum of weight * s; activation: of a << 6; current: of the new u; voltage: of the new v,
    in the order in which they are computed; sigma, change: of sigma-delta neurons' sigma, and of all that follows from
    it. decay: (state, fraction of 4096) to what is left of the state. fires: (v, threshold << 6) to where there is a
    spike. sends: (|error|, threshold) of sigma-delta neurons to where a change is sent; scale: (change, state_exp) to
    what is sent of it.
    """

    dense_sum: Limit = _in_32_bits
    conv_sum: Limit = _in_24_bits
    activation: Limit = _in_32_bits
    current: Limit = _corrected
    voltage: Limit = _saturated
    sigma: Limit = _in_32_bits
    change: Limit = _in_32_bits
    decay: Callable[[np.ndarray, np.ndarray], np.ndarray] = decay
    fires: Callable[[np.ndarray, np.ndarray], np.ndarray] = np.greater
    sends: Callable[[np.ndarray, int], np.ndarray] = np.greater_equal
    scale: Callable[[np.ndarray, int], np.ndarray] = np.right_shift

    def watched(self, watch: Callable[[str, np.ndarray, np.ndarray, int], None]) -> Rules:
        """Returns the same rules, whose limits also tell `watch` their name, the values that came, what became of them
        and how many changed."""

        def telling(name: str, limit: Limit) -> Limit:
            def tell(values: np.ndarray) -> tuple[np.ndarray, int]:
                limited, count = limit(values)
                watch(name, values, limited, count)
                return limited, count

            return tell

        limits: dict[str, Any] = {name: telling(name, getattr(self, name)) for name in LIMITS}
        return replace(self, **limits)


def no_limit(bound: int) -> Limit:
    """Makes a limit that changes no value of a real network; `bound` keeps the products that follow in 64 bits."""
    return lambda values: (np.clip(values, -bound, bound), 0)


LIMITS = ("dense_sum", "conv_sum", "activation", "current", "voltage", "sigma", "change")
DEFINITION = Rules()
# Nothing wraps and nothing is clipped.
_NO_SUM, _NO_STATE = no_limit(1 << 44), no_limit(1 << 50)
UNLIMITED = Rules(_NO_SUM, _NO_SUM, _NO_STATE, _NO_STATE, _NO_STATE, _NO_STATE, _NO_STATE)
