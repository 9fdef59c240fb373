"""`snnkd sweep`, and how the results of one are shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snnkd.cli import output
from snnkd.cli.options import DataRoot, Json

if TYPE_CHECKING:
    from snnkd.runs.sweep_results import Row

Recipes = Annotated[list[str], typer.Argument(metavar="RECIPE...", help="Recipes' names or paths of your own .toml.")]
Seeds = Annotated[str, typer.Option(metavar="LIST", help="Seeds of each cell: 1-5, 3 or 1,3,5.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=VALUE,...", help="Values of a field; repeatable: all choices.")
]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder of the run folders and results.csv.")]
Jobs = Annotated[
    int | None,
    typer.Option(metavar="N", help="Processes of this machine; as many as it has cores.", show_default=False),
]
Ray = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="Train on a Ray cluster: auto, HOST:PORT or ray://HOST:PORT.", show_default=False
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


def sweep(
    recipes: Recipes,
    seeds: Seeds = "1-3",
    overrides: Set = None,
    out: Out = Path("sweep"),
    jobs: Jobs = None,
    ray: Ray = None,
    data_root: DataRoot = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Train recipes x overrides x seeds, on all cores or on a Ray cluster; the same command goes on.

    Example: snnkd sweep digits --seeds 1-5 --set chain.student.epochs=20,40
    """
    from snnkd.recipe import warnings
    from snnkd.runs import cells, sweep_results
    from snnkd.runs.sweep import SweepOptions

    grid = cells.grid(recipes, cells.seeds(seeds), overrides or [])
    for text in dict.fromkeys(text for cell in grid for text in warnings(cell.recipe)):
        output.warn(text)
    result = sweep_results.collect(grid, SweepOptions(out, jobs, ray, data_root, device), _told)
    output.result(result.to_json(), as_json, statistics)
    if result.failed:
        raise typer.Exit(1)


def _told(row: Row) -> None:
    if row.error is None:
        output.note(f"{row.cell}, seed {row.seed}: {row.accuracy:.2%}")
    else:
        output.fail(f"{row.cell}, seed {row.seed}: {row.error}")


def statistics(data: dict[str, Any]) -> Any:
    """Renders the table of a sweep: a row for each cell, over its seeds."""
    from snnkd.report.terminal import number

    def shown(mean: dict[str, Any] | None, sign: str = "-", percent: bool = True) -> str:
        if mean is None:
            return "-"
        value = f"{100 * mean['mean']:{sign}.2f}" if percent else number(mean["mean"])
        if mean["interval"] is None:
            return value
        half = (mean["interval"][1] - mean["interval"][0]) / 2
        return f"{value} ± {100 * half:.2f}" if percent else f"{value} ± {number(half)}"

    rows = [
        [
            cell["cell"],
            cell["data_set"] or "-",
            *("-" if cell[key] is None else f"{cell[key]:,}" for key in ("parameters", "steps")),
            str(len(cell["accuracy"]["seeds"]) if cell["accuracy"] else 0),
            *map(shown, (cell["float_accuracy"], cell["accuracy"])),
            shown(cell["difference"], "+"),
            shown(cell["spikes"], percent=False),
        ]
        for cell in data["cells"]
    ]
    title = f"{data['folder']}: accuracy in % of the test images, mean over n seeds ± half the 95 % interval"
    columns = ["cell", "data", "parameters", "steps", "n", "float", "integer", "less the first", "spikes"]
    failed = [f"failed: {row['cell']}, seed {row['seed']}: {row['error']}" for row in data["rows"] if row["error"]]
    return output.group(output.table(title, columns, rows, left=2), *failed)
