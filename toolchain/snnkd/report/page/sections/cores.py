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
from snnkd.targets import Target

_VERDICTS = {
    "refused": "It does not fit",
    "optimistic": "It fits at the public ceilings, not as packed in practice",
    "likely": "It fits, as far as sizes show it",
}


def cores(facts: Facts) -> dict[str, Any] | None:
    """Draws the cores of each layer, and how full each is, on the chips of the targets that the run was profiled for;
    without a profile of all that are shipped."""
    shipped = {target.name: target for target in targets.available()}
    names = shipped if facts.profile is None else facts.profile["energy"]
    maps = [_map(facts, shipped[name]) for name in names if name in shipped]
    found = [drawn for drawn in maps if drawn is not None]
    return {"targets": found} if found else None


def _map(facts: Facts, target: Target) -> dict[str, Any] | None:
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
