"""What `verify` and `inspect --input` found, in words and tables."""

from __future__ import annotations

from typing import Any

from snnkd.cli import output
from snnkd.cli.deployment import difference

_LIMITS = {"a": ("sum a", "wrapped"), "u": ("current u", "wrapped"), "v": ("voltage v", "clipped")}
_LIMITS |= {"sigma": ("sigma", "wrapped"), "change": ("the change of the activation", "wrapped")}


def render_verification(data: dict[str, Any]) -> Any:
    """Renders the verdict; where there is a difference, the first cause, what led to it and why."""
    compared = data["compared"]
    lines: list[Any] = [
        f"{'equal' if data['equal'] else 'DIFFERENT'}: the definition and {data['against']} on {data['data']}",
        f"compared: {compared['samples']} samples of {compared['steps']} steps, {compared['spikes']:,} spikes, "
        f"{compared['cells']:,} cells, {compared['states']:,} of them states",
    ]
    if data["bias"]:
        lines.append("biased layers: layer-local timing; Lava was reset when each layer's first input arrives")
    return output.group(*lines, *_difference(data))


def render_recording(data: dict[str, Any]) -> Any:
    """Renders the same of a comparison with a recording: what it holds, how late it is, and what speaks for that."""
    compared = data["compared"]
    lines: list[Any] = [
        f"{'equal' if data['equal'] else 'DIFFERENT'}: the definition and {data['against']} on {data['data']}",
        f"compared: {compared['samples']} sample{'s' * (compared['samples'] > 1)}, {compared['spikes']:,} spikes, "
        f"{compared['cells']:,} cells, {compared['states']:,} of them states",
        _arrays(data["arrays"], compared["steps"]),
    ]
    if data["missing"]:
        lines.append(f"not in the recording, so not compared: {', '.join(data['missing'])}")
    if data["ignored"]:
        lines.append(f"not read, no part of a trace: {', '.join(data['ignored'])}")
    return output.group(*lines, *_difference(data))


def _arrays(rows: list[dict[str, Any]], steps: int) -> Any:
    columns = ["array", "neurons", f"of {steps} steps", "lag", "agree", "of", "at another lag, at most"]
    cells = [
        [
            row["array"],
            f"{row['neurons']:,} of {row['size']:,}",
            f"{row['steps']:,}",
            f"{row['lag']}{'' if row['found'] else ' (given)'}",
            f"{row['agree']:,}",
            f"{row['values']:,}",
            "" if row["at_most"] is None else f"{row['at_most']:,}",
        ]
        for row in rows
    ]
    return output.table("by array, spikes or values other than 0 that agree", columns, cells)


def _difference(data: dict[str, Any]) -> list[Any]:
    lines: list[Any] = []
    if data["first_difference"]:
        lines.append("differences by layer: " + ", ".join(f"{k} {n:,}" for k, n in data["differences"].items()))
        lines.append(f"first difference: {difference(data['first_difference'])}")
        sums = data["sums"]
        lines += ["", (_graded if "state_exp" in sums else _sums)(sums)] if sums else []
        lines += [f"cause ({cause['name']}): {cause['text']}" for cause in data["causes"]]
        if not data["causes"]:
            lines.append("cause: none of the usual ones explains all that was recorded of this neuron in this sample")
    return lines


def _sums(sums: dict[str, Any]) -> Any:
    """What one neuron did at one step, in the order in which it is computed, by the definition and by the engine."""
    expected, actual = sums["expected"], sums["actual"]
    range_of_sum = "in 24 bits" if sums["weight_exp"] is None else f"x 2^{sums['weight_exp']}"
    names = [
        ("total", "sum of weight * event", expected["total"] != expected["a"]),
        (
            "a",
            f"a, the sum {range_of_sum}" if expected["total"] != expected["a"] else "a, the sum of weight * event",
            True,
        ),
        ("u_before", "u at the step before", True),
        ("u_decayed", f"u * (4096 - {sums['current_decay']}) / 4096", True),
        ("activation", "+ (a << 6)", True),
        ("u_exact", "= u before its correction by 2^24", expected["u_exact"] != expected["u"]),
        ("u", "= u", True),
        ("v_before", "v at the step before", True),
        ("v_decayed", f"v * (4096 - {sums['voltage_decay']}) / 4096", True),
        ("bias", "+ (bias << 6)", expected["bias"] != 0),
        ("v_exact", "+ u = v, before it is clipped and reset", True),
        ("threshold", "threshold << 6", True),
        ("s", "s, whether v is above it", True),
        ("v", "v at the end of the step", True),
    ]
    rows = []
    for key, text, shown in names:
        if key == "a" and actual["u"] is not None and actual["a"] is None:
            rows.append([text, _number(expected[key]), "none fits", "<"])
        elif shown:
            rows.append([text, _number(expected[key]), _number(actual[key]), _mark(expected[key], actual[key])])
    events = f"{sums['events']:,} events of {sums['synapses']:,} synapses"
    delayed = f", {sums['delayed']} of them delayed" if sums["delayed"] else ""
    return output.table(f"what led there: {events}{delayed}", ["", "definition", sums["engine"], ""], rows)


def _graded(sums: dict[str, Any]) -> Any:
    """What one sigma-delta neuron did at one step, in the order in which it is computed."""
    expected, actual = sums["expected"], sums["actual"]
    delta = sums["kind"] == "delta"
    names = {
        "total": "the input" if delta else "sum of weight * message",
        "a": "the input << spike_exp + state_exp" if delta else "a, that sum as it arrives",
        "sigma_before": "sigma at the step before",
        "sigma": "= sigma",
        "bias": "+ (bias << spike_exp + state_exp)",
        "act": "= activation",
        "act_before": "- activation at the step before",
        "residue_before": "+ residue of the step before",
        "change": "= change",
        "error": "error, whose magnitude is compared",
        "threshold": "threshold << spike_exp + state_exp",
        "s": "s, the message" if sums["state_exp"] is None else f"s, the message: what is sent >> {sums['state_exp']}",
        "residue": "residue",
    }
    rows = [
        [text, _number(expected[key]), _number(actual[key]), _mark(expected[key], actual[key])]
        for key, text in names.items()
        if expected[key] is not None and not (key == "error" and expected[key] == expected["change"])
    ]
    delayed = f", {sums['delayed']} of them delayed" if sums["delayed"] else ""
    events = "" if delta else f": {sums['events']:,} messages of {sums['synapses']:,} synapses{delayed}"
    return output.table(f"what led there{events}", ["", "definition", sums["engine"], ""], rows)


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _mark(expected: int | None, actual: int | None) -> str:
    return "" if actual is None or expected == actual else "<"


def render_headroom(data: dict[str, Any]) -> Any:
    """Renders how much of each limit is used, and what passing it changed."""
    from snnkd.analysis.headroom import NEAR

    columns = ["layer", "value", "largest", "limit", "used", "bits left", "beyond", "samples"]
    rows, verdicts = [], []
    for row in data["layers"]:
        for number, name in enumerate(name for name in _LIMITS if name in row):
            (words, what), use = _LIMITS[name], row[name]
            left = "" if use["bits_left"] is None else str(use["bits_left"])
            counts = [f"{use['beyond']:,}", f"{use['samples']:,}"]
            shown = row["layer"] if number == 0 else ""
            rows.append([shown, name, f"{use['largest']:,}", f"{use['limit']:,}", f"{use['used']:.1%}", left, *counts])
            if use["beyond"]:
                verdicts.append(
                    f"{row['layer']}: {words} was {what} {use['beyond']:,} times, in {use['samples']:,} of "
                    f"{data['samples']:,} samples"
                )
            elif use["used"] > NEAR:
                verdicts.append(
                    f"{row['layer']}: {words} comes to {use['used']:.1%} of its limit; other input may pass it"
                )
    title = f"headroom in {data['samples']:,} samples of {data['steps']:,} steps"
    verdicts = verdicts or ["nothing comes near a limit"]
    return output.group(
        "", output.table(title, columns, rows, left=2, keys=2), f"data: {data['data']}", *verdicts, *_changed(data)
    )


def _changed(data: dict[str, Any]) -> list[str]:
    if not any(row[name]["beyond"] for row in data["layers"] for name in _LIMITS if name in row):
        return []
    layers = ", ".join(f"{row['layer']} {row['spikes_differing']:,}" for row in data["layers"])
    return [
        f"without these limits {data['classes_differing']:,} of {data['samples']:,} samples would be classified "
        "differently",
        f"spikes that would come or go, by layer: {layers}",
        "so a network that was trained with lava-dl's own neuron, which neither wraps nor saturates, may differ on the "
        "chip from what its author measured",
    ]
