"""What is wrong with the network, or wasted in it, on the samples that the page runs."""

from __future__ import annotations

from typing import Any

from snnkd.analysis.health import LayerHealth
from snnkd.report.page.facts import Facts
from snnkd.report.page.words import NONE, count, share


def health(facts: Facts) -> dict[str, Any] | None:
    """Lists the findings with their causes and what to change, and the layers in numbers."""
    if facts.seen is None:
        return None
    found = facts.seen.health
    return {"health": found, "rows": [_row(layer) for layer in found.layers], "data": facts.seen.data}


def _row(layer: LayerHealth) -> dict[str, str]:
    weights = layer.weights
    return {
        "name": layer.name,
        "kind": layer.kind,
        **{key: count(getattr(layer, key)) for key in ("neurons", "silent", "saturated", "duplicates")},
        "threshold": NONE if layer.threshold_share is None else share(layer.threshold_share),
        "codes": NONE if weights is None else f"{weights.codes_used} of {weights.codes}",
        "left": ", ".join(f"{name} {NONE if bits is None else bits}" for name, bits in layer.bits_left.items()),
    }
