"""Trains the tables of the papers and our own students with several seeds, and writes docs/results.md.

    python toolchain/benchmarks/distillation.py --data-root DIR [--cells NAME ...] [--seeds N ...] [--jobs N]
    python toolchain/benchmarks/distillation.py --quick
    python toolchain/benchmarks/distillation.py --report

Cells and their recipes are in distillation_cells.py; --cells takes names and beginnings of names. They are a sweep
(docs/sweep.md), --jobs of them at a time. A finished one is a row of docs/results.csv at once, and is not trained again
while its recipe is the same. What was broken off goes on where its last epoch ended when the same command is given
again. --data SET=PATH trains on your own copy of a set (docs/data.md), e.g. as .npz.

Needs `matplotlib` for the plots and `scipy`: uv run --group plots.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

import distillation_cells as catalogue
import distillation_results as results
from distillation_cells import Cell
from distillation_page import page
from distillation_results import Row
from snnkd.analysis import evaluation
from snnkd.base import provenance
from snnkd.base.files import read_json
from snnkd.data.encoding import encode
from snnkd.formats import netx
from snnkd.recipe import Recipe
from snnkd.runs import Run, cells, sweep
from snnkd.runs.subject import trained_on
from snnkd.runs.sweep import Finished, SweepOptions

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
CSV, PAGE = "results.csv", "results.md"


def main() -> None:
    options = _parser().parse_args()
    known = catalogue.quick() if options.quick else catalogue.every()
    with tempfile.TemporaryDirectory() as temporary:
        if options.quick:
            options.runs, options.out = Path(temporary) / "runs", options.out or Path(temporary)
        out = options.out or DOCS
        wanted = catalogue.chosen(known, options.cells)
        failed = [] if options.report else _train(wanted, out / CSV, options)
        report(known, out)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cells", nargs="+", default=[], metavar="NAME", help="cells, or how their names begin")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N", help="1 2 3 unless given")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes, of one thread each")
    parser.add_argument("--ray", metavar="ADDRESS", help="train on a Ray cluster instead (docs/sweep.md)")
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="folder of the data sets (docs/data.md)")
    parser.add_argument("--data", nargs="+", default=[], type=_place, metavar="SET=PATH", help="your copy of a set")
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of the run folders")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the results, docs/ unless given")
    parser.add_argument("--quick", action="store_true", help="a look at digits; kept only where --out says")
    parser.add_argument("--report", action="store_true", help="trains nothing, writes page and plots from the rows")
    return parser


def _place(text: str) -> str:
    if text.partition("=")[0] not in catalogue.SETS or not text.partition("=")[2]:
        raise argparse.ArgumentTypeError(f"'{text}': expected SET=PATH, SET one of {', '.join(catalogue.SETS)}")
    return text


def _train(wanted: list[Cell], path: Path, options: argparse.Namespace) -> list[str]:
    """Trains what has no row in the CSV yet; the names of those that failed."""
    images, seeds = (
        dict(text.split("=", 1) for text in options.data),
        options.seeds or ([1, 2] if options.quick else [1, 2, 3]),
    )
    every = [cells.Cell(cell.name, plan(cell, seed, images)) for cell in wanted for seed in seeds]
    rows = {(row.cell, row.set, row.seed, row.recipe) for row in results.read(path)}
    waiting = [cell for cell in every if known_by(cell) not in rows]
    print(f"{len(every)} trainings, {len(every) - len(waiting)} of them are in {path}", flush=True)

    def on_cell(finished: Finished) -> None:
        if finished.run is None:
            print(f"{finished.cell}: {finished.error}", flush=True)
            return
        row = measured(finished.cell, finished.run, options.data_root)
        results.add(path, row)
        print(f"{finished.cell}: {row.accuracy:.2%}, {row.spikes:,.0f} spikes, {row.seconds:,.0f} s", flush=True)

    how = SweepOptions(options.runs, None if options.ray else options.jobs, options.ray, options.data_root)
    return [str(one.cell) for one in sweep.train(waiting, how, on_cell) if one.run is None]


def plan(cell: Cell, seed: int, images: dict[str, str]) -> Recipe:
    """The recipe that is trained. images: paths by the names of sets that are not read from where their recipes say."""
    own = catalogue.plan(cell, seed)
    path = images.get(own.data.set)
    return catalogue.plan(cell, seed, path) if path else own


def known_by(cell: cells.Cell) -> tuple[str, str, int, str]:
    """What the row of a cell is known by."""
    return cell.label, Path(cell.recipe.data.set).stem, cell.seed, catalogue.digest(cell.recipe)


def measured(cell: cells.Cell, run: Run, data_root: Path | None) -> Row:
    """The row of a finished run: its network on the test set."""
    summary, net = read_json(run.summary), netx.load(run.student)
    test, encoder = trained_on(run, data_root).test, run.recipe.encoder()
    profile = evaluation.profile(net, encode(encoder, test.images, np.arange(len(test))))
    layers = [layer for layer in profile.layers if layer.name != "input"]
    counted = ("spikes", "synops", "synops_effective")
    spikes, synops, effective = (sum(getattr(layer, key) for layer in layers) / len(test) for key in counted)
    accuracy, rule, reused = summary["accuracy"], summary["early_exit"], run.reused
    with (run.folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        seconds = [float(epoch["seconds"]) for epoch in csv.DictReader(file) if epoch["stage"] not in reused]
    return Row(
        cell=cell.label,
        set=summary["data_set"],
        seed=cell.seed,
        steps=summary["steps"],
        parameters=net.parameters,
        float_accuracy=accuracy["float"],
        accuracy=accuracy["integer"],
        spikes=spikes,
        synops=synops,
        synops_effective=effective,
        by_step=[round(fraction, 6) for fraction in summary["by_step"]],
        exit_accuracy=rule["accuracy"] if rule else accuracy["integer"],
        exit_spikes=profile.early_exit.spikes if profile.early_exit else spikes,
        epochs=run.recipe.chain[run.recipe.student].epochs,
        device=run.provenance["device"],
        seconds=round(sum(seconds), 1),
        git=provenance.git_revision() or "",
        date=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        recipe=catalogue.digest(run.recipe),
    )


def report(known: dict[str, Cell], out: Path) -> None:
    """Writes and prints the page, and writes the plots, from the rows whose recipe is as it was."""
    every = results.read(out / CSV)
    rows = [row for row in every if row.cell in known and row.recipe == _recipe(known[row.cell], row.seed)]
    if len(rows) < len(every):
        print(f"{len(every) - len(rows)} rows left out: their cells are gone or their recipes have changed")
    from distillation_plots import draw

    text = page(known, rows, draw(known, rows, out))
    (out / PAGE).write_text(text, encoding="utf-8")
    print(text)


def _recipe(cell: Cell, seed: int) -> str:
    return catalogue.digest(catalogue.plan(cell, seed))


if __name__ == "__main__":
    main()
