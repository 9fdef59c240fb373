"""The head of a run's page: what it is in one sentence, and its figures at a glance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from snnkd.analysis import proportion
from snnkd.report.page.facts import Facts
from snnkd.report.page.words import count, percent
from snnkd.report.terminal import number


@dataclass(frozen=True)
class Tile:
    """One figure: its name, its value, and what belongs to it."""

    name: str
    value: str
    more: str


def overview(facts: Facts) -> dict[str, Any]:
    """Returns the run's name, sentence, tiles and warnings."""
    return {
        "name": facts.name,
        "description": facts.run.recipe.description,
        "sentence": _sentence(facts),
        "tiles": list(_tiles(facts)),
        "warnings": facts.summary.get("warnings", []),
        "lacks": facts.lacks,
    }


def _sentence(facts: Facts) -> str:
    summary = facts.summary
    own, networks = summary["accuracy"]["integer"], summary["networks"]
    told = f"gets {percent(own)} of {summary.get('test_images', 0):,} test images right"
    beside = []
    first = next(iter(networks))
    if first != facts.run.recipe.student:
        theirs = networks[first]["accuracy"]
        known = theirs["float"] if theirs["integer"] is None else theirs["integer"]
        if known is not None:
            beside.append(f"its {first} {percent(known)}")
    if summary.get("baseline"):
        beside.append(f"the same network trained without a teacher {percent(summary['baseline']['integer'])}")
    return f"The deployed network {told}{'; ' if beside else ''}{', '.join(beside)}."


def _tiles(facts: Facts) -> Iterator[Tile]:
    summary, net, profile = facts.summary, facts.net, facts.profile
    own, total = summary["accuracy"], summary.get("test_images", 0)
    low, high = proportion.interval(round(own["integer"] * total), total)
    float_too = "" if own["float"] is None else f"; float {percent(own['float'])}"
    yield Tile("accuracy", percent(own["integer"]), f"95 % interval {100 * low:.2f} to {100 * high:.2f}{float_too}")
    bits = facts.run.recipe.quantization.weight_bits
    yield Tile("weights", count(net.parameters), f"of {bits} bits; {net.neurons:,} neurons")
    if facts.spikes is not None and profile is not None:
        yield Tile("spikes", number(facts.spikes), f"per inference of {profile['steps']} steps")
    if rule := summary.get("early_exit"):
        yield Tile(
            "steps with early exit", f"{rule['steps']:.2f}", f"of {net.steps}; accuracy {percent(rule['accuracy'])}"
        )
    for name, energy in list((profile or {}).get("energy", {}).items())[-1:]:
        if energy["dynamic_uJ"]:
            low, high = (number(energy["dynamic_uJ"][key]) for key in ("low", "high"))
            yield Tile(
                "energy, µJ",
                f"{low}\N{EN DASH}{high}",
                f"dynamic, on {name}: an estimate, without host and static power",
            )
    if facts.verification is not None:
        compared, against = facts.verification["compared"], facts.verification["against"]
        more = f"of {compared['cells']:,} cells, definition and {' and '.join(against)}"
        yield Tile("differing cells", count(facts.verification["differences"]), more)
