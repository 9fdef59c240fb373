"""What an inference costs: ranges of energy, with each constant's source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snnkd.report.page import charts
from snnkd.report.page.charts import Row
from snnkd.report.page.facts import Facts
from snnkd.report.page.words import NOT_KNOWN
from snnkd.report.terminal import number

_VERDICTS = {
    "refused": "does not fit this target; the figures are as if it did",
    "optimistic": "fits at the public ceilings, not as packed in practice",
    "likely": "fits, as far as sizes show it",
}
_PARTS = {
    "synops": "synaptic operations",
    "updates": "neuron updates",
    "spikes": "spikes",
    "messages": "messages to further cores",
    "hops": "hops between cores",
}
_MEMORY = "in 45 nm"
_SUMS = {"dynamic_uJ": "dynamic", "static_uJ": "static", "total_uJ": "total"}


def energy(facts: Facts) -> dict[str, Any] | None:
    """Draws the range of each target's estimate, of its parts and layers; names what is not known."""
    if facts.profile is None or not facts.profile["energy"]:
        return None
    found: Mapping[str, Mapping[str, Any]] = facts.profile["energy"]
    rows = [
        _row(f"{name}, {words}", energy[key], k)
        for k, (name, energy) in enumerate(found.items())
        for key, words in _SUMS.items()
        if energy.get(key)
    ]
    latency = [
        _row(name, energy["latency_us"], k, "µs")
        for k, (name, energy) in enumerate(found.items())
        if energy.get("latency_us")
    ]
    rivals = _rivals(facts.profile)
    plots = (
        charts.ranges("Energy of an inference, an estimate", rows, "µJ, logarithmic", log=True),
        charts.ranges("Latency of an inference, an estimate", latency, "µs, logarithmic", log=True),
        _beside(facts.profile, rivals),
    )
    return {
        "plots": [plot for plot in plots if plot is not None],
        "rivals": [_told(where, rival) for where, rival in rivals.items()],
        "targets": [_target(name, energy, k) for k, (name, energy) in enumerate(found.items())],
        "not_known": list(dict.fromkeys(text for energy in found.values() for text in energy["not_known"])),
        "data": facts.profile["data"],
    }


def _rivals(profile: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The ANN of the same shape, by where; of those only whose energies are known. Older profiles have none."""
    found = {f"on {name}": energy["ann"] for name, energy in profile["energy"].items() if "ann" in energy}
    if "in_memory" in profile:
        found[_MEMORY] = profile["in_memory"]
    return {where: rival for where, rival in found.items() if rival["snn_energy_uJ"] and rival["energy_uJ"]}


def _beside(profile: Mapping[str, Any], rivals: Mapping[str, Mapping[str, Any]]) -> charts.Ranges | None:
    taught = {where: _teachers(profile, where) for where in rivals}
    rows = [
        _row(f"{where}, {words}", cost, k)
        for k, (where, rival) in enumerate(rivals.items())
        for words, cost in (("this network", rival["snn_energy_uJ"]), ("ANN", rival["energy_uJ"]), *taught[where])
    ]
    and_teachers = ", and its teachers" if any(taught.values()) else ""
    return charts.ranges(f"Beside an ANN of the same shape, 8 bits{and_teachers}", rows, "µJ, logarithmic", log=True)


def _teachers(profile: Mapping[str, Any], where: str) -> list[tuple[str, Mapping[str, float]]]:
    """The teachers whose energy is known there, each in words."""
    found = []
    for teacher in profile.get("teachers", ()):
        cost = {f"on {name}": cost for name, cost in teacher["energy_uJ"].items()} | {_MEMORY: teacher["in_memory_uJ"]}
        if cost.get(where):
            found.append((f"{teacher['stage']} ({teacher['kind'].upper()})", cost[where]))
    return found


def _told(where: str, rival: Mapping[str, Any]) -> str:
    """Says by how much one of the two needs less, and at which activity both would need the same."""
    own, ann = (rival[key]["typical"] for key in ("snn_energy_uJ", "energy_uJ"))
    told = f"{where}: this network typically needs {number(own / ann)} times the energy of the ANN" if ann else where
    even = rival["break_even_activity"]
    if even is None:
        return told
    if even == 0:
        return f"{told}; even without an event it would need more"
    return f"{told}; both need the same at {number(even)} events per synapse, here it is {number(rival['activity'])}"


def _target(name: str, energy: Mapping[str, Any], k: int) -> dict[str, Any]:
    parts = [
        _row(words, energy["parts_uJ"].get(part), k) for part, words in _PARTS.items() if energy["parts_uJ"].get(part)
    ]
    layers = [_row(layer["name"], layer["dynamic"], k) for layer in energy["layers_uJ"] if layer["dynamic"]]
    rows = [row for row in (*parts, *layers) if row.high > 0]
    return {
        "name": name,
        "verdict": _VERDICTS.get(energy.get("verdict", ""), ""),
        "dynamic": band(energy["dynamic_uJ"]),
        "chart": charts.ranges(f"{name}: dynamic energy by part and by layer", rows, "µJ, logarithmic", log=True),
        "costs": [
            {**cost, "values": " / ".join(f"{cost[key]:g}" for key in ("low", "typical", "high"))}
            for cost in energy["costs"]
        ],
        "factors": energy["error_factors"],
        "note": energy["note"],
    }


def _row(name: str, cost: Mapping[str, float], k: int, unit: str = "µJ") -> Row:
    return Row(name, cost["low"], cost["typical"], cost["high"], band(cost, unit), k)


def band(cost: Mapping[str, float] | None, unit: str = "µJ") -> str:
    """Writes a range: '0.12 to 0.34 µJ, typically 0.2'."""
    if cost is None:
        return NOT_KNOWN
    low, typical, high = (number(cost[key]) for key in ("low", "typical", "high"))
    return f"{low} to {high} {unit}, typically {typical}"
