"""Trains the tables of the papers and our own students with several seeds, and writes docs/results.md.

    python toolchain/benchmarks/distillation.py --data-root DIR [--cells NAME ...] [--seeds N ...] [--jobs N]
    python toolchain/benchmarks/distillation.py --quick
    python toolchain/benchmarks/distillation.py --report

Cells and their recipes are in distillation_cells.py; --cells takes names and beginnings of names. Each cell is trained
with each seed in a process of its own with one thread (more give the same network, bit for bit), --jobs of them at a
time. A finished one is a row of docs/results.csv at once, and is not trained again while its recipe is the same. What
was broken off goes on where its last epoch ended when the same command is given again; teachers that another cell has
trained are taken from there. --data SET=PATH trains on your own copy of a set (docs/data.md), e.g. as .npz.

Needs `matplotlib` for the plots and `scipy`: uv run --group plots.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

import distillation_cells as catalogue
import distillation_results as results
from distillation_cells import Cell
from distillation_page import page
from distillation_results import Row
from snnkd.analysis import evaluation
from snnkd.base import provenance
from snnkd.data.encoding import encode
from snnkd.formats import netx
from snnkd.recipe import Recipe
from snnkd.recipe.lineage import lineage
from snnkd.runs import Run
from snnkd.runs.subject import read_data

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
CSV, PAGE = "results.csv", "results.md"


def main() -> None:
    options = _parser().parse_args()
    images = dict(text.split("=", 1) for text in options.data)
    cells = catalogue.quick() if options.quick else catalogue.every()
    if options.job:
        job = Job(cells[options.job], options.seeds[0], images)
        print(json.dumps(asdict(work(job, options.runs, options.data_root))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        if options.quick:
            options.runs, options.out = Path(temporary) / "runs", options.out or Path(temporary)
        out = options.out or DOCS
        wanted = catalogue.chosen(cells, options.cells)
        seeds = options.seeds or ([1, 2] if options.quick else [1, 2, 3])
        jobs = [Job(cell, seed, images) for cell in wanted for seed in seeds]
        failed = [] if options.report else _train(jobs, out / CSV, options)
        report(cells, out)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cells", nargs="+", default=[], metavar="NAME", help="cells, or how their names begin")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N", help="1 2 3 unless given")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes, of one thread each")
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="folder of the data sets (docs/data.md)")
    parser.add_argument("--data", nargs="+", default=[], type=_place, metavar="SET=PATH", help="your copy of a set")
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of the run folders")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the results, docs/ unless given")
    parser.add_argument("--quick", action="store_true", help="a look at digits; kept only where --out says")
    parser.add_argument("--report", action="store_true", help="trains nothing, writes page and plots from the rows")
    parser.add_argument("--job", help=argparse.SUPPRESS)  # one cell in this process, its row on stdout
    return parser


def _place(text: str) -> str:
    if text.partition("=")[0] not in catalogue.SETS or not text.partition("=")[2]:
        raise argparse.ArgumentTypeError(f"'{text}': expected SET=PATH, SET one of {', '.join(catalogue.SETS)}")
    return text


@dataclass
class Job:
    """A cell with a seed. images: paths by the names of sets that are not read from where their recipes say."""

    cell: Cell
    seed: int
    images: dict[str, str] = field(default_factory=dict)
    plan: Recipe = field(init=False)

    def __post_init__(self) -> None:
        self.plan = catalogue.plan(self.cell, self.seed)
        if path := self.images.get(self.plan.data.set):
            self.plan = catalogue.plan(self.cell, self.seed, path)

    @property
    def done(self) -> tuple[str, str, int, str]:
        """What its row is known by."""
        name = self.plan.data.set
        return self.cell.name, Path(name).stem, self.seed, catalogue.digest(self.plan)

    @property
    def stages(self) -> set[str]:
        """Digests of its trainings: two jobs that share one are not run at the same time."""
        return {provenance.digest(lineage(self.plan, name)) for name in self.plan.chain}

    def __str__(self) -> str:
        return f"{self.cell.name} seed {self.seed}"


def work(job: Job, runs: Path, data_root: Path | None) -> Row:
    """Trains a job, or goes on with it, and measures its network on the test set. Ends where its parent has."""
    import snnkd

    epochs: list[dict[str, Any]] = []
    parent = os.getppid()

    def orphaned(*_: Any) -> None:
        if os.getppid() != parent:
            sys.exit("the benchmark was ended")

    options = snnkd.TrainingOptions(
        folder=runs, data_root=data_root, resume=True, reuse=True, on_batch=orphaned, on_epoch=epochs.append
    )
    result = snnkd.train(job.plan, options)
    net, rule, accuracy = netx.load(result.net), result.early_exit, result.accuracy
    assert accuracy.float is not None and accuracy.integer is not None, "the student is no ANN and no file"
    test, encoder = read_data(job.plan, data_root).test, job.plan.encoder()
    profile = evaluation.profile(net, encode(encoder, test.images, np.arange(len(test))))
    layers = [layer for layer in profile.layers if layer.name != "input"]
    counted = ("spikes", "synops", "synops_effective")
    spikes, synops, effective = (sum(getattr(layer, key) for layer in layers) / len(test) for key in counted)
    return Row(
        cell=job.cell.name,
        set=result.data_set,
        seed=job.seed,
        steps=result.steps,
        parameters=result.parameters,
        float_accuracy=accuracy.float,
        accuracy=accuracy.integer,
        spikes=spikes,
        synops=synops,
        synops_effective=effective,
        by_step=[round(fraction, 6) for fraction in result.by_step],
        exit_accuracy=rule.accuracy if rule else accuracy.integer,
        exit_spikes=profile.early_exit.spikes if profile.early_exit else spikes,
        epochs=job.plan.chain[job.plan.student].epochs,
        device=Run(Path(result.run), job.plan).provenance["device"],
        seconds=round(sum(row["seconds"] for row in epochs if row["stage"] not in result.reused), 1),
        git=provenance.git_revision() or "",
        date=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        recipe=catalogue.digest(job.plan),
    )


def _train(jobs: list[Job], csv: Path, options: argparse.Namespace) -> list[str]:
    """Trains what has no row yet; the names of jobs that failed."""
    rows = {(row.cell, row.set, row.seed, row.recipe) for row in results.read(csv)}
    waiting = [job for job in jobs if job.done not in rows]
    print(f"{len(jobs)} trainings, {len(jobs) - len(waiting)} of them are in {csv}", flush=True)
    running: list[tuple[Job, subprocess.Popen[str], Path]] = []
    finished: set[str] = set()
    failed: list[str] = []
    try:
        while waiting or running:
            while len(running) < options.jobs and (
                job := _next(waiting, [training for training, *_ in running], finished)
            ):
                waiting.remove(job)
                running.append(_started(job, options))
            time.sleep(0.1)
            for training in [training for training in running if training[1].poll() is not None]:
                running.remove(training)
                job, process, log = training
                finished |= job.stages
                if not _noted(job, process, log, csv):
                    failed.append(str(job))
    finally:
        for _, process, _ in running:
            process.terminate()
            process.wait()
    return failed


def _next(waiting: list[Job], running: list[Job], finished: set[str]) -> Job | None:
    """The first one that needs no training that another one is at, so that no teacher is trained twice."""
    busy = set().union(*(job.stages for job in running)) - finished
    return next((job for job in waiting if not job.stages & busy), None)


def _started(job: Job, options: argparse.Namespace) -> tuple[Job, subprocess.Popen[str], Path]:
    command = [sys.executable, __file__, "--job", job.cell.name, "--seeds", str(job.seed), "--runs", str(options.runs)]
    command += ["--quick"] if options.quick else []
    command += ["--data-root", str(options.data_root)] if options.data_root else []
    command += ["--data", *options.data] if options.data else []
    log = options.runs / "logs" / f"{job.plan.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as errors:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)
    return job, process, log


def _noted(job: Job, process: subprocess.Popen[str], log: Path, csv: Path) -> bool:
    """Puts the row of a job that has ended into the CSV, or says why there is none."""
    out = process.communicate()[0].strip()
    if process.returncode or not out:
        last = (log.read_text().strip().splitlines() or [f"ended with {process.returncode}"])[-1]
        print(f"{job}: {last} ({log})", flush=True)
        return False
    row = Row(**json.loads(out.splitlines()[-1]))
    results.add(csv, row)
    print(f"{job}: {row.accuracy:.2%}, {row.spikes:,.0f} spikes, {row.seconds:,.0f} s", flush=True)
    return True


def report(cells: dict[str, Cell], out: Path) -> None:
    """Writes and prints the page, and writes the plots, from the rows whose recipe is as it was."""
    every = results.read(out / CSV)
    rows = [row for row in every if row.cell in cells and row.recipe == _recipe(cells[row.cell], row.seed)]
    if len(rows) < len(every):
        print(f"{len(every) - len(rows)} rows left out: their cells are gone or their recipes have changed")
    from distillation_plots import draw

    text = page(cells, rows, draw(cells, rows, out))
    (out / PAGE).write_text(text, encoding="utf-8")
    print(text)


def _recipe(cell: Cell, seed: int) -> str:
    return catalogue.digest(catalogue.plan(cell, seed))


if __name__ == "__main__":
    main()
