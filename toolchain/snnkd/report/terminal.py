"""Profiles on the terminal. Reads the very object that `--json` prints, so that the two cannot disagree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from snnkd.report.tables import Sheet

NOT_KNOWN = "not known"
_ERROR_LINE = "measured / estimate was {low:g} to {high:g} for {of}"


def profile_table(profile: Mapping[str, Any], title: str = "", sources: bool = False) -> Group:
    """Makes Rich renderables of one profile, with the keys of `docs/energy_model.md`; all figures per inference.

    Activity by layer, what it was measured on, then, for profiles with targets, the energy on each, what is not
    known and how far off such estimates were; with `sources` also each constant with where it is from.
    """
    parts: list[RenderableType] = [layer_table(profile, title), measured_on(profile)]
    if "early_exit" in profile:
        parts.append(with_early_exit(profile["early_exit"]))
    if "neurobench" in profile:
        parts.append(neurobench_table(profile["neurobench"]))
    if profile["energy"]:
        parts += [energy_table(profile), *real_time_table(profile), *teachers_table(profile)]
        parts += _energy_notes(profile, sources)
        if sources:
            parts += [Text("\nConstants, low / typical / high"), constants_table(profile)]
        else:
            parts.append(Text("- each constant with its source: snnkd profile --energy --sources"))
    return Group(*parts)


def layer_table(profile: Mapping[str, Any], title: str = "") -> Sheet:
    """Neurons, spikes, synops, updates and the MACs of an ANN with the same layers, by layer and in sum."""
    columns = ("neurons", "spikes", "per neuron and step", "synops", "effective synops", "updates", "ANN MACs")
    table = Sheet(title, ("layer", *columns))
    samples, steps = profile["samples"], profile["steps"]
    network = [row for row in profile["layers"] if row["name"] != "input"]
    for row in profile["layers"]:
        table.add(*_layer_cells(_layer_name(row), [row], samples, steps), ends=row is profile["layers"][-1])
    table.add(*_layer_cells("sum but input", network, samples, steps), style="bold")
    return table


def measured_on(profile: Mapping[str, Any]) -> Text:
    """Makes the line that says what was counted, and on what."""
    return Text(
        f"Per inference of {profile['steps']} steps: {profile['fidelity']} network, {profile['samples']:,} samples, "
        f"{profile['data']}. ANN MACs: one forward pass of an ANN with the same layers."
    )


def with_early_exit(means: Mapping[str, float]) -> Text:
    """Makes the line that says what early exit leaves of steps, spikes and synops; all tables are of all steps."""
    steps, spikes, synops = (number(means[key]) for key in ("steps", "spikes", "synops"))
    return Text(
        f"With early exit: {steps} steps, {spikes} spikes, {synops} synops; all other figures are of all steps."
    )


def neurobench_table(metrics: Mapping[str, Any]) -> Sheet:
    """Tabulates NeuroBench's metrics by their names."""
    operations = metrics["synaptic_operations"]
    columns = ("footprint", "connection_sparsity", "activation_sparsity", *operations)
    shares = [f"{metrics[key]:.4f}" for key in columns[1:3]]
    table = Sheet("NeuroBench: bytes, shares, synaptic operations per inference", columns, words=0, keys=0)
    table.add(f"{metrics['footprint']:,}", *shares, *map(number, operations.values()))
    return table


def energy_table(profile: Mapping[str, Any]) -> Sheet:
    """Tabulates uJ per inference on each target: dynamic energy with its parts and layers, static and total."""
    columns = ("target", "energy", "low", "typical", "high", "share")
    table = Sheet("Energy, uJ per inference (estimate)", columns, words=2, keys=2)
    for name, energy in profile["energy"].items():
        if "instructions" in energy:
            counted = energy["instructions"]
            table.add(name, "instructions, counted", "", NOT_KNOWN if counted is None else f"{counted:,}", "", "")
        else:
            _add_parts(table, name, energy)
        table.add("", "total", *band(energy["total_uJ"]), "", style="bold" if "instructions" in energy else "")
        table.add("", "latency, us", *band(energy["latency_us"]), "", ends=True)
    return table


def _add_parts(table: Sheet, name: str, energy: Mapping[str, Any]) -> None:
    """Adds what a chip's total is made of."""
    dynamic = energy["dynamic_uJ"]
    table.add(name, "dynamic", *band(dynamic), "", style="bold")
    for part, cost in energy["parts_uJ"].items():
        table.add("", f"  {part}", *band(cost), _share(cost, dynamic))
    for layer in energy["layers_uJ"]:
        if layer["dynamic"]:
            table.add("", f"  {layer['name']}", *band(layer["dynamic"]), _share(layer["dynamic"], dynamic))
    if largest := energy["dominates"]:
        what = f"  most: {largest['part']} of {largest['layer']}"
        table.add("", what, "", "", "", f"{largest['share']:.0%}", style="italic")
    table.add("", "static", *band(energy["static_uJ"]), "")


def real_time_table(profile: Mapping[str, Any]) -> list[Sheet]:
    """Tabulates the energy at the recording's real time, per inference and per second; nothing where that is not
    known."""
    timed = {name: energy["real_time"] for name, energy in profile["energy"].items() if "real_time" in energy}
    if not timed:
        return []
    seconds = number(next(iter(timed.values()))["seconds"])
    numbers = [f"{unit} {band}" for unit in ("uJ", "uJ per second") for band in ("low", "typical", "high")]
    title = f"Energy at the recording's real time, {seconds} s an inference (estimate)"
    table = Sheet(title, ("target", "energy", *numbers), words=2, keys=2)
    for name, energy in timed.items():
        for part, cost in energy["per_inference_uJ"].items():
            cells = (*band(cost), *band(energy["per_second_uJ"][part]))
            table.add(name if part == "dynamic" else "", part, *cells, ends=part == "total")
    return [table]


def teachers_table(profile: Mapping[str, Any]) -> list[Sheet]:
    """Tabulates what the networks that taught this one would need beside it; nothing where none is known."""
    if all(teacher["not_known"] for teacher in profile.get("teachers", ())):
        return []
    columns = ("where", "network", "low", "typical", "high", "times this one")
    table = Sheet(
        "Beside its teachers, uJ per inference: dynamic, on processors all (estimate)", columns, words=2, keys=2
    )
    where = {name: name for name in profile["energy"]} | {"in 45 nm": None}
    for name, target in where.items():
        own = profile["in_memory"] if target is None else profile["energy"][target]["ann"]
        table.add(name, "this network", *band(own["snn_energy_uJ"]), "", style="bold")
        for k, teacher in enumerate(profile["teachers"], 1):
            cost = teacher["in_memory_uJ"] if target is None else teacher["energy_uJ"].get(target)
            what = f"  {teacher['stage']}, {teacher['kind']}"
            table.add("", what, *band(cost), _times(cost, own["snn_energy_uJ"]), ends=k == len(profile["teachers"]))
    return [table]


def constants_table(profile: Mapping[str, Any]) -> Table:
    """Tabulates every constant that the targets have, low / typical / high, with unit, kind and source."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    for name, energy in profile["energy"].items():
        for cost in energy["costs"]:
            values = " / ".join(f"{cost[key]:g}" for key in ("low", "typical", "high"))
            what = f"{values} {cost['unit']}, {cost['kind']}: {cost['source']}"
            grid.add_row(escape(name), escape(cost["name"]), escape(what))
    return grid


def _layer_cells(name: str, rows: list[Mapping[str, Any]], samples: int, steps: int) -> list[str]:
    neurons, spikes = sum(row["neurons"] for row in rows), sum(row["spikes"] for row in rows)
    per_inference = [sum(row[key] for row in rows) / samples for key in ("synops", "synops_effective", "updates")]
    rate = spikes / (neurons * samples * steps)
    macs = sum(row["macs_ann"] for row in rows)
    return [name, f"{neurons:,}", number(spikes / samples), number(rate), *map(number, per_inference), f"{macs:,}"]


def _layer_name(row: Mapping[str, Any]) -> str:
    return row["name"] if row["name"] == row["kind"] else f"{row['name']} {row['kind']}"


def _energy_notes(profile: Mapping[str, Any], sources: bool) -> list[Text]:
    """The note, what is not known and the published errors: each once, with the targets that it holds for."""
    lines: dict[str, list[str]] = {}
    for name, energy in profile["energy"].items():
        known = [
            _ERROR_LINE.format(**factor) + (f" ({factor['source']})" if sources else "")
            for factor in energy["error_factors"]
        ]
        unknown = [f"{NOT_KNOWN}: {item}" for item in energy["not_known"]]
        if energy["verdict"] == "refused":
            unfit = f"this network does not fit (see snnkd check --target {name}); the figures are as if it did"
            lines.setdefault(unfit, []).append(name)
        if "ann" in energy:
            where = f"on {name}" if "instructions" in energy else f"on {name}, as if it ran there"
            lines.setdefault(_beside(energy["ann"], where), []).append(name)
        timed = [f"real time: {energy['real_time']['note']}"] if "real_time" in energy else []
        for line in (energy["note"], *timed, *unknown, *known):
            lines.setdefault(line, []).append(name)
    every = len(profile["energy"])
    for teacher in profile.get("teachers", ()):
        if teacher["not_known"]:
            lines[f"{NOT_KNOWN}: energy of {teacher['stage']}: {teacher['not_known']}"] = list(profile["energy"])
    if "in_memory" in profile:
        line = _beside(profile["in_memory"], "in 45 nm, every access to memory counted")
        lines[line] = list(profile["energy"])
    return [
        Text(f"- {line}" if len(names) == every else f"- {', '.join(names)}: {line}") for line, names in lines.items()
    ]


def _beside(rival: Mapping[str, Any], where: str) -> str:
    """What an ANN of the same shape would need, and at which activity both would need the same."""
    snn, ann, even = rival["snn_energy_uJ"], rival["energy_uJ"], rival["break_even_activity"]
    both = f"{number(ann['typical'])} uJ, this network {number(snn['typical'])}" if snn and ann else NOT_KNOWN
    equal = "" if even is None else f"; equal at {number(even)} events per synapse, here {number(rival['activity'])}"
    return f"an ANN of this shape in 8 bits, {where}: {both}{equal}"


def band(energy: Mapping[str, float] | None) -> list[str]:
    """Writes low, typical and high of what is known."""
    return [number(energy[key]) if energy else NOT_KNOWN for key in ("low", "typical", "high")]


def _share(cost: Mapping[str, float] | None, whole: Mapping[str, float] | None) -> str:
    return f"{cost['typical'] / whole['typical']:.0%}" if cost and whole and whole["typical"] else ""


def _times(cost: Mapping[str, float] | None, own: Mapping[str, float] | None) -> str:
    return number(cost["typical"] / own["typical"]) if cost and own and own["typical"] else ""


def number(value: float) -> str:
    """Writes three digits, or all digits before the point: 0.00120, 12.0, 12,345."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"
