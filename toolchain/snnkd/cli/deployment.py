"""`snnkd export` and `snnkd profile`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snnkd.base.errors import LimitError
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

if TYPE_CHECKING:
    from snnkd.analysis.energy import Energy, Profile
    from snnkd.analysis.processor import ProcessorEnergy
    from snnkd.targets.measurement import Measurement

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
    measured: Annotated[
        list[Path] | None,
        typer.Option("--measured", metavar="FILE.toml", help="Your own measurement, beside the estimate; repeatable."),
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Fit the target's costs to the measurements, as a target of your own.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Where that target goes; TARGET-calibrated.toml.")
    ] = None,
    data_root: DataRoot = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Count spikes, synaptic operations and updates by layer, and estimate the energy with its range.

    Example: snnkd profile --energy --target loihi2
    """
    if calibrate and not measured:
        raise LimitError("--calibrate: needs measurements to fit the costs to; give them with --measured FILE.toml")
    if out is not None and not calibrate:
        raise LimitError(f"--out {out}: is where --calibrate writes the fitted target, which is missing")
    measurements = _measurements(measured or (), target or ())
    targets = tuple(target or dict.fromkeys(one.target for one, _ in measurements))
    asked = targets if energy or sources or targets else None
    profiled = [
        _profile(name, asked, samples, inputs, shape_of(input_shape), data_root, runs) for name in names or [None]
    ]
    pairs = _beside(profiled, measurements)
    read = [*targets, *(measured or ()), *(path for one in profiled for path in one.inputs)]
    fitted = {"calibration": _calibrated(pairs, out, read)} if calibrate else {}
    shown = [one.to_json() for one in profiled]
    if table is not None:
        from snnkd.report import profiles

        profiles.write_csv(shown, table)
    whole = shown[0] if len(shown) == 1 else {"profiles": shown}
    output.result(whole | fitted, as_json, lambda _: _profiles(shown, sources, fitted.get("calibration")))


def _profiles(profiled: list[dict[str, Any]], sources: bool, calibration: dict[str, Any] | None) -> Any:
    from snnkd.report import measured

    shown = [render_profile(result, sources) for result in profiled]
    if len(profiled) > 1:
        from snnkd.report import profiles

        shown.append(profiles.side_by_side(profiled))
    return output.group(*shown, *([measured.calibrated(calibration)] if calibration else []))


@dataclass(frozen=True)
class _Profiled:
    """A profile, the names by which its network may be called, the files that it was made of, and what else a run's
    command prints."""

    name: str
    profile: Profile
    called: set[str]
    inputs: list[Path]
    more: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, **self.profile.to_json(), **self.more}


def _profile(
    name: str | None,
    targets: tuple[str, ...] | None,
    samples: int | None,
    inputs: Path | None,
    input_shape: tuple[int, ...] | None,
    data_root: Path | None,
    runs: Path,
) -> _Profiled:
    from snnkd.runs import subject

    if not subject.is_file(name):
        from snnkd.runs import find, pipeline

        refuse_for_runs({"--input": inputs, "--input-shape": input_shape})
        run = find(name, runs)
        context = pipeline.Context(run, data_root, profile=pipeline.ProfileOptions(targets or (), samples))
        done = pipeline.walk(context, "profile")["profile"]
        profile = done.profile
        if targets is None:  # its file has the energy of all targets
            profile = replace(profile, energy={}, in_memory=None, teachers=())
        return _Profiled(done.name, profile, {done.name, run.folder.name}, run.inputs, {"stored": done.stored})
    from snnkd.analysis import evaluation

    file = subject.opened(name, input_shape=input_shape)
    chosen = file.samples(samples, inputs)
    seen = evaluation.survey(file.net, chosen.blocks(evaluation.BLOCK), file.net.early_exit is not None)
    counted = evaluation.profile_of(file.net, seen, targets, chosen.data)
    read = [*file.inputs, *([inputs] if inputs else [])]
    return _Profiled(file.name, counted, {file.name, file.path.name, file.short_name}, read)


def _measurements(paths: Sequence[Path], named: Sequence[str]) -> list[tuple[Measurement, str]]:
    """The measurements, and the names of the targets that they are of."""
    if not paths:
        return []
    from snnkd.analysis.measured import target_names
    from snnkd.targets import measurement

    read = [measurement.load(path) for path in paths]
    return list(zip(read, target_names(read, named), strict=True))


def _beside(
    profiled: list[_Profiled], measurements: list[tuple[Measurement, str]]
) -> list[tuple[Measurement, Energy | ProcessorEnergy]]:
    """Puts measurements beside the estimates in `profiled`; each with its estimate."""
    if not measurements:
        return []
    from snnkd.analysis import measured

    pairs = []
    for one, target in measurements:
        k = measured.network_of(one, [each.called for each in profiled])
        profiled[k] = replace(profiled[k], profile=measured.beside(profiled[k].profile, target, one))
        pairs.append((one, profiled[k].profile.energy[target].estimate))
    return pairs


def _calibrated(
    pairs: list[tuple[Measurement, Energy | ProcessorEnergy]], out: Path | None, inputs: list[str | Path]
) -> dict[str, Any]:
    """Fits costs to measurements and writes the target that has them; what the command prints of it."""
    from snnkd.analysis import calibration
    from snnkd.base import files
    from snnkd.targets.writing import to_toml

    fitted = calibration.calibrate(pairs)
    path = out or Path(f"{fitted.target.name}.toml")
    files.check_output("--out", path, ".toml", inputs)
    files.write_text(path, to_toml(fitted.target))
    return {**fitted.to_json(), "file": str(path)}


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
    from snnkd.report import measured, profile_table

    table = profile_table(data, title=data["name"], sources=sources)
    return output.group(table, *measured.beside(data), *([stored(data)] if "stored" in data else []))
