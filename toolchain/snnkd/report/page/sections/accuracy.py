"""What a run's networks reach, how they came there, which classes they mix up, and what fewer steps cost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from snnkd.analysis import proportion
from snnkd.report.page import charts
from snnkd.report.page.charts import Cell, Plot, Row, Series
from snnkd.report.page.facts import Facts
from snnkd.report.page.words import between, count, percent

_MISTAKES = 5  # that are listed
_KINDS = {
    "snn": "spiking network",
    "ann": "ANN",
    "net": "spiking network from a file",
    "model": "teacher from outside",
    "logits": "teacher's answers in a file",
}


def accuracy(facts: Facts) -> dict[str, Any]:
    """Compares the networks of the chain on the whole test set: float and integer, with 95 % intervals."""
    total = facts.summary.get("test_images", 0)
    table, rows = [], []
    for number, (stage, row) in enumerate(facts.summary["networks"].items()):
        found = row["accuracy"]
        table.append(
            {
                "stage": stage,
                "network": row["network"],
                "kind": _KINDS.get(row["kind"], row["kind"]),
                "parameters": count(row["parameters"]),
                "neurons": count(row["neurons"]),
                **{key: percent(found[key]) for key in ("float", "integer")},
            }
        )
        value = found["float"] if found["integer"] is None else found["integer"]
        if value is not None:
            rows.append(interval_row(stage, value, total, number))
    chart = charts.ranges("Accuracy with its 95 % interval", rows, "accuracy on the test images", percent=True)
    return {
        "table": table,
        "chart": chart,
        "on": f"{total:,} test images of {facts.summary.get('data_set', 'its data set')}",
        "engines": _engines(facts),
    }


def _engines(facts: Facts) -> list[str]:
    """Says of each engine that was compared how its answers stand to the integer network's."""
    told = []
    for engine, outcome in (facts.verification or {"against": {}})["against"].items():
        on = f"{outcome['compared']['samples']:,} samples"
        told.append(f"{engine}: every spike the same on {on}" if outcome["equal"] else f"{engine}: differs on {on}")
    return told


def interval_row(name: str, value: float, total: int, number: int = 0) -> Row:
    """Makes the row of an accuracy on `total` test images, with Wilson's interval."""
    low, high = proportion.interval(round(value * total), total)
    return Row(name, low, value, high, between(value, low, high), number)


def learning(facts: Facts) -> dict[str, Any] | None:
    """Draws what metrics.csv has of each stage by epoch, and of the student's layers."""
    if not facts.metrics:
        return None
    stages = list(dict.fromkeys(row["stage"] for row in facts.metrics))
    student = facts.run.recipe.student
    validation = [
        _course(facts, stage, k, ("validation.integer", "validation.float")) for k, stage in enumerate(stages)
    ]
    loss = [_course(facts, stage, k, ("loss.label",)) for k, stage in enumerate(stages)]
    layers = [column.removeprefix("rate.") for column in facts.metrics[0] if column.startswith("rate.")]
    rates = [_course(facts, student, k, (f"rate.{layer}",), layer) for k, layer in enumerate(layers)]
    silent = [_course(facts, student, k, (f"silent.{layer}",), layer) for k, layer in enumerate(layers)]
    plots = (
        charts.plot("Accuracy on the validation data", validation, "epoch", "accuracy", percent=True),
        charts.plot("Loss against the labels", loss, "epoch", "loss", log=True),
        charts.plot(
            f"How often the layers of {student} fire", rates, "epoch", "spikes per neuron and step", from_zero=True
        ),
        charts.plot(f"Neurons of {student} that never fire", silent, "epoch", "share", percent=True, from_zero=True),
    )
    return {"plots": [plot for plot in plots if plot], "reused": facts.run.reused}


def _course(facts: Facts, stage: str, number: int, columns: tuple[str, ...], name: str | None = None) -> Series:
    """The points (epoch, value) of a stage: of the first of `columns` that a row has a value in."""
    points = [
        (float(row["epoch"]), float(next(row[key] for key in columns if row.get(key))))
        for row in facts.metrics
        if row["stage"] == stage and any(row.get(key) for key in columns)
    ]
    return Series(name or stage, [(x, y) for x, y in points if np.isfinite(y)], number)


def confusion(facts: Facts) -> dict[str, Any] | None:
    """Draws how many samples of each class got each answer: of the whole test set where the summary has it, else of
    the samples that were run."""
    counts, data = facts.summary.get("confusion"), f"all {facts.summary.get('test_images', 0):,} test images"
    if counts is None and facts.seen is not None:
        counts, data = facts.seen.confusion.tolist(), facts.seen.data
    if counts is None:
        return None
    names = [*facts.classes, *map(str, range(len(facts.classes), len(counts)))]
    rows = [(names[k], list(_cells(row, k, names))) for k, row in enumerate(counts)]
    recalls = [(row[k] / sum(row), names[k]) for k, row in enumerate(counts) if sum(row)]
    wrong = [(row[j], names[k], names[j]) for k, row in enumerate(counts) for j in range(len(row)) if j != k and row[j]]
    worst = sorted(wrong, key=lambda mistake: -mistake[0])[:_MISTAKES]
    told = "; ".join(f"{name}: {percent(share)} right" for share, name in recalls)
    title = "Answers by class"
    chart = charts.matrix(title, rows, names, "answer", "class", f"Counts of answers by class. {told}", square=True)
    return {"chart": chart, "data": data, "worst": worst, "weakest": min(recalls, default=None)}


def _cells(row: list[int], true: int, names: list[str]) -> Iterable[Cell]:
    for answer, number in enumerate(row):
        told = f"{number:,} of class {names[true]} are taken for {names[answer]}"
        yield Cell(number / max(sum(row), 1), str(number) if number else "", told, wrong=answer != true)


def steps(facts: Facts) -> dict[str, Any] | None:
    """Draws the accuracy where all runs end after 1, 2, ... steps, and what early exit does."""
    by_step, rule = facts.summary.get("by_step") or [], facts.summary.get("early_exit")
    if len(by_step) < 2:
        return None
    series = [Series("all images end there", [(k + 1.0, value) for k, value in enumerate(by_step)])]
    if rule is not None:
        told = [f"early exit: {percent(rule['accuracy'])} after {rule['steps']:.2f} steps in the mean"]
        series.append(Series("early exit, at its mean", [(rule["steps"], rule["accuracy"])], 1, False, told))
    plots: list[Plot | None] = [charts.plot("Accuracy by steps", series, "steps", "accuracy", percent=True)]
    if facts.seen is not None and facts.seen.ends is not None:
        ended = [(float(step), float((facts.seen.ends <= step).mean())) for step in range(1, len(by_step) + 1)]
        plots.append(
            charts.plot(
                "Images that early exit has ended",
                [Series("ended", ended, 1)],
                "steps",
                "share of the images",
                percent=True,
                from_zero=True,
            )
        )
    saved = None if rule is None else 1 - rule["steps"] / len(by_step)
    return {"plots": [plot for plot in plots if plot], "rule": rule, "all": by_step[-1], "saved": saved}
