"""On which cores of a chip the network would lie."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from snnkd import targets
from snnkd.analysis.fit import fit
from snnkd.analysis.placement import Core
from snnkd.report.page import charts
from snnkd.report.page.charts import CoreCell
from snnkd.report.page.facts import Facts
from snnkd.report.page.words import count, share

TARGET = "loihi2"
_VERDICTS = {
    "refused": "It does not fit",
    "optimistic": "It fits at the public ceilings, not as packed in practice",
    "likely": "It fits, as far as sizes show it",
}


def cores(facts: Facts) -> dict[str, Any] | None:
    """Draws the cores of each layer on the chips that they take, and how full each is."""
    target = targets.load(TARGET)
    fitted = fit(facts.net, target)
    placed = fitted.placement
    if placed is None:
        return None
    layers = [(name, list(every)) for name, every in groupby(placed.by_core, key=lambda core: core.layer)]
    cells = [_cell(core, number) for number, (_, every) in enumerate(layers) for core in every]
    told = "; ".join(f"{name}: {_number(every)}" for name, every in layers)
    title = f"Cores of {target.name}"
    return {
        "target": target.name,
        "verdict": _VERDICTS[fitted.verdict],
        "placement": placed,
        "map": charts.core_map(title, cells, int(target.limits["cores"].high), told),
        "rows": [_row(name, every, number) for number, (name, every) in enumerate(layers)],
        "violations": fitted.violations,
    }


def _number(every: Sequence[Core]) -> str:
    return f"{len(every):,} core{'s' * (len(every) > 1)}"


def _cell(core: Core, number: int) -> CoreCell:
    told = f"core {core.core}, {core.layer}: {core.neurons:,} neurons, {share(core.utilization)} of {core.binds}"
    return CoreCell(core.utilization, number, told)


def _row(name: str, every: Sequence[Core], number: int) -> dict[str, Any]:
    fullest = max(every, key=lambda core: core.utilization)
    return {
        "name": name,
        "number": number,
        "colour": number % charts.COLOURS,
        "cores": count(len(every)),
        "neurons": count(fullest.neurons),
        "bytes": count(fullest.synapse_bytes),
        "used": share(fullest.utilization),
        "binds": fullest.binds.removesuffix("_per_core").replace("_", " "),
    }
