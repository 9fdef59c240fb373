"""Several runs side by side: means where they are seeds of one recipe, differences by pairs of the same seed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Any

from snnkd.analysis.paired import mean
from snnkd.report.page import charts
from snnkd.report.page.charts import Row, Series
from snnkd.report.page.facts import Facts
from snnkd.report.page.sections.accuracy import interval_row
from snnkd.report.page.words import NONE, between, count, percent, points
from snnkd.report.terminal import number

_GREY = 5  # the number of the colour that belongs to no group


@dataclass(frozen=True)
class Group:
    """Runs of one recipe that differ in their seeds at most. name: the recipe's, without a seed at its end."""

    name: str
    runs: Sequence[Facts]

    @property
    def by_seed(self) -> dict[int, Facts]:
        """Returns one run of each seed, the last."""
        return {facts.run.recipe.seed: facts for facts in self.runs}


def comparison(runs: Sequence[Facts]) -> dict[str, Any]:
    """Puts at least two runs beside each other."""
    groups = grouped(runs)
    numbers = {id(facts): k for k, group in enumerate(groups) for facts in group.runs}
    own = [
        interval_row(
            facts.name, facts.summary["accuracy"]["integer"], facts.summary.get("test_images", 0), numbers[id(facts)]
        )
        for facts in runs
    ]
    plots = (
        charts.ranges("Accuracy with its 95 % interval", own, "accuracy on the test images", percent=True),
        charts.ranges("Differences by pairs of the same seed", _differences(groups), "percentage points"),
        _against_spikes(groups),
        _by_step(groups),
    )
    return {
        "rows": [_row(facts) for facts in runs],
        "groups": [_mean(group) for group in groups if len(group.by_seed) > 1],
        "charts": [chart for chart in plots if chart is not None],
        "data": list(dict.fromkeys(str(facts.summary.get("data_set", "")) for facts in runs)),
    }


def grouped(runs: Sequence[Facts]) -> list[Group]:
    """Puts runs together whose recipes say the same but for name, description and seed."""
    found: dict[str, list[Facts]] = {}
    for facts in runs:
        said = {k: v for k, v in facts.run.recipe.to_dict().items() if k not in ("name", "description", "seed")}
        found.setdefault(json.dumps(said, sort_keys=True), []).append(facts)
    return [Group(_name(group), group) for group in found.values()]


def _name(group: Sequence[Facts]) -> str:
    return re.sub(r"[-_]?seed[-_]?\d+$", "", group[0].run.recipe.name)


def _row(facts: Facts) -> dict[str, str]:
    rule, accuracy = facts.summary.get("early_exit"), facts.summary["accuracy"]
    return {
        "run": facts.name,
        "seed": str(facts.run.recipe.seed),
        **{key: percent(accuracy[key]) for key in ("float", "integer")},
        "weights": count(facts.net.parameters),
        "spikes": NONE if facts.spikes is None else number(facts.spikes),
        "steps": NONE if rule is None else f"{rule['steps']:.2f} of {facts.net.steps}",
    }


def _mean(group: Group) -> dict[str, Any]:
    accuracy, ends = mean([_integer(facts) for facts in group.by_seed.values()])
    spikes = [facts.spikes for facts in group.by_seed.values() if facts.spikes is not None]
    return {
        "name": group.name,
        "seeds": ", ".join(map(str, sorted(group.by_seed))),
        "accuracy": percent(accuracy) if ends is None else between(accuracy, *ends),
        "spikes": number(fmean(spikes)) if spikes else NONE,
    }


def _differences(groups: Sequence[Group]) -> list[Row]:
    """Of each group that was also trained without a teacher, the gain; then of each two groups with common seeds."""
    pairs: list[tuple[str, list[float]]] = []
    for group in groups:
        both = [facts.summary for facts in group.by_seed.values() if facts.summary.get("baseline")]
        gains = [summary["accuracy"]["integer"] - summary["baseline"]["integer"] for summary in both]
        pairs.append((f"{group.name} less itself without a teacher", gains))
    for one, other in combinations(groups, 2):
        common = [
            seed for seed in one.by_seed if seed in other.by_seed and _alike(one.by_seed[seed], other.by_seed[seed])
        ]
        found = [_integer(other.by_seed[seed]) - _integer(one.by_seed[seed]) for seed in common]
        pairs.append((f"{other.name} less {one.name}", found))
    return [row for name, values in pairs if (row := _difference(name, values))]


def _integer(facts: Facts) -> float:
    return facts.summary["accuracy"]["integer"]


def _alike(one: Facts, other: Facts) -> bool:
    """Whether two runs were trained and judged with the same images."""
    return one.provenance.get("data") == other.provenance.get("data")


def _difference(name: str, values: Sequence[float]) -> Row | None:
    """The mean of differences with its interval, None of fewer than two."""
    middle, ends = mean(values) if values else (0.0, None)
    if ends is None:
        return None
    low, high = ends
    text = f"{points(middle)} ({points(low)} to {points(high)}), {len(values)} seeds"
    return Row(name, 100 * low, 100 * middle, 100 * high, text, _GREY)


def _against_spikes(groups: Sequence[Group]) -> Any:
    series = [
        Series(
            group.name,
            [(facts.spikes, _integer(facts)) for facts in group.by_seed.values() if facts.spikes],
            k,
            joined=False,
            told=[
                f"{f.name}: {number(f.spikes)} spikes, {percent(_integer(f))}"
                for f in group.by_seed.values()
                if f.spikes
            ],
        )
        for k, group in enumerate(groups)
    ]
    return charts.plot(
        "Accuracy against spikes", series, "spikes per inference, logarithmic", "accuracy", percent=True, log_x=True
    )


def _by_step(groups: Sequence[Group]) -> Any:
    """Of each group, the mean over its seeds."""
    series = []
    for k, group in enumerate(groups):
        courses = [facts.summary.get("by_step") or [] for facts in group.by_seed.values()]
        means = [(step + 1.0, fmean(values)) for step, values in enumerate(zip(*courses, strict=False))]
        series.append(Series(group.name, means, k))
    return charts.plot("Accuracy by steps, mean over seeds", series, "steps", "accuracy", percent=True)
