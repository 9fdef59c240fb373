"""`snnkd simulate`, `verify`, `inspect` and `check`: commands on one network."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from snnkd.cli import output
from snnkd.cli.deployment import given_events
from snnkd.cli.findings import headroom_found, verified
from snnkd.cli.options import (
    DEFAULT_RUNS,
    DataRoot,
    InputFile,
    InputShape,
    Json,
    ReadoutKind,
    RunOrNet,
    Runs,
    is_net,
    read_events,
    shape_of,
    with_readout,
)

NetFile = Annotated[Path, typer.Argument(metavar="FILE.net", help="A network file.")]


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
    from snnkd import evaluation, files, netx, trace

    files.check_output("--out", out, ".npz", [file, inputs])
    net, events = netx.load(file, shape_of(input_shape)), read_events(inputs)
    started = time.perf_counter()
    found = evaluation.simulate(net, events, engine, states)
    seconds = time.perf_counter() - started
    trace.save(found, out)
    layers = [
        {
            "name": row.name,
            "spikes": int((row.spikes != 0).sum()),
            "overflows": row.overflows,
            "saturations": row.saturations,
        }
        for row in found.layers
    ]
    data = {"out": str(out), "samples": found.samples, "steps": found.steps, "seconds": seconds, "layers": layers}
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
    from snnkd import evaluation

    net = _network(name, input_shape, runs)
    events, data = _events(net, name, inputs, samples, data_root, runs)
    verification = evaluation.verify(net, events, against)
    result = {"against": against, "data": data, "bias": net.has_bias, **verification.to_json()}
    output.result(result, as_json, verified)
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
    net = with_readout(_network(name, input_shape, runs), readout)
    data = {"file": str(_net_path(name, runs)), **net.describe()}
    if inputs is not None or samples is not None:
        from snnkd import headroom

        events, what = _events(net, name, inputs, samples or 0, data_root, runs)
        data["headroom"] = {"data": what, **headroom.measure(net, events).to_json()}
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
    from snnkd import netx, targets

    found = targets.fit(netx.load(_net_path(name, runs)), targets.load(target))
    output.result(found, as_json, _checked)
    if found["violations"]:
        raise typer.Exit(1)


def _net_path(name: str | None, runs: Path) -> Path:
    from snnkd.runs import find

    return Path(str(name)) if is_net(name) else find(name, runs).student


def _network(name: str | None, input_shape: str | None, runs: Path) -> Any:
    from snnkd import netx

    return netx.load(_net_path(name, runs), shape_of(input_shape))


def _events(
    net: Any, name: str | None, inputs: Path | None, samples: int, data_root: Path | None, runs: Path
) -> tuple[Any, str]:
    """Events to run the network on, and what these are."""
    from snnkd import pipeline
    from snnkd.runs import find

    if is_net(name) or inputs is not None:
        return given_events(net, inputs, samples)
    return pipeline.Context(find(name, runs), data_root).test_events(samples)


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
    rows = [[_shortened(str(row[column])) for column in columns] for row in data["layers"]]
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
    found = [headroom_found(data["headroom"])] if "headroom" in data else []
    return output.group(output.table(data["file"], columns, rows, left=4), *facts, *found)


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
        rows = [[str(one[column]) for column in columns] for one in data["violations"]]
        lines.append(output.table("violations", columns, rows, left=5))
    return output.group(*lines)
