"""The parameters of the encoders of images, as a network's file keeps them. `docs/encodings.md` has the formulas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KINDS = ("direct", "rate", "poisson", "latency")
BOUNDS = {"steps": (1, 4096), "bits": (1, 8), "seed": (0, (1 << 63) - 1)}
DEFAULTS = {"bits": 4, "seed": 0}


def is_parameter(name: str, value: Any) -> bool:
    """Tells whether `value` is an integer within the bounds of the parameter `name`."""
    low, high = BOUNDS[name]
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def parameters(encoding: Mapping[str, Any] | None) -> dict[str, int] | None:
    """Returns steps, bits and seed of a file's encoding, None where it has no such encoder or says what cannot be."""
    if encoding is None or encoding.get("kind") not in KINDS:
        return None
    found = {name: encoding.get(name, DEFAULTS.get(name)) for name in BOUNDS}
    return found if all(is_parameter(name, value) for name, value in found.items()) else None  # type: ignore[return-value]
