"""A user's measurements beside the estimates, and the costs that were fitted to them, on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from snnkd.report.tables import Sheet
from snnkd.report.terminal import NOT_KNOWN, band, number

_WORDS = {"dynamic_uJ": "dynamic, uJ", "total_uJ": "total, uJ", "latency_us": "latency, us"}


def beside(profile: Mapping[str, Any]) -> list[RenderableType]:
    """Tabulates each measured value with its estimate, and says where it is from; nothing without measurements."""
    rows = [(name, one) for name, energy in profile["energy"].items() for one in energy.get("measured", ())]
    if not rows:
        return []
    columns = ("target", "per inference", "measured", "low", "typical", "high", "measured / typical", "in range")
    table = Sheet("Measured, beside the estimate", columns, words=2, keys=2)
    for name, one in rows:
        for k, value in enumerate(one["values"], 1):
            ratio = NOT_KNOWN if value["ratio"] is None else number(value["ratio"])
            inside = {None: NOT_KNOWN, True: "yes", False: "no"}[value["inside"]]
            cells = (number(value["measured"]), *band(value["estimate"]), ratio, inside)
            table.add(name if k == 1 else "", _WORDS[value["quantity"]], *cells, ends=k == len(one["values"]))
    return [table, *(Text(line) for line in _sources(rows))]


def _sources(rows: list[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    for name, one in rows:
        said = "; ".join(one[key] for key in ("source", "date", "instrument", "conditions"))
        yield f"- {name}: {one['file']}: {said}"


def calibrated(data: Mapping[str, Any]) -> Group:
    """Says how costs were fitted, with the factor of each cost and what is left of each measured value."""
    costs = Sheet("Fitted costs", ("cost", "times"))
    for name, factor in data["factors"].items():
        costs.add(name, number(factor))
    columns = ("file", "per inference", "measured", "estimate", "fitted", "measured / fitted")
    left = Sheet("What is left", columns, words=2, keys=2)
    for one in data["residuals"]:
        ratio = NOT_KNOWN if one["ratio"] is None else number(one["ratio"])
        numbers = [number(one[key]) for key in ("measured", "estimate", "fitted")]
        left.add(one["file"], _WORDS[one["quantity"]], *numbers, ratio)
    method = f"costs of energy by {data['method']}: {data['why']}" if data["method"] else data["why"]
    return Group(costs, left, Text(method), Text(f"written: {data['file']}; use it with --target {data['file']}"))
