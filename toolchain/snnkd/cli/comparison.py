"""`snnkd runs` and `snnkd compare`: runs in a list, and side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from snnkd.cli import output
from snnkd.cli.options import DEFAULT_RUNS, Json, Runs
from snnkd.cli.sweep import statistics


def runs(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of run folders.")] = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """List the runs of a folder: recipe, seed, accuracy, spikes and date; the newest last.

    Example: snnkd runs
    """
    from snnkd.runs import listing

    rows = [row.to_json() for row in listing.listed(folder)]
    output.result({"runs": rows}, as_json, lambda data: _listed(str(folder), data["runs"]))


def compare(
    names: Annotated[
        list[str],
        typer.Argument(metavar="RUN...|SWEEP", help="Two run folders or more, or their names; or a sweep's folder."),
    ],
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Put runs side by side: what their recipes have otherwise, accuracies by pairs, spikes and energy.

    Two runs are compared image by image. Runs of two recipes with several seeds each are paired by seed, and so are the
    cells of a sweep.

    Example: snnkd compare digits-001 digits-002
    """
    from snnkd.runs import comparison, sweep_results

    if len(names) == 1 and (Path(names[0]) / sweep_results.NAME).is_file():
        output.result(sweep_results.read(Path(names[0])).to_json(), as_json, statistics)
        return
    output.result(comparison.compare(names, runs).to_json(), as_json, _compared)


def _listed(title: str, rows: list[dict[str, Any]]) -> Any:
    if not rows:
        return f"no run in {title}; `snnkd train` makes one"
    columns = ["run", "recipe", "date", "seed", "accuracy", "spikes"]
    cells = [
        [Path(row["run"]).name, row["recipe"], _date(row["date"]), str(row["seed"]), *_measured(row)] for row in rows
    ]
    return output.table(f"{title}: accuracy in %, spikes per test image", columns, cells, left=3)


def _measured(row: dict[str, Any]) -> list[str]:
    from snnkd.report.terminal import number

    if row["accuracy"] is None:
        return ["not finished", ""]
    return [f"{100 * row['accuracy']:.2f}", "not known" if row["spikes"] is None else number(row["spikes"])]


def _date(text: str) -> str:
    """To the minute, as people write it."""
    return text[:16].replace("T", " ")


def _compared(data: dict[str, Any]) -> Any:
    names = [Path(row["run"]).name for row in data["runs"]]
    parts = [_listed("runs", data["runs"])]
    if data["recipe"]:
        rows = [[row["field"], *map(_value, row["values"])] for row in data["recipe"]]
        parts.append(output.table("recipes differ in", ["field", *names], rows, left=1 + len(names)))
    else:
        parts.append("the recipes say the same")
    parts += ["", *map(_pair, data["pairs"])]
    if data["by_seed"] is not None:
        parts.append(_by_seed(data["by_seed"], {row["run"]: row["recipe"] for row in data["runs"]}))
    if data["energy"]:
        parts += ["", _energy(data["energy"], names)]
    return output.group(*parts)


def _value(value: Any) -> str:
    return "-" if value is None else str(value)


def _pair(pair: dict[str, Any]) -> str:
    first, second = (Path(pair[side]).name for side in ("first", "second"))
    head = f"{second} less {first}: {_points(pair['difference'])}"
    if pair["why"] is not None:
        return f"{head}; not compared image by image: {pair['why']}"
    return (
        f"{head}, 95 % interval {_interval(pair['interval'])}; of {pair['images']:,} test images only {second} "
        f"recognizes {pair['second_right']:,}, only {first} {pair['first_right']:,}; McNemar's p = {_p(pair['p'])}"
    )


def _by_seed(data: dict[str, Any], recipes: dict[str, str]) -> str:
    first, second = (data[side][0] for side in ("first", "second"))
    if recipes[first] != recipes[second]:
        names = recipes[first], recipes[second]
    else:
        names = f"that of {Path(first).name}", f"that of {Path(second).name}"
    return (
        f"recipe {names[1]} less {names[0]}, by {len(data['seeds'])} seeds: mean {_points(data['difference'])}, 95 % "
        f"interval {_interval(data['interval'])}"
    )


def _points(change: float | None) -> str:
    return "not known" if change is None else f"{100 * change:+.2f} points"


def _interval(bounds: list[float]) -> str:
    low, high = bounds
    return f"{100 * low:+.2f} to {100 * high:+.2f}"


def _p(p: float) -> str:
    return "below 0.001" if p < 0.001 else f"{p:.3f}"


def _energy(by_target: dict[str, list[dict[str, float] | None]], names: list[str]) -> Any:
    """Dynamic energy, and its ratio to the first run's: that is surer than the joules."""
    from snnkd.report.terminal import NOT_KNOWN, number

    rows = []
    for target, bands in by_target.items():
        first = None if bands[0] is None else bands[0]["typical"]
        for name, band in zip(names, bands, strict=True):
            told = [NOT_KNOWN] * 3 if band is None else [number(band[key]) for key in ("low", "typical", "high")]
            ratio = f"{band['typical'] / first:.2f}" if band is not None and first else ""
            rows.append([target if name == names[0] else "", name, *told, ratio])
    columns = ["target", "run", "low", "typical", "high", f"x {names[0]}"]
    return output.table("dynamic energy, uJ per inference (estimate)", columns, rows, left=2, keys=2)
