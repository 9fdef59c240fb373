"""`snnkd simulate`, `verify`, `inspect` and `check`: commands on one network."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from snnkd.cli import output
from snnkd.cli.deployment import difference, given_events
from snnkd.cli.options import (
    DEFAULT_RUNS,
    DataRoot,
    InputFile,
    Json,
    RunOrNet,
    Runs,
    is_net,
    read_events,
)

NetFile = Annotated[Path, typer.Argument(metavar="FILE.net", help="A network file.")]


def simulate(
    file: NetFile,
    inputs: Annotated[Path, typer.Option("--input", help="Events: .npy (N, T, C, H, W) or (N, T, features).")],
    out: Annotated[Path, typer.Option(help="The .npz that the trace is written to.")],
    states: Annotated[bool, typer.Option("--states", help="Also write u and v of every step.")] = False,
    engine: Annotated[str, typer.Option(help="What runs it: fast, reference or lava.")] = "fast",
    as_json: Json = False,
) -> None:
    """Run a network on given events and write the spikes of every layer.

    Example: snnkd simulate student.net --input events.npy --out trace.npz
    """
    from snnkd import evaluation, netx, trace

    net, events = netx.load(file), read_events(inputs)
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
    against: Annotated[str, typer.Option(help="The engine to compare with the definition: lava or fast.")] = "lava",
    inputs: InputFile = None,
    samples: Annotated[int, typer.Option(min=1, help="How many test images, or random samples of a .net.")] = 16,
    data_root: DataRoot = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Compare an engine with the definition: spikes and states, element by element. Exit status 1 if one differs.

    Example: snnkd verify student.net --against lava
    """
    from snnkd import evaluation

    net, events, data = _network_and_events(name, inputs, samples, data_root, runs)
    verification = evaluation.verify(net, events, against)
    result = {"against": against, "data": data, "bias": net.has_bias, **verification.to_json()}
    output.result(result, as_json, _verified)
    if not verification.equal:
        raise typer.Exit(1)


def inspect(name: RunOrNet = None, runs: Runs = DEFAULT_RUNS, as_json: Json = False) -> None:
    """Show a network: layers, shapes, neurons, weights, encoding and where it came from.

    Example: snnkd inspect student.net
    """
    from snnkd import netx

    path = _net_path(name, runs)
    output.result({"file": str(path), **netx.load(path).describe()}, as_json, _inspected)


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


def _network_and_events(
    name: str | None, inputs: Path | None, samples: int, data_root: Path | None, runs: Path
) -> tuple[Any, Any, str]:
    """The network, the events to run it on, and what these are."""
    from snnkd import netx, pipeline
    from snnkd.runs import find

    net = netx.load(_net_path(name, runs))
    if is_net(name) or inputs is not None:
        return net, *given_events(net, inputs, samples)
    return net, *pipeline.Context(find(name, runs), data_root).test_events(samples)


def _simulated(data: dict[str, Any]) -> Any:
    rows = [
        [row["name"], f"{row['spikes']:,}", _known(row["overflows"]), _known(row["saturations"])]
        for row in data["layers"]
    ]
    title = f"{data['out']}: {data['samples']} samples of {data['steps']} steps in {data['seconds']:.2f} s"
    return output.table(title, ["layer", "spikes", "overflows", "saturations"], rows)


def _known(count: int) -> str:
    return "not known" if count < 0 else f"{count:,}"


def _verified(data: dict[str, Any]) -> Any:
    compared = data["compared"]
    lines = [
        f"{'equal' if data['equal'] else 'DIFFERENT'}: the definition and {data['against']} on {data['data']}",
        f"compared: {compared['samples']} samples of {compared['steps']} steps, {compared['spikes']:,} spikes, "
        f"{compared['cells']:,} cells, {compared['states']:,} of them states",
    ]
    if data["bias"]:
        lines.append("biased layers: layer-local timing; Lava was reset when each layer's first input arrives")
    if data["first_difference"]:
        lines.append(f"first difference: {difference(data['first_difference'])}")
        lines.append("differences by layer: " + ", ".join(f"{k} {n:,}" for k, n in data["differences"].items()))
    return output.group(*lines)


def _inspected(data: dict[str, Any]) -> Any:
    columns = ["layer", "kind", "shape", "connection", "weights", "range", "delay", "threshold", "iDecay", "vDecay"]
    rows = [[str(row[column]) for column in columns] for row in data["layers"]]
    facts = [
        f"{key}: {data[key]}"
        for key in (
            "input_shape",
            "steps",
            "message_bits",
            "encoding",
            "readout",
            "parameters",
            "neurons",
            "provenance",
        )
        if data[key] is not None
    ]
    return output.group(output.table(data["file"], columns, rows, left=4), *facts)


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
