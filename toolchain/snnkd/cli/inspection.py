"""`snnkd simulate`, `verify`, `inspect` and `check`: commands on one network."""

from __future__ import annotations

import time
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snnkd.base import progress
from snnkd.base.errors import FormatError, LimitError
from snnkd.cli import output
from snnkd.cli.findings import render_headroom, render_recording, render_verification
from snnkd.cli.health import render_health
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

if TYPE_CHECKING:
    from snnkd.ir.network import IntNet
    from snnkd.ir.trace import SpikeTrace
    from snnkd.runs.subject import Subject

SAMPLES = 16  # that an engine is compared on
_AT_ONCE = 1 << 25  # bytes of traces that `simulate` holds
Checked = Annotated[
    str | None,
    typer.Argument(metavar="RUN|FILE|RECIPE|NETWORK", help="A run, a .net or .nir, or what has not been trained yet."),
]
NetFile = Annotated[Path, typer.Argument(metavar="FILE.net", help="A network file, .net or .nir.")]


def simulate(
    file: NetFile,
    inputs: Annotated[Path, typer.Option("--input", help="Events: .npy or .npz, (N, T, C, H, W) or (N, T, features).")],
    out: Annotated[Path, typer.Option(help="The trace: .npz, or .h5, which may be larger than memory.")],
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
    from snnkd.data.samples import Samples, opened_events
    from snnkd.formats import traces
    from snnkd.runs.subject import network_file

    files.check_output("--out", out, tuple(traces.WRITERS), [file, inputs])
    net = formats.load(network_file(file), shape_of(input_shape))
    samples = Samples(str(inputs), opened_events(net, inputs))
    size = evaluation.block_of(net, samples.steps, states, _AT_ONCE)
    rows: list[dict[str, Any]] = [{"name": name, "spikes": 0, "overflows": 0, "saturations": 0} for name in net.names]
    seconds = 0.0
    with traces.WRITERS[out.suffix](out, len(samples)) as add:
        for events in samples.blocks(size if out.suffix == ".h5" else len(samples)):
            started = time.perf_counter()
            with progress.doing(f"engine {engine} runs"):
                run = evaluation.simulate(net, events, engine, states)
            seconds += time.perf_counter() - started
            add(run)
            _count(rows, run)
    data = {"out": str(out), "samples": len(samples), "steps": samples.steps, "seconds": seconds, "layers": rows}
    output.result(data, as_json, _simulated)


def _count(rows: list[dict[str, Any]], run: SpikeTrace) -> None:
    """Adds what is counted of more samples to the rows of the layers."""
    import numpy as np

    for row, layer in zip(rows, run.layers, strict=True):
        row["spikes"] += int(np.count_nonzero(layer.spikes))
        for what in ("overflows", "saturations"):
            count = getattr(layer, what)  # -1 where the engine cannot tell
            row[what] = count if count < 0 else row[what] + count


def verify(
    name: RunOrNet = None,
    against: Annotated[
        str,
        typer.Option(help="What is compared with the definition: lava, fast, onnx, c99, or a recording, TRACE.npz."),
    ] = "lava",
    lag: Annotated[
        list[str] | None,
        typer.Option(metavar="STEPS|ARRAY=STEPS", help="Steps that a recording lags behind, of all or of one array."),
    ] = None,
    inputs: InputFile = None,
    samples: Annotated[
        int | None,
        typer.Option(
            min=1, help="How many test images, random samples of a .net, or of a recording; 16, or all of it."
        ),
    ] = None,
    input_shape: InputShape = None,
    data_root: DataRoot = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Compare an engine or a recording with the definition, element by element. Exit status 1 if one differs.

    The first difference comes with the sums that led to it, and with its cause where that is a usual one.

    Example: snnkd verify student.net --against lava
    """
    from snnkd.analysis import evaluation
    from snnkd.runs.subject import opened

    subject = opened(name, runs, data_root, shape_of(input_shape))
    if against.endswith(".npz"):
        _verify_recording(subject, Path(against), inputs, samples, lag, as_json)
        return
    if lag is not None:
        raise LimitError(f"--lag {lag[0]}: engines have none; it is for a recording, --against TRACE.npz")
    chosen = subject.samples(samples or SAMPLES, inputs)
    blocks = chosen.blocks(evaluation.block_of(subject.net, chosen.steps, states=True))
    verification = evaluation.verify_blocks(subject.net, blocks, against)
    result = {"against": against, "data": chosen.data, "bias": subject.net.has_bias, **verification.to_json()}
    output.result(result, as_json, render_verification)
    if not verification.equal:
        raise typer.Exit(1)


def _verify_recording(
    subject: Subject, path: Path, inputs: Path | None, samples: int | None, lags: list[str] | None, as_json: bool
) -> None:
    from snnkd.analysis import recording
    from snnkd.ir import partial_trace

    trace = partial_trace.load(path, subject.net)
    given = subject.recorded_input(trace, inputs)
    verification = recording.verify(subject.net, trace.between(0, samples), given.events(0, samples), _lags(lags))
    result = {"against": str(path), "data": given.data, "bias": subject.net.has_bias, **verification.to_json()}
    output.result(result, as_json, render_recording)
    if not verification.equal:
        raise typer.Exit(1)


def _lags(words: list[str] | None) -> int | dict[str, int] | None:
    """Reads the values of --lag: one for all arrays, or those of arrays by name."""
    if not words:
        return None
    pairs = [word.rpartition("=")[::2] for word in words]
    if not all(number.isdecimal() for _, number in pairs) or (len(pairs) > 1 and not all(name for name, _ in pairs)):
        raise FormatError(f"--lag {' --lag '.join(words)}: expected steps, like 1, or layer0=1 for each array")
    return {name: int(number) for name, number in pairs} if pairs[0][0] else int(pairs[0][1])


def inspect(
    name: RunOrNet = None,
    inputs: InputFile = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Headroom on so many test images, or random samples of a .net.")
    ] = None,
    health: Annotated[
        bool, typer.Option("--health", help="What is wrong or wasted on these samples, why, and what to change.")
    ] = False,
    input_shape: InputShape = None,
    readout: ReadoutKind = None,
    data_root: DataRoot = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Show a network: layers, shapes, neurons, weights, encoding and where it came from.

    With --input or --samples also its headroom: how near each layer comes to the limits of its number formats there,
    and what these limits change. With --health instead what is wrong with the network or wasted in it there.

    Example: snnkd inspect student.net
    """
    from snnkd.ir import describe
    from snnkd.runs.subject import opened

    subject = opened(name, runs, data_root, shape_of(input_shape), readout)
    data = {"file": str(subject.path), **describe.network(subject.net).to_json()}
    if health:
        data["health"] = _health(subject, samples, inputs)
    elif inputs is not None or samples is not None:
        from snnkd.analysis import headroom

        chosen = subject.samples(samples, inputs)
        data["headroom"] = {"data": chosen.data, **headroom.measure(subject.net, chosen.events()).to_json()}
    output.result(data, as_json, _inspected)


def _health(subject: Subject, samples: int | None, inputs: Path | None) -> dict[str, Any]:
    from snnkd.analysis import evaluation, health

    count = health.EXAMINED if samples is None and inputs is None and subject.run is not None else samples
    chosen = subject.samples(count, inputs)
    with progress.doing(f"examining {len(chosen):,} samples"):
        found = health.examine(subject.net, chosen.blocks(evaluation.block_of(subject.net, chosen.steps, states=False)))
    return {"data": chosen.data, **found.to_json()}


def check(
    name: Checked = None,
    target: Annotated[str, typer.Option(help="A target's name or the path of your own .toml.")] = "loihi2",
    input_shape: InputShape = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Does a network fit a target, and what would have to change? Exit status 1 if it surely does not.

    A recipe, or a network of models/networks, is checked before it is trained, as if every weight were there.

    Example: snnkd check student.net --target loihi2
    """
    from snnkd import targets
    from snnkd.analysis import fit
    from snnkd.formats import is_network
    from snnkd.runs.subject import opened

    described = None if name is None or is_network(name) else _described(name)
    net = opened(name, runs, input_shape=shape_of(input_shape)).net if described is None else described
    fitted = fit.fit(net, targets.load(target))
    output.result(fitted.to_json(), as_json, _checked)
    if fitted.violations:
        raise typer.Exit(1)


def _described(name: str) -> IntNet | None:
    """The outline of what a description or a recipe says, None for a run."""
    from snnkd.recipe import outline

    return outline.named(name)


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
    from snnkd.ir import describe

    columns = ["layer", "kind", "shape", "connection", "weights", "range", "threshold", "iDecay", "vDecay"]
    if any(row["delay"] for row in data["layers"]):
        columns.insert(6, "delay")
    if any(row["neuron"] != "cuba" for row in data["layers"]):
        columns.insert(2, "neuron")
    rows = [[describe.shortened(str(row.get(column, ""))) for column in columns] for row in data["layers"]]
    facts = [
        f"{key}: {data[key]}"
        for key in (
            "input_shape",
            "steps",
            "message_bits",
            "encoding",
            "readout",
            "early_exit",
            "class_names",
            "parameters",
            "neurons",
            "provenance",
        )
        if data[key] is not None
    ]
    shown = {"headroom": render_headroom, "health": render_health}
    more = [render(data[key]) for key, render in shown.items() if key in data]
    return output.group(output.table(data["file"], columns, rows, left=4), *facts, *more)


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
    if data["placement"] is not None:
        lines += _placed(data["placement"])
    return output.group(*lines)


def _placed(data: dict[str, Any]) -> list[Any]:
    """The cores of each layer, its fullest one in figures."""
    rows = []
    for name, cores in groupby(data["by_core"], key=lambda core: core["layer"]):
        every = list(cores)
        fullest = max(every, key=lambda core: core["utilization"])
        axons = f"{fullest['input_axons']:,} / {fullest['output_axons']:,}"
        used = f"{fullest['utilization']:.0%} {fullest['binds']}"
        numbers = [f"{fullest[key]:,}" for key in ("neurons", "synapse_bytes")]
        rows.append([name, f"{len(every):,}", *numbers, axons, used])
    title = f"placement: {data['cores']:,} cores on {data['chips']} chip(s), at least {data['lower_bound']:,} in all"
    columns = ["layer", "cores", "neurons", "synapse bytes", "axons in / out", "fullest core"]
    return ["", output.table(title, columns, rows)]
