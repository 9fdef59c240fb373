"""`snnkd export` and `snnkd profile`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from snnkd.cli import output
from snnkd.cli.options import (
    DEFAULT_RUNS,
    DataRoot,
    InputFile,
    InputShape,
    Json,
    RunName,
    Runs,
    is_net,
    read_events,
    shape_of,
)
from snnkd.errors import LimitError

Targets = Annotated[
    list[str] | None,
    typer.Option("--target", metavar="NAME|FILE.toml", help="A target with costs, implies --energy; repeatable."),
]


def export(
    name: RunName = None,
    target: Annotated[
        str | None, typer.Option(help="A target that can be run here, see `snnkd targets`; the recipe's unless given.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The .net file; in the run folder unless given.")] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Test images that are compared, 16.")] = None,
    data_root: DataRoot = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Write the student for a target, run it there and compare every spike. Exit status 1 if one differs.

    Example: snnkd export --target loihi2-sim --out student.net
    """
    from snnkd import pipeline
    from snnkd.runs import find

    context = pipeline.Context(find(name, runs), data_root, target=target, out=out, samples=samples)
    done = pipeline.walk(context, "export")["export"]
    output.result(done, as_json, exported)
    if done["differences"]:
        raise typer.Exit(1)


def profile(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="RUN|FILE.net", help="Run folders, their names, or .net files.")
    ] = None,
    energy: Annotated[bool, typer.Option("--energy", help="Also estimate the energy on each target.")] = False,
    sources: Annotated[bool, typer.Option("--sources", help="The same, with where each constant is from.")] = False,
    target: Targets = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="How many: test images, 1000; random samples of a .net, 16.")
    ] = None,
    inputs: InputFile = None,
    input_shape: InputShape = None,
    data_root: DataRoot = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Count spikes, synaptic operations and updates by layer, and estimate the energy with its range.

    Example: snnkd profile --energy --target loihi2
    """
    results = [
        _profile(name, tuple(target or ()), samples, inputs, input_shape, data_root, runs) for name in names or [None]
    ]
    for one in results:
        if not (energy or sources or target):
            one["energy"] = {}
    whole = results[0] if len(results) == 1 else {"profiles": results}
    output.result(whole, as_json, lambda _: output.group(*(profiled(one, sources) for one in results)))


def _profile(
    name: str | None,
    targets: tuple[str, ...],
    samples: int | None,
    inputs: Path | None,
    input_shape: str | None,
    data_root: Path | None,
    runs: Path,
) -> dict[str, Any]:
    if name is not None and is_net(name):
        from snnkd import evaluation, netx

        net = netx.load(Path(name), shape_of(input_shape))
        events, data = given_events(net, inputs, samples or 16)
        return {"name": name, **evaluation.profile(net, events, targets, data)}
    from snnkd import pipeline
    from snnkd.runs import find

    if inputs is not None:
        raise LimitError("--input: a run is profiled on its own test images; give its student.net to use other events")
    if input_shape is not None:
        raise LimitError("--input-shape: a run tells the shape of its input; this option is for a FILE.net")
    context = pipeline.Context(find(name, runs), data_root, targets=targets, samples=samples)
    return pipeline.walk(context, "profile")["profile"]


def given_events(net: Any, inputs: Path | None, samples: int) -> tuple[Any, str]:
    """Events of --input and what they are, or seeded random ones for a file that comes without."""
    from snnkd import evaluation, reference

    if inputs is not None:
        return reference.check_input(net, read_events(inputs)), str(inputs)
    return evaluation.random_input(net, samples)


def exported(data: dict[str, Any]) -> Any:
    """What export compared, and the first difference with each engine that has one."""
    compared = data["compared"]
    lines = [
        f"exported: {data['file']}",
        f"compared: {compared['samples']} samples of {compared['steps']} steps, {compared['spikes']:,} spikes in "
        f"{compared['cells']:,} cells, of the reference with " + " and ".join(data["against"]),
        f"differences: {data['differences']}",
    ]
    for engine, one in data["against"].items():
        if one["first_difference"]:
            lines.append(f"first with {engine}: {difference(one['first_difference'])}")
    return output.group(*lines, stored(data))


def stored(data: dict[str, Any]) -> str:
    """Where the run folder keeps these results, or why it does not."""
    if data["stored"]:
        return f"stored: {data['stored']}"
    return "not stored: with options of its own; the run folder keeps the results of the defaults"


def difference(first: dict[str, Any]) -> str:
    """The first difference of a comparison, in words."""
    return (
        f"{first['quantity']} of {first['layer']}, sample {first['sample']}, step {first['step']}, neuron "
        f"{first['neuron']}: expected {first['expected']}, found {first['actual']}"
    )


def profiled(data: dict[str, Any], sources: bool = False) -> Any:
    """The tables of a profile."""
    from snnkd.report import profile_table

    table = profile_table(data, title=data["name"], sources=sources)
    return output.group(table, stored(data)) if "stored" in data else table
