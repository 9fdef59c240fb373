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
    refuse_for_runs,
    shape_of,
)

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
    from snnkd import api

    exported = api.export(name, target, out, samples, data_root, runs)
    output.result(exported.to_json(), as_json, render_export)
    if exported.differences:
        raise typer.Exit(1)


def profile(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN|FILE.net", help="Run folders, their names, or .net and .nir files."),
    ] = None,
    energy: Annotated[bool, typer.Option("--energy", help="Also estimate the energy on each target.")] = False,
    sources: Annotated[bool, typer.Option("--sources", help="The same, with where each constant is from.")] = False,
    target: Targets = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="How many: test images, 1000; random samples of a .net, 16.")
    ] = None,
    inputs: InputFile = None,
    input_shape: InputShape = None,
    table: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="All figures as a table.")] = None,
    data_root: DataRoot = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Count spikes, synaptic operations and updates by layer, and estimate the energy with its range.

    Example: snnkd profile --energy --target loihi2
    """
    targets = tuple(target or ()) if energy or sources or target else None
    profiled = [
        _profile(name, targets, samples, inputs, shape_of(input_shape), data_root, runs) for name in names or [None]
    ]
    if table is not None:
        from snnkd.report import profiles

        profiles.write_csv(profiled, table)
    whole = profiled[0] if len(profiled) == 1 else {"profiles": profiled}
    output.result(whole, as_json, lambda _: _profiles(profiled, sources))


def _profiles(profiled: list[dict[str, Any]], sources: bool) -> Any:
    from snnkd.report import profiles

    shown = [render_profile(result, sources) for result in profiled]
    return output.group(*shown, *([profiles.side_by_side(profiled)] if len(profiled) > 1 else []))


def _profile(
    name: str | None,
    targets: tuple[str, ...] | None,
    samples: int | None,
    inputs: Path | None,
    input_shape: tuple[int, ...] | None,
    data_root: Path | None,
    runs: Path,
) -> dict[str, Any]:
    from snnkd.runs import subject

    if not subject.is_file(name):
        from snnkd.runs import find, pipeline

        refuse_for_runs({"--input": inputs, "--input-shape": input_shape})
        context = pipeline.Context(find(name, runs), data_root, profile=pipeline.ProfileOptions(targets or (), samples))
        whole = pipeline.walk(context, "profile")["profile"].to_json()
        if targets is None:  # its file has the energy of all targets
            whole = {key: value for key, value in whole.items() if key not in ("in_memory", "teachers")} | {
                "energy": {}
            }
        return whole
    from snnkd.analysis import evaluation

    file = subject.opened(name, input_shape=input_shape)
    chosen = file.samples(samples, inputs)
    seen = evaluation.survey(file.net, chosen.blocks(evaluation.BLOCK), file.net.early_exit is not None)
    counted = evaluation.profile_of(file.net, seen, targets, chosen.data)
    return {"name": file.name, **counted.to_json()}


def render_export(data: dict[str, Any]) -> Any:
    """Renders what export compared, and the first difference with each engine that has outcome."""
    compared = data["compared"]
    lines = [
        f"exported: {data['file']}",
        f"compared: {compared['samples']} samples of {compared['steps']} steps, {compared['spikes']:,} spikes in "
        f"{compared['cells']:,} cells, of the reference with " + " and ".join(data["against"]),
        f"differences: {data['differences']}",
    ]
    for engine, outcome in data["against"].items():
        if outcome["first_difference"]:
            lines.append(f"first with {engine}: {difference(outcome['first_difference'])}")
    return output.group(*lines, stored(data))


def stored(data: dict[str, Any]) -> str:
    """Says where the run folder keeps these results, or why it does not."""
    if data["stored"]:
        return f"stored: {data['stored']}"
    return "not stored: with options of its own; the run folder keeps the results of the defaults"


def difference(first: dict[str, Any]) -> str:
    """Says the first difference of a comparison, in words."""
    return (
        f"{first['quantity']} of {first['layer']}, sample {first['sample']}, step {first['step']}, neuron "
        f"{first['neuron']}: expected {first['expected']}, found {first['actual']}"
    )


def render_profile(data: dict[str, Any], sources: bool = False) -> Any:
    """Renders the tables of a profile."""
    from snnkd.report import profile_table

    table = profile_table(data, title=data["name"], sources=sources)
    return output.group(table, stored(data)) if "stored" in data else table
