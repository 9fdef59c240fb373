"""`snnkd evaluate`: accuracy on test images, clean and corrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from snnkd.base.errors import LimitError
from snnkd.cli import output
from snnkd.cli.options import DEFAULT_RUNS, DataRoot, InputFile, InputShape, Json, Labels, Runs, shape_of


def evaluate(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="RUN|FILE.net", help="Run folders, their names, or .net files.")
    ] = None,
    corrupt: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="gaussian, impulse, shot, speckle, blur, occlusion: also on such images; background: recordings.",
        ),
    ] = None,
    severity: Annotated[str, typer.Option(metavar="1-5", help="How strongly: 1-5, 3 or 1,3,5.")] = "1-5",
    networks: Annotated[
        str,
        typer.Option(metavar="NAME,...", help="Of a run: student, any other stage of its chain, baseline."),
    ] = "student",
    samples: Annotated[int | None, typer.Option(min=1, help="How many test images; all unless given.")] = None,
    data: Annotated[
        str | None, typer.Option(metavar="SET", help="Test images for a FILE.net: a data set's name or path.")
    ] = None,
    inputs: InputFile = None,
    labels: Labels = None,
    input_shape: InputShape = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Also draw accuracy by severity.")] = None,
    data_root: DataRoot = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Measure accuracy on test images, clean and corrupted; several networks side by side.

    Example: snnkd evaluate --corrupt gaussian,blur --severity 1-5 --plot noise.svg
    """
    from snnkd.base import files
    from snnkd.cli.progress import Counter
    from snnkd.runs import robustness
    from snnkd.runs.subject import opened

    chosen = robustness.levels(corrupt, severity)
    if plot is not None and not chosen:
        raise LimitError("--plot: draws accuracy on corrupted images; give --corrupt")
    subjects = [opened(name, runs, data_root, shape_of(input_shape)) for name in names or [None]]
    if plot is not None:
        files.check_output("--plot", plot, ".svg", [path for subject in subjects for path in subject.inputs])
    for option, value in {"--data": data, "--input": inputs, "--labels": labels}.items():
        if value is not None and all(subject.run is not None for subject in subjects):
            raise LimitError(f"{option}: a run has its own test images; this option is for a FILE.net")
    judged: list[robustness.Judged] = []
    for subject in subjects:
        if subject.run is not None:
            judged += robustness.networks_of_run(subject, networks.split(","), samples)
        else:
            judged.append(robustness.network_of_file(subject, data, inputs, labels, samples))
    with Counter("networks x images", len(judged) * (1 + len(chosen))) as counter:
        result = robustness.evaluate(judged, chosen, lambda _: counter.advance()).to_json()
    if plot is not None:
        from snnkd.report import robustness_plot

        files.write_text(plot, robustness_plot(result["rows"]))
    output.result({**result, "plot": None if plot is None else str(plot)}, as_json, _evaluated)


def _evaluated(data: dict[str, Any]) -> Any:
    from snnkd.report import robustness_table

    table = robustness_table(data)
    return output.group(table, f"written: {data['plot']}") if data["plot"] else table
