"""Counter-based random numbers: a hash of (seed, index, ...) instead of a generator's state.

A value depends only on its own coordinates, never on the batch that it is computed in, and comes out the same in
numpy and in C99. SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
"""

from __future__ import annotations

import numpy as np

_MASK = (1 << 64) - 1
_STEPS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


def mix(state: np.ndarray) -> np.ndarray:
    """Applies SplitMix64 to each uint64 of `state`, which is overwritten, and returns it."""
    state += np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in _STEPS:
        state ^= state >> np.uint64(shift)
        state *= np.uint64(factor)
    state ^= state >> np.uint64(31)
    return state


def hash64(*parts: int | np.ndarray) -> np.ndarray:
    """Returns the uint64 hash of integer coordinates, in the parts' common broadcast shape.

    h = 0; for each part in order: h = mix(h ^ part), with the part taken modulo 2^64. Parts with few elements come
    first, since each further one is mixed at the shape that has been reached by then.
    """
    state = np.zeros(1, dtype=np.uint64)
    for part in parts:
        word = np.uint64(part & _MASK) if isinstance(part, int) else np.asarray(part).astype(np.uint64)
        state = mix(np.bitwise_xor(state, word))
    return state
