"""`snnkd convert`: a network from one file format to another, and what that changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from snnkd.base.errors import LimitError
from snnkd.cli import output
from snnkd.cli.options import InputFile, InputShape, Json, Labels, shape_of


def convert(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A .net or .nir file.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file that is written: .net, .nir or .onnx.")],
    inputs: InputFile = None,
    labels: Labels = None,
    bits: Annotated[int, typer.Option(min=2, max=8, help="Bits of a weight made of a real number.")] = 8,
    dt: Annotated[
        float | None,
        typer.Option("--dt", help="Seconds of a time step, where a .nir does not tell it.", show_default=False),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Time steps that the network is meant for.", show_default=False)
    ] = None,
    input_shape: InputShape = None,
    as_json: Json = False,
) -> None:
    """Write a network in another format: .net and .nir in both directions, .onnx out.

    A .nir with real numbers becomes an integer network, each layer at the scale at which it loses least: on the events
    of --input, or by its numbers alone. What each rule did, and what the integers change against a run in float64, is
    listed.

    Example: snnkd convert student.net student.nir
    """
    from dataclasses import replace

    from snnkd import formats
    from snnkd.base import files
    from snnkd.data.samples import read_events, read_labels
    from snnkd.ir.events import check_input
    from snnkd.runs.subject import network_file

    suffix = out.suffix if out.suffix in _WRITERS else " or ".join(_WRITERS)
    files.check_output("OUT", out, suffix, [source, inputs, labels])
    if labels is not None and inputs is None:
        raise LimitError("--labels: are the classes of --input, which is missing")
    events = None if inputs is None else read_events(inputs)
    result: dict[str, Any] = {"file": str(source), "out": str(out)}
    if network_file(source).suffix == ".nir":
        from snnkd.analysis import conversion

        classes = None if labels is None else read_labels(labels)
        done = conversion.convert(source, bits, dt, shape_of(input_shape), events, classes, str(inputs))
        net, report = done.net, done.to_json()
    else:
        if dt is not None:
            raise LimitError(f"--dt: is for a .nir file; {source} counts its time in steps")
        net = formats.load(source, shape_of(input_shape))
        report = {"dt": None, "why": "integers, as they were", "layers": [], "effect": None}
        if events is not None:
            check_input(net, events, str(inputs))
    net = net if steps is None else replace(net, steps=steps)
    result |= report | {"not_said": _WRITERS[out.suffix](net, out)}
    output.result(result, as_json, _converted)


def _write_network(net: Any, out: Path) -> list[str]:
    from snnkd import formats
    from snnkd.formats.nir import export

    formats.save(net, out)
    return export.unsaid(net) if out.suffix == ".nir" else []


def _write_onnx(net: Any, out: Path) -> list[str]:
    from snnkd.base import files
    from snnkd.engines import onnx

    if reason := onnx.available() or onnx.refuses(net):
        raise LimitError(f"{out}: {reason}")
    if net.steps is None:
        raise LimitError(
            f"{out}: an ONNX file runs a fixed number of steps, and the network does not tell it: give --steps"
        )
    from snnkd.engines.onnx import graph

    with files.atomic(out) as temporary:
        temporary.write_bytes(graph.inference_model(net, net.steps).SerializeToString(deterministic=True))
    return []


_WRITERS = {".net": _write_network, ".nir": _write_network, ".onnx": _write_onnx}


def _converted(data: dict[str, Any]) -> Any:
    parts: list[Any] = []
    if data["layers"]:
        columns = ["layer", "made of", "becomes", "scale", "weights", "decays"]
        rows = [
            [
                row["layer"],
                ", ".join(row["nodes"]),
                row["becomes"],
                f"{row['scale']:.4g}",
                *(_error(row["errors"][key]) for key in ("weight", "decay")),
            ]
            for row in data["layers"]
        ]
        parts.append(output.table("errors of each layer's numbers", columns, rows, left=3))
    notes = dict.fromkeys(note for row in data["layers"] for note in row["notes"])
    for note in notes:
        parts.append(f"{', '.join(row['layer'] for row in data['layers'] if note in row['notes'])}: {note}")
    if data["effect"] is not None:
        parts += _effect(data["effect"])
    parts += [f"time step: {data['dt']:g} s ({data['why']})" if data["dt"] is not None else data["why"]]
    parts += [f"not said by NIR: {line}" for line in data["not_said"]]
    return output.group(*parts, f"written: {data['out']}")


def _error(value: float) -> str:
    return f"{value:.2%}" if value else "exact"


def _effect(effect: dict[str, Any]) -> list[Any]:
    rows = [
        [row["layer"], f"{row['float64']:,}", f"{row['integers']:,}", f"{row['differ']:.3%}", f"{row['rate']:.4f}"]
        for row in effect["layers"]
    ]
    columns = ["layer", "spikes in float64", "in integers", "differ", "per step"]
    lines: list[Any] = [output.table(f"spikes: {effect['data']}", columns, rows)]
    lines.append(f"the same class in {effect['classes_equal']:.2%} of {effect['samples']:,} samples")
    if effect["accuracy"] is not None:
        lines.append("accuracy: {float64:.2%} in float64, {integers:.2%} in integers".format(**effect["accuracy"]))
    return lines
