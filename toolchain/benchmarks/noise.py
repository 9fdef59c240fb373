"""Noise immunity of finished runs: a table of accuracies on corrupted images, the rows as CSV, and a plot.

    python toolchain/benchmarks/noise.py RUN... [--runs DIR] [--data-root DIR] [--out DIR] [--samples N]

RUN is a run folder or its name in --runs, e.g. those that `distillation.py --cells kdsnn/` has trained, with a pattern
where you like: 'kdsnn-*'. Runs whose recipes say the same but for the seed are one row, named as its runs are without
numbers; a chain's teacher, which many runs share, is a row of its own, named after the first of them.

Each network answers on the whole test set, clean and under each corruption (docs/noise.md) at severities 1 to 5: the
integer network, and of a teacher that is an ANN the float32 one. A column is the mean over the five severities; `all`
is the mean over the corruptions. Of several seeds the table has the mean and its 95 % interval by Student's t; of a
single one Wilson's, of the images alone. *Difference* is to the row `--against`, in pairs of the same seed.

Rows of runs that are in noise.csv already, with the digest of their network, are not measured again.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from distillation_results import Interval, interval
from snnkd.analysis import proportion
from snnkd.base import provenance
from snnkd.base.errors import LimitError, SnnkdError
from snnkd.base.files import atomic, write_text
from snnkd.data.corruption import CORRUPTIONS
from snnkd.recipe.lineage import lineage
from snnkd.report.robustness import robustness_plot
from snnkd.runs import robustness
from snnkd.runs.folder import Run, find
from snnkd.runs.subject import Subject, opened

CSV, PAGE, PLOT = "noise.csv", "noise_results.md", "noise.svg"
TEACHER = "teacher"
LEVELS = robustness.levels(",".join(CORRUPTIONS), "1-5")


@dataclass(frozen=True)
class Row:
    """How many of `total` images a network got right. group: the row of the table that it belongs to. network: digest
    of what was measured, the choice of images among it."""

    group: str
    seed: int
    network: str
    corruption: str
    severity: int
    correct: int
    total: int


@dataclass(frozen=True)
class Entry:
    """A network to be measured: the stage of a run."""

    group: str
    seed: int
    network: str
    subject: Subject
    stage: str


def main() -> None:
    options = _parser().parse_args()
    try:
        entries = list(_entries(options))
        groups = sorted({entry.group for entry in entries})
        if options.against not in (None, *groups):
            raise LimitError(f"--against {options.against}: expected one of {', '.join(groups)}")
        rows = _measured(entries, options)
    except SnnkdError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    text = page(rows, options.against)
    write_text(options.out / PAGE, text)
    write_text(options.out / PLOT, robustness_plot(_of_plot(rows)))
    print(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="+", metavar="RUN", help="run folders, their names, or patterns of names")
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of the run folders")
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="folder of the data sets (docs/data.md)")
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="folder of the results")
    parser.add_argument("--samples", type=int, metavar="N", help="test images, the first ones; all unless given")
    parser.add_argument("--against", metavar="ROW", help="the row that others are compared with")
    return parser


# Which networks


def _entries(options: argparse.Namespace) -> Iterator[Entry]:
    """The students of all runs, and each teacher once; those that differ by their seed alone are of one group."""
    known: set[str] = set()
    groups: dict[str, str] = {}
    for run in _runs(options):
        subject = opened(run.folder, options.runs, options.data_root)
        recipe, student = run.recipe, run.recipe.student
        digest = provenance.digest([provenance.file_digest(run.student), options.samples])
        yield Entry(_group(run), recipe.seed, digest, subject, robustness.STUDENT)
        first = next(iter(recipe.chain))
        if first != student:
            key = provenance.digest([lineage(recipe, first), run.provenance["data"], options.samples])
            if key not in known:
                known.add(key)
                kind = {name: part for name, part in lineage(recipe, first).items() if name != "seed"}
                group = groups.setdefault(provenance.digest(kind), f"{TEACHER} of {_group(run)}")
                yield Entry(group, recipe.seed, key, subject, first)


def _runs(options: argparse.Namespace) -> list[Run]:
    runs: dict[Path, Run] = {}
    for name in options.names:
        matching = [path for path in sorted(options.runs.glob(name)) if (path / "summary.json").is_file()]
        for folder in matching or [name]:
            run = find(folder, options.runs)
            runs[run.folder.resolve()] = run
    return list(runs.values())


def _group(run: Run) -> str:
    """The name of a recipe without its seed, which the benchmark `distillation` puts behind it."""
    return run.recipe.name.removesuffix(f"-seed{run.recipe.seed}")


# What they get right


def _measured(entries: Sequence[Entry], options: argparse.Namespace) -> list[Row]:
    path = options.out / CSV
    stored = _read(path)
    done = {row.network for row in stored}
    for number, entry in enumerate(entries, start=1):
        if entry.network not in done:
            print(f"{number} of {len(entries)}: {entry.group}, seed {entry.seed}", file=sys.stderr, flush=True)
            judged = robustness.networks_of_run(entry.subject, [entry.stage], options.samples)
            result = robustness.evaluate(list(judged), LEVELS)
            for warning in result.warnings:
                print(f"warning: {warning}", file=sys.stderr)
            stored += [
                Row(entry.group, entry.seed, entry.network, row.corruption, row.severity, row.correct, row.total)
                for row in result.rows
            ]
            _write(path, stored)
        vars(entry.subject).pop("data_set", None)  # of many runs, not all sets at once in memory
    wanted = [entry.network for entry in entries]
    return sorted((row for row in stored if row.network in wanted), key=lambda row: wanted.index(row.network))


def _read(path: Path) -> list[Row]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Row(
                line["group"],
                int(line["seed"]),
                line["network"],
                line["corruption"],
                int(line["severity"]),
                int(line["correct"]),
                int(line["total"]),
            )
            for line in csv.DictReader(file)
        ]


def _write(path: Path, rows: Sequence[Row]) -> None:
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


# The table


def page(rows: Sequence[Row], against: str | None = None) -> str:
    """Writes the table: a row for each group, a column for each corruption; `against`: the group compared with."""
    groups = list(dict.fromkeys(row.group for row in rows))
    head = ["network", "seeds", "clean", *CORRUPTIONS, "all", *(["difference"] if against else [])]
    lines = [head, ["---"] * len(head)]
    for group in groups:
        own = [row for row in rows if row.group == group]
        cells = [_percent(_over_seeds(own, [name])) for name in (robustness.CLEAN, *CORRUPTIONS)]
        cells.append(_percent(_over_seeds(own, list(CORRUPTIONS))))
        if against is not None:
            cells.append("" if group == against else _difference(own, [row for row in rows if row.group == against]))
        lines.append([group, str(len({row.seed for row in own})), *cells])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    images = max(row.total for row in rows)
    return (
        "# Noise immunity: results\n\n"
        f"Written by `toolchain/benchmarks/noise.py` from `{CSV}`: accuracy in % of {images:,} "
        "test images, of each corruption the mean over severities 1 to 5, with 95 % intervals (over seeds by Student's "
        f"t; of one seed by Wilson, of the images alone).\n\n{table}\n\n![Accuracy by severity]({PLOT})\n"
    )


def _accuracies(rows: Sequence[Row], names: Sequence[str]) -> dict[int, float]:
    """By seed: the mean over the corruptions `names` and their severities."""
    by_seed: dict[int, list[float]] = {}
    for row in rows:
        if row.corruption in names:
            by_seed.setdefault(row.seed, []).append(row.correct / row.total)
    return {seed: statistics.fmean(shares) for seed, shares in by_seed.items()}


def _over_seeds(rows: Sequence[Row], names: Sequence[str]) -> Interval:
    accuracies = list(_accuracies(rows, names).values())
    if len(accuracies) > 1:
        return interval(accuracies)
    # The same images at each severity: as many independent answers as there are images, not more.
    total = rows[0].total
    low, high = proportion.interval(round(accuracies[0] * total), total)
    return Interval(accuracies[0], (high - low) / 2, 1)


def _difference(rows: Sequence[Row], others: Sequence[Row]) -> str:
    ours, theirs = (_accuracies(part, list(CORRUPTIONS)) for part in (rows, others))
    pairs = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
    return _percent(interval(pairs), "+") if pairs else ""


def _percent(value: Interval, sign: str = "-") -> str:
    return f"{100 * value.mean:{sign}.2f}" + ("" if value.half is None else f" ± {100 * value.half:.2f}")


def _of_plot(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A line for each group: the mean over its seeds, with the interval of the table."""
    shown = []
    for level in [(robustness.CLEAN, 0), *LEVELS]:
        for group in dict.fromkeys(row.group for row in rows):
            own = [row for row in rows if row.group == group and (row.corruption, row.severity) == level]
            value = _over_seeds(own, [level[0]])
            half = value.half or 0.0
            bounds = [max(0.0, value.mean - half), min(1.0, value.mean + half)]
            name = {"run": group, "network": robustness.STUDENT, "corruption": level[0], "severity": level[1]}
            shown.append({**name, "accuracy": value.mean, "interval": bounds})
    return shown


if __name__ == "__main__":
    main()
