"""`snnkd simulate`, `verify`, `inspect` and `check`: commands on one network."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from snnkd.cli import output
from snnkd.cli.findings import render_headroom, render_verification
from snnkd.cli.options import (
    DEFAULT_RUNS,
    DataRoot,
    InputFile,
    InputShape,
    Json,
    ReadoutKind,
    RunOrNet,
    Runs,
    shape_of,
)

NetFile = Annotated[Path, typer.Argument(metavar="FILE.net", help="A network file, .net or .nir.")]


def simulate(
    file: NetFile,
    inputs: Annotated[Path, typer.Option("--input", help="Events: .npy (N, T, C, H, W) or (N, T, features).")],
    out: Annotated[Path, typer.Option(help="The .npz that the trace is written to.")],
    states: Annotated[bool, typer.Option("--states", help="Also write u and v of every step.")] = False,
    engine: Annotated[str, typer.Option(help="What runs it: fast, reference, lava, onnx or c99.")] = "fast",
    input_shape: InputShape = None,
    as_json: Json = False,
) -> None:
    """Run a network on given events and write the spikes of every layer.

    Example: snnkd simulate student.net --input events.npy --out trace.npz
    """
    from snnkd import formats
    from snnkd.analysis import evaluation
    from snnkd.base import files
    from snnkd.data.samples import read_array
    from snnkd.ir import trace

    files.check_output("--out", out, ".npz", [file, inputs])
    net, events = formats.load(file, shape_of(input_shape)), read_array(inputs)
    started = time.perf_counter()
    run = evaluation.simulate(net, events, engine, states)
    seconds = time.perf_counter() - started
    trace.save(run, out)
    layers = [
        {
            "name": row.name,
            "spikes": int((row.spikes != 0).sum()),
            "overflows": row.overflows,
            "saturations": row.saturations,
        }
        for row in run.layers
    ]
    data = {"out": str(out), "samples": run.samples, "steps": run.steps, "seconds": seconds, "layers": layers}
    output.result(data, as_json, _simulated)


def verify(
    name: RunOrNet = None,
    against: Annotated[
        str, typer.Option(help="The engine to compare with the definition: lava, fast, onnx or c99.")
    ] = "lava",
    inputs: InputFile = None,
    samples: Annotated[int, typer.Option(min=1, help="How many test images, or random samples of a .net.")] = 16,
    input_shape: InputShape = None,
    data_root: DataRoot = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Compare an engine with the definition: spikes and states, element by element. Exit status 1 if one differs.

    The first difference comes with the sums that led to it, and with its cause where that is a usual one.

    Example: snnkd verify student.net --against lava
    """
    from snnkd.analysis import evaluation
    from snnkd.runs.subject import opened

    subject = opened(name, runs, data_root, shape_of(input_shape))
    chosen = subject.samples(samples, inputs)
    blocks = chosen.blocks(evaluation.block_of(subject.net, chosen.steps, states=True))
    verification = evaluation.verify_blocks(subject.net, blocks, against)
    result = {"against": against, "data": chosen.data, "bias": subject.net.has_bias, **verification.to_json()}
    output.result(result, as_json, render_verification)
    if not verification.equal:
        raise typer.Exit(1)


def inspect(
    name: RunOrNet = None,
    inputs: InputFile = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Headroom on so many test images, or random samples of a .net.")
    ] = None,
    input_shape: InputShape = None,
    readout: ReadoutKind = None,
    data_root: DataRoot = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Show a network: layers, shapes, neurons, weights, encoding and where it came from.

    With --input or --samples also its headroom: how near each layer comes to the limits of its number formats there,
    and what these limits change.

    Example: snnkd inspect student.net
    """
    from snnkd.ir import describe
    from snnkd.runs.subject import opened

    subject = opened(name, runs, data_root, shape_of(input_shape), readout)
    data = {"file": str(subject.path), **describe.network(subject.net)}
    if inputs is not None or samples is not None:
        from snnkd.analysis import headroom

        chosen = subject.samples(samples, inputs)
        data["headroom"] = {"data": chosen.data, **headroom.measure(subject.net, chosen.events()).to_json()}
    output.result(data, as_json, _inspected)


def check(
    name: RunOrNet = None,
    target: Annotated[str, typer.Option(help="A target's name or the path of your own .toml.")] = "loihi2",
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Does a network fit a target, and what would have to change? Exit status 1 if it surely does not.

    Example: snnkd check student.net --target loihi2
    """
    from snnkd import targets
    from snnkd.analysis import fit
    from snnkd.runs.subject import opened

    fitted = fit.fit(opened(name, runs).net, targets.load(target))
    output.result(fitted.to_json(), as_json, _checked)
    if fitted.violations:
        raise typer.Exit(1)


def _simulated(data: dict[str, Any]) -> Any:
    rows = [
        [row["name"], f"{row['spikes']:,}", _known(row["overflows"]), _known(row["saturations"])]
        for row in data["layers"]
    ]
    title = f"{data['out']}: {data['samples']} samples of {data['steps']} steps in {data['seconds']:.2f} s"
    return output.table(title, ["layer", "spikes", "overflows", "saturations"], rows)


def _known(count: int) -> str:
    return "not known" if count < 0 else f"{count:,}"


def _inspected(data: dict[str, Any]) -> Any:
    columns = ["layer", "kind", "shape", "connection", "weights", "range", "threshold", "iDecay", "vDecay"]
    if any(row["delay"] for row in data["layers"]):
        columns.insert(6, "delay")
    if any(row["neuron"] != "cuba" for row in data["layers"]):
        columns.insert(2, "neuron")
    rows = [[_shortened(str(row.get(column, ""))) for column in columns] for row in data["layers"]]
    facts = [
        f"{key}: {data[key]}"
        for key in (
            "input_shape",
            "steps",
            "message_bits",
            "encoding",
            "readout",
            "early_exit",
            "parameters",
            "neurons",
            "provenance",
        )
        if data[key] is not None
    ]
    room = [render_headroom(data["headroom"])] if "headroom" in data else []
    return output.group(output.table(data["file"], columns, rows, left=4), *facts, *room)


def _shortened(text: str) -> str:
    """A connection without what is the same in most networks, and with one number for two equal ones."""
    text = re.sub(r", (?:stride \(1, 1\)|padding \(0, 0\)|dilation \(1, 1\)|groups 1$)", "", text)
    return re.sub(r"\((\d+), \1\)", r"\1", text)


def _checked(data: dict[str, Any]) -> Any:
    words = {
        "refused": "does not fit",
        "optimistic": "may fit, at the published ceilings only",
        "likely": "likely fits; only the chip's own compiler can promise it",
    }
    cores = f"cores at least: {data['cores']}" if data["cores"] is not None else "cores: this target has no limit"
    lines: list[Any] = [f"{data['target']}: {words[data['verdict']]} ({cores})"]
    if data["violations"]:
        columns = ["layer", "limit", "actual", "allowed", "fix"]
        rows = [[str(violation[column]) for column in columns] for violation in data["violations"]]
        lines.append(output.table("violations", columns, rows, left=5))
    return output.group(*lines)
