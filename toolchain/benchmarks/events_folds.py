"""Students of few recordings: alone, with the logits of a frames' teacher, by cross distillation; over folds of all.

    python toolchain/benchmarks/events_folds.py --data-root DIR [--rows NAME ...] [--seeds N ...] [--folds N ...]
    python toolchain/benchmarks/events_folds.py --report

All recordings of N-MNIST below DIR, training and test ones, are cut into five folds with each class in its share. Each
recipe is trained with each seed on four of them, without validation data, so that its last epoch counts, and measured
on the fifth: its integer network. The teacher is trained once, on MNIST's training images, and taken over from then on.
The images of training recordings are among these, so it has seen the frames of recordings that a fold tests; the
student only ever meets its answers to frames of its own four folds, or to frames of its class that are drawn from all.

A finished training is a line of OUT/events_folds.csv at once, and is not trained again while its recipe is the same.
What was broken off goes on where its last epoch ended. So several processes may share the work, each with seeds, folds
or rows of its own, once the first one has trained the teacher.

The table has, for each row, the accuracy on all recordings, mean over the seeds; its difference to the first row in
pairs of the same seed, on all recordings, and in pairs of the same fold, mean over the seeds; both with 95 % intervals
by Student's t. The first is about luck in training, the second about which recordings there are.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from distillation_cells import digest
from distillation_results import Interval, interval
from snnkd import recipe
from snnkd.base.hashing import hash64
from snnkd.data import datasets
from snnkd.data.datasets import DataSet, Split
from snnkd.data.datasets.events import checked
from snnkd.data.datasets.origins import ORIGINS
from snnkd.data.datasets.splits import Contents, assemble
from snnkd.data.recordings.collection import FileSource, Recordings
from snnkd.data.recordings.named import SETS
from snnkd.recipe import Recipe
from snnkd.runs.subject import read_frames
from snnkd.training import measuring
from snnkd.training.chain import Chain

SET, FOLDS, SEEDS = "nmnist", 5, (1, 2, 3, 4, 5)
ROWS = ("ckd/nmnist-alone", "ckd/nmnist-logits", "ckd/nmnist-cross")
CSV = "events_folds.csv"


@dataclass(frozen=True)
class Row:
    """How many of the `total` recordings of a fold a recipe's student got right. recipe: `distillation_cells.digest`.
    seconds: of the student's training."""

    name: str
    fold: int
    seed: int
    right: int
    total: int
    seconds: float
    recipe: str


def main() -> None:
    options = _parser().parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    plans = {(name, seed): _plan(name, seed, options.set) for name in options.rows for seed in options.seeds}
    if not options.report:
        done = {(row.name, row.fold, row.seed, row.recipe) for row in read(out / CSV)}
        for fold in options.folds:
            data = folded(datasets.root_folder(options.data_root), fold)
            for (name, seed), plan in plans.items():
                if (name, fold, seed, digest(plan)) not in done:
                    add(out / CSV, work(name, plan, data, fold, options))
    known = {digest(plan) for plan in plans.values()}
    print(table([row for row in read(out / CSV) if row.recipe in known], options.rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="folder of the data sets (docs/data.md)")
    parser.add_argument("--rows", nargs="+", default=list(ROWS), metavar="NAME", help="recipes, the first to compare")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), metavar="N")
    parser.add_argument("--folds", nargs="+", type=int, default=list(range(FOLDS)), choices=range(FOLDS), metavar="N")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of every recipe, as of snnkd")
    parser.add_argument("--runs", type=Path, default=Path("runs/events-folds"), metavar="DIR", help="of checkpoints")
    parser.add_argument("--out", type=Path, default=Path("runs/events-folds"), metavar="DIR", help="of the results")
    parser.add_argument("--report", action="store_true", help="trains nothing, prints the table of the rows")
    return parser


def _plan(name: str, seed: int, changes: Sequence[str]) -> Recipe:
    taken = [text for text in changes if not text.startswith("chain.teacher") or name != ROWS[0]]
    return recipe.load(name, [*taken, f"seed={seed}", "data.validation=0"])


def folded(root: Path, fold: int) -> DataSet:
    """All recordings below `root`: those of a fold as test set, the others to be trained on."""
    known, origin = SETS[SET], ORIGINS[SET]
    listing = known.lists(root, known.sensor)
    rows = [(part, source, label) for part in ("train", "test") for source, label in listing[part]]
    files = [source for _, source, _ in rows if isinstance(source, FileSource)]
    labels = np.array([label for _, _, label in rows], np.int64)
    origins = np.array([origin.place(part, file.name) for (part, *_), file in zip(rows, files, strict=True)], np.int64)
    whole = Split(Recordings(known.sensor, files), labels, origins=origins)
    inside = folds(labels, origins) == fold
    contents = Contents(known.classes, whole.take(~inside), whole.take(inside))
    return assemble(f"{SET}-fold{fold}", checked(contents, skip_damaged=False), 0, 0)


def folds(labels: np.ndarray, origins: np.ndarray) -> np.ndarray:
    """Draws the fold of each recording (N,), each class in its share, by its origin alone."""
    order = np.lexsort((hash64(0, origins), labels))
    found = np.empty(len(labels), np.int64)
    found[order] = np.arange(len(labels)) % FOLDS
    return found


def work(name: str, plan: Recipe, data: DataSet, fold: int, options: argparse.Namespace) -> Row:
    """Trains a recipe on a fold, or goes on with it, and measures its student on the fold's test recordings."""
    folder = options.runs / f"{plan.name}-fold{fold}-seed{plan.seed}-{digest(plan)}" / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    chain = Chain(plan, data, folder, frames=read_frames(plan, options.data_root))
    stages = list(plan.chain)
    chain.take_over(stages, options.runs)
    started = time.perf_counter()
    chain.train(stages[:-1], resume=True)
    if stages[:-1]:
        teacher = chain.ann(stages[0]).accuracy(chain.test(stages[0]))
        print(f"{name}: teacher {teacher:.2%}, {time.perf_counter() - started:,.0f} s", flush=True)
    started = time.perf_counter()
    chain.train(stages, resume=True)  # a teacher that is trained is read
    seconds = time.perf_counter() - started
    net = chain.deployed(plan.student, chain.load(plan.student), {})
    right = round(measuring.measure(net, chain.feed(data.test)).accuracy * len(data.test))
    row = Row(name, fold, plan.seed, right, len(data.test), round(seconds, 1), digest(plan))
    print(f"{name}, fold {fold}, seed {plan.seed}: {right / row.total:.1%}, {seconds:,.0f} s", flush=True)
    return row


def read(path: Path) -> list[Row]:
    """Rows of a CSV; none where there is no file."""
    if not path.exists():
        return []
    kinds = {"str": str, "int": int, "float": float}
    with path.open(newline="", encoding="utf-8") as file:
        return [Row(**{f.name: kinds[str(f.type)](line[f.name]) for f in fields(Row)}) for line in csv.DictReader(file)]


def add(path: Path, row: Row) -> None:
    """Appends a row, in one write, so that several processes may."""
    line = ",".join(str(value) for value in asdict(row).values()) + "\n"
    with path.open("a", encoding="utf-8") as file:
        file.write(line if file.tell() else ",".join(asdict(row)) + "\n" + line)


def table(rows: Sequence[Row], names: Sequence[str]) -> str:
    """Writes accuracies and differences to the first of `names` as a table in Markdown."""
    lines = [
        "| row | right, % | less the first, by seeds | by folds | trainings |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    first = [row for row in rows if row.name == names[0]]
    for name in names:
        own = [row for row in rows if row.name == name]
        if not own:
            continue
        accuracy = interval([100 * value for value in _by(own, "seed").values()])
        differences = (
            [_shown(_paired(own, first, key), sign="+") for key in ("seed", "fold")] if own != first else ["-"] * 2
        )
        lines.append(f"| {name} | {_shown(accuracy)} | {' | '.join(differences)} | {len(own)} |")
    return "\n".join(lines)


def _by(rows: Iterable[Row], key: str) -> dict[int, float]:
    """Accuracy by seed or by fold, of all recordings of its rows together."""
    groups: dict[int, list[Row]] = {}
    for row in rows:
        groups.setdefault(getattr(row, key), []).append(row)
    return {value: sum(r.right for r in group) / sum(r.total for r in group) for value, group in groups.items()}


def _paired(own: Sequence[Row], first: Sequence[Row], key: str) -> Interval | None:
    """Differences in points of what both have trained with the same seed on the same fold."""
    both = {(row.fold, row.seed) for row in own} & {(row.fold, row.seed) for row in first}
    mine, theirs = (_by([row for row in rows if (row.fold, row.seed) in both], key) for rows in (own, first))
    return interval([100 * (mine[value] - theirs[value]) for value in mine]) if mine else None


def _shown(found: Interval | None, sign: str = "") -> str:
    if found is None:
        return "-"
    return f"{found.mean:{sign}.2f}" + ("" if found.half is None else f" ± {found.half:.2f}")


if __name__ == "__main__":
    main()
