"""What a search has found, as a page and as a picture: its front, and how the recipe that it started from compares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from snnkd import __version__
from snnkd.report.page import charts
from snnkd.report.page.charts import Plot, Series
from snnkd.report.page.templates import template
from snnkd.report.page.words import NONE, percent
from snnkd.report.terminal import number
from snnkd.study.found import Found
from snnkd.study.measures import Measures
from snnkd.study.space import GOALS, Goal

_REASONS = 8  # for which candidates ended early, at most
_BASE, _OTHERS = 2, 5  # numbers of their colours


def page(found: Found) -> str:
    """Renders a search as one HTML file that needs no other."""
    return template("front.html").render(
        version=__version__,
        found=found,
        rows=rows(found),
        charts=plots(found),
        counted=found.counted(),
        reasons=Counter(trial.reason for trial in found.trials if trial.reason).most_common(_REASONS),
    )


def picture(found: Found) -> str | None:
    """Draws the first two objectives as an SVG file; None of a search that has only one, or no front."""
    drawn = plots(found)
    return template("front.svg").render(chart=drawn[0]) if drawn else None


def rows(found: Found) -> list[list[str]]:
    """Lists the front, the best in the first objective first, and at the end the recipe that the space starts from:
    number, each of GOALS, epochs, and what was drawn."""
    listed = [
        [str(t.number), *_figures(t.last), str(max(t.measured)), _said(t.parameters)] for t in found.front if t.last
    ]
    base = [] if found.reference is None else [[found.space.recipe, *_figures(found.reference), "all", ""]]
    return listed + base


def _figures(measures: Measures) -> list[str]:
    return [shown(goal, measures) for goal in GOALS.values()]


def shown(goal: Goal, measures: Measures) -> str:
    """Writes one measure, in the unit of its goal's title; '-' where it is not known."""
    value = getattr(measures, goal.measure)
    if value is None:
        return NONE
    return percent(value) if goal.rises else number(value)


def _said(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {_value(value)}" for name, value in parameters.items())


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def plots(found: Found) -> list[Plot]:
    """Draws the first objective over each of the others; nothing where there is no front."""
    first, *others = found.space.goals
    made = [_plot(found, first, other) for other in others] if found.front else []
    return [plot for plot in made if plot is not None]


def _plot(found: Found, up: Goal, across: Goal) -> Plot | None:
    best = {trial.number for trial in found.front}
    front = sorted(found.front, key=lambda trial: getattr(trial.last, across.measure))
    rest = [trial for trial in found.trials if trial.number not in best and trial.last is not None]

    def series(name: str, those: Sequence[tuple[str, Any]], colour: int, joined: bool = False) -> Series:
        points = [(getattr(own, across.measure), getattr(own, up.measure)) for _, own in those]
        told = [f"{who}: {across.title} {shown(across, own)}, {up.title} {shown(up, own)}" for who, own in those]
        return Series(name, points, colour, joined, told)

    base = [] if found.reference is None else [(found.space.recipe, found.reference)]
    drawn = [
        series("others, as far as they were trained", [(str(t.number), t.last) for t in rest], _OTHERS),
        series("the front", [(str(t.number), t.last) for t in front], 0, joined=True),
        series(f"{found.space.recipe}, trained alike", base, _BASE),
    ]
    title = f"{up.title} over {across.title}"
    return charts.plot(title, drawn, f"{across.title}, logarithmic", up.title, percent=up.rises, log_x=True)
