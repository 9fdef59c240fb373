"""A target as the text of one TOML file, which `load` reads back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import tomli_w

from snnkd.targets.quantities import Quantity
from snnkd.targets.target import Target

_BAND = ("low", "typical", "high")


def to_toml(target: Target) -> str:
    """Writes `target` with its limits and costs as one file."""
    whole: dict[str, Any] = {"name": target.name, "description": target.description}
    if target.engine is not None:
        whole["engine"] = target.engine
    whole["limits"] = {name: _entry(limit) for name, limit in target.limits.items()}
    for name in ("packing", "mesh", "build"):
        if (table := getattr(target, name)) is not None:
            whole[name] = asdict(table)
    whole["costs"] = {name: _entry(cost) for name, cost in target.costs.items()}
    whole["error_factors"] = [asdict(factor) for factor in target.error_factors]
    return tomli_w.dumps(whole)


def _entry(quantity: Quantity) -> dict[str, Any]:
    """One value where low, typical and high are the same."""
    entry = asdict(quantity)
    band = [entry.pop(key) for key in _BAND]
    numbers = dict(zip(_BAND, band, strict=True)) if len(set(band)) > 1 else {"value": band[0]}
    return numbers | entry
