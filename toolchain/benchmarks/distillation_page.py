"""The page of the benchmark `distillation`, docs/results.md: the tables of the papers, their orderings, and ours."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping

from distillation_cells import PAPER, SETS, SHOWN, TABLES, VARIANTS, Cell
from distillation_results import Interval, Row, grouped, interval, paired
from snnkd.base.errors import FormatError

NONE = "-"  # not measured, or nothing to compare

_INTRODUCTION = """# Results of distillation

Written by `python toolchain/benchmarks/distillation.py --report` from [results.csv](results.csv), which has one row per
cell and seed; the same script trains what is missing. Every cell is a recipe, `snnkd recipes` lists them.

Accuracies are those of the deployed integer network (8 bit weights unless said) on the whole test set, `float` that of
the training network. The epoch that is kept is chosen on validation data, and the test set is read at the end. (How
many epochs Fashion-MNIST's Tables and its dense students have, how large the Tables' assistant is, and which settings
the dense students of all three sets, `cifar10-conv`, `fashion-mnist-conv` and their sparse ones have, was decided with
test figures of trials in sight.) All figures are means over n seeds with 95 % intervals by Student's t. *Difference* is
that to the same network trained from the labels alone, unless said, from the same initial weights and with the same
order of images, by pairs of the same seed. Spikes (of all neurons) and synops (connections that an event goes through;
in brackets, where measured, those of a weight other than 0) are per inference of T steps; *early exit* ends inference
where the network's own rule, chosen on the validation data, says so. *Minutes* are of training the slowest seed,
teachers included that no other cell had trained before: on one core, with one or two more trainings on the two cores,
or on the GPU that is named, which twelve or more trainings shared. The paper's are single figures, and it does not say
which networks, T, encoding or epochs they are of, so ours are not the same networks.
A training gives the same bits again on the same machine, on any number of its cores; a processor of another kind may
round differently, and a figure then moves as with another seed. `cifar10-jpeg` is CIFAR-10 with its images encoded
again as JPEG.

The paper's own students are worse with distillation than alone in five of six cells (*orderings* below: the paper's
last two rows of each data set).
"""

_PLOTS = """In the first plot, a filled point has an interval that leaves out 0. In the others, each network in blue is
more accurate than all that have as few spikes, or weights; bars are 95 % intervals, and hollow points have fewer than
three seeds. Names that would cover others are left out: the tables below have all.
"""

_GROUPS = {  # title and text
    "lee2022": (
        "Two temperatures, as in Lee et al.",
        "The student's temperature is 2. The teacher's is the same, or 4 (*two temperatures*), or what the row says.",
    ),
    "kdsnn": (
        "Response and features, as in KDSNN",
        "An ANN teaches its logits (*response*), its hidden layers (*features*), or both; each student is compared "
        "with the one that is trained *alone*. The [loss on hidden layers](losses.md#hidden-layers), its weight and "
        "layers were chosen on validation images, with another seed.",
    ),
    "best": (
        "Students that we recommend",
        "Each is one command, such as `snnkd train best/mnist-conv --data-root DIR`. On two cores "
        "`best/mnist-dense` takes 4 minutes, `best/fashion-mnist-dense` 6, `best/mnist-conv` 20 and "
        "`best/cifar10-conv-medium` 31. The teachers are ANNs, as in KDSNN. "
        "`digits`, which `snnkd run` trains, shows no gain: seeds 1 to 5 of "
        "`snnkd train digits --baseline` give 97.11 ± 0.52 % distilled and 97.06 ± 0.31 % alone (difference +0.06 ± "
        "0.51) on 360 test images, with 686 spikes.",
    ),
    "further": (
        "Fewer bits, spikes or weights, any number of steps, or alone with its own settings",
        "Changes of students above, each compared with the student that it is a change of, by pairs of the same seed: "
        "*4-bit* weights, with settings chosen for them, of sigma-delta students with those of 8 bits; *bias*, "
        "*batch-norm*, *slow-currents* and *channels*, what was [tried](graded_spikes.md#what-they-reach) of CUBA "
        "neurons; *sparse*, with a price for spikes and, dense ones, a narrower surrogate gradient, convolutional "
        "ones two steps and at least twice the epochs; *pruned*, with four of five weights 0 and twice the "
        "epochs; *any-steps*, trained to be right at each step; *alone, settings of its own*: "
        "without a teacher, with thresholds, a logit scale or a learning rate chosen for the student alone; the "
        "recipe's were chosen for the distilled one. "
        "`toolchain/benchmarks/distillation_cells.py` says what is changed.",
    ),
    "quick": ("Digits, a quick look", "Of the benchmark's `--quick`."),
}
_TITLES = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}
_READINGS = (
    "Further readings of the paper: *faithful* imitates the teacher without labels, *literal* takes the formulas of "
    "the spike losses as they are written, where the tables above compare spike counts."
)

# What the paper's tables say beyond their figures: each first cell is above the best of the others there, or below it.
_SINGLE = ("t-s-l1", "t-s-l2", "t-s-kl", "t-s-sl1", "t-s-sl2")
_ORDERINGS = {
    "Proposed less the best single loss": ("t-s", _SINGLE),
    "Full KL less the best other single loss": ("t-s-kl", tuple(key for key in _SINGLE if key != "t-s-kl")),
    "T -> TA -> S less T -> S": ("t-ta-s", ("t-s",)),
    "T -> TA less the assistant alone": ("t-ta", ("ta",)),
    "the teacher alone less the student alone": ("t", ("s",)),
    "T -> S less the student alone": ("t-s", ("s",)),
    "T -> TA -> S less the student alone": ("t-ta-s", ("s",)),
}


def page(cells: dict[str, Cell], rows: list[Row], plots: Mapping[str, str] | None = None) -> str:
    """docs/results.md as Markdown. rows: those that count; plots: names of the images beside it, with what
    each shows.

    Raises FormatError where a cell was trained on several data sets, of which there is no mean.
    """
    parts = [_INTRODUCTION, *(f"![{shown}]({name})\n" for name, shown in (plots or {}).items())]
    if plots:
        parts.append(_PLOTS)
    by_cell = grouped(cells, rows)
    for name, trained in by_cell.items():
        if len(known := sorted({row.set for row in trained})) > 1:
            raise FormatError(f"{name}: has rows of several data sets, {', '.join(known)}: keep those of one of them")
    for images in SETS:
        if any(by_cell[name] for name, cell in cells.items() if cell.group == images):
            parts += _tables(images, cells, by_cell)
    for group, (title, text) in _GROUPS.items():
        names = [name for name, cell in cells.items() if cell.group == group and by_cell[name]]
        if names:
            parts += [f"## {title}\n", f"{text}\n", _table(names, cells, by_cell)]
    return "\n".join([*parts, _spent(rows)])


def _tables(images: str, cells: dict[str, Cell], by_cell: dict[str, list[Row]]) -> list[str]:
    """The three tables of the paper, with the cells that are not trained yet, then further readings that are."""
    known = sorted({row.set for name, cell in cells.items() if cell.group == images for row in by_cell[name]})
    parts = [f"## {_TITLES[images]}\n", f"Data: {', '.join(f'`{name}`' for name in known)}.\n"]
    for title, keys in TABLES.items():
        parts += [f"### {_TITLES[images]}, {title}\n", _table([f"{images}-{key}" for key in keys], cells, by_cell)]
    parts += [f"### {_TITLES[images]}, orderings\n", _orderings(images, by_cell)]
    further = [f"{images}-{key}-{variant}" for variant in VARIANTS for key in SHOWN]
    if further := [name for name in further if by_cell.get(name)]:
        parts += [f"### {_TITLES[images]}, further readings\n", _READINGS + "\n", _table(further, cells, by_cell)]
    return parts


def _orderings(images: str, by_cell: dict[str, list[Row]]) -> str:
    """Differences that the paper's tables show, beside ours, paired by seed."""
    number = SETS.index(images)
    lines = [_line(["", "paper", "ours", "n"]), "| --- | ---: | ---: | ---: |"]
    for text, (key, rivals) in _ORDERINGS.items():
        theirs = PAPER[key][number] - max(PAPER[rival][number] for rival in rivals)
        trained = [rows for rival in rivals if (rows := by_cell[f"{images}-{rival}"])]
        best = max(trained, key=lambda rows: statistics.fmean(row.accuracy for row in rows), default=[])
        ours = paired(by_cell[f"{images}-{key}"], best)
        shown = (_percent(ours, "+"), str(ours.n)) if ours else (NONE, "0")
        lines.append(_line([text, f"{theirs:+.2f}", *shown]))
    return "\n".join(lines) + "\n"


_COLUMNS = (
    *("", "paper, %", "ours, %", "float, %", "difference, %", "n", "weights", "T", "spikes", "synops"),
    *("early exit, %", "spikes", "minutes", "cell"),
)


def _table(names: list[str], cells: dict[str, Cell], by_cell: dict[str, list[Row]]) -> str:
    lines = [_line(_COLUMNS), "| --- |" + " ---: |" * (len(_COLUMNS) - 2) + " --- |"]
    for name in names:
        cell, rows = cells[name], by_cell[name]
        paper = NONE if cell.paper is None else f"{cell.paper:.2f}"
        if not rows:
            lines.append(_line([cell.label, paper, *[NONE] * (len(_COLUMNS) - 3), f"`{name}`"]))
            continue
        difference = paired(rows, by_cell[cell.beside]) if cell.beside else None
        first = rows[0]
        lines.append(
            _line(
                [
                    cell.label if first.set in SETS or cell.group in SETS else f"{cell.label} (`{first.set}`)",
                    paper,
                    _percent(interval([row.accuracy for row in rows])),
                    _percent(interval([row.float_accuracy for row in rows])),
                    _percent(difference, "+", len(rows)) if difference else NONE,
                    str(len(rows)),
                    f"{first.parameters:,}",
                    str(first.steps),
                    _number(interval([row.spikes for row in rows])),
                    _synops(rows),
                    *_early_exit(rows),
                    _minutes(rows),
                    f"`{name}`",
                ]
            )
        )
    return "\n".join(lines) + "\n"


def _minutes(rows: list[Row]) -> str:
    slowest = max(rows, key=lambda row: row.seconds)
    where = "" if slowest.device == "cpu" else f" ({slowest.device})"
    return f"{slowest.seconds / 60:.0f}{where}"


def _synops(rows: list[Row]) -> str:
    """With the effective ones in brackets where all rows have them."""
    shown = _number(interval([row.synops for row in rows]))
    effective = [row.synops_effective for row in rows if row.synops_effective is not None]
    return f"{shown} ({_number(interval(effective))})" if len(effective) == len(rows) else shown


def _early_exit(rows: list[Row]) -> tuple[str, str]:
    """Accuracy and spikes with early exit, of the rows where they were measured."""
    accuracies = [row.exit_accuracy for row in rows if row.exit_accuracy is not None]
    spikes = [row.exit_spikes for row in rows if row.exit_spikes is not None]
    if not accuracies or not spikes:
        return NONE, NONE
    return _percent(interval(accuracies), of=len(rows)), _number(interval(spikes))


def _line(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _percent(value: Interval, sign: str = "-", of: int | None = None) -> str:
    """In percent; with the number of pairs where it is another one than `of`."""
    shown = f"{100 * value.mean:{sign}.2f}" + ("" if value.half is None else f" ± {100 * value.half:.2f}")
    return shown if of is None or of == value.n else f"{shown} (n = {value.n})"


def _number(value: Interval) -> str:
    return f"{value.mean:,.0f}" + ("" if value.half is None else f" ± {value.half:,.0f}")


def _spent(rows: list[Row]) -> str:
    hours: dict[tuple[str, str], float] = {}
    for row in rows:
        hours[row.device, row.set] = hours.get((row.device, row.set), 0.0) + row.seconds / 3600
    lines = ["Hours of all trainings, one after the other:\n", "| device | data | hours |", "| --- | --- | ---: |"]
    named = {"cpu": "one core"}
    lines += [_line([named.get(device, device), name, f"{hours[device, name]:.2f}"]) for device, name in sorted(hours)]
    return "\n".join(lines) + "\n"
