"""Plots of the benchmark `distillation`: accuracy against spikes, and against the steps after which inference stops."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from distillation_cells import VARIANTS, Cell
from distillation_results import Row, grouped, interval

SPIKES, STEPS = "results_spikes.svg", "results_steps.svg"
_STYLE: Any = {"svg.hashsalt": "snnkd", "svg.fonttype": "none", "font.size": 8, "axes.grid": True, "grid.alpha": 0.3}


def draw(cells: dict[str, Cell], rows: list[Row], folder: Path) -> list[str]:
    """Writes both plots, one panel for each data set in the order of the cells; their names. The same rows give the
    same files."""
    shown = grouped((name for name in cells if not name.endswith(tuple(VARIANTS))), rows)
    by_set: dict[str, dict[str, list[Row]]] = {}
    for name, trained in shown.items():
        for row in trained:
            by_set.setdefault(row.set, {}).setdefault(name, []).append(row)
    if not by_set:
        return []
    for name, panel in ((SPIKES, _spikes), (STEPS, _steps)):
        with matplotlib.rc_context(_STYLE):
            figure, axes = plt.subplots(1, len(by_set), figsize=(6 * len(by_set), 4), squeeze=False)
            for place, (images, rows_by_cell) in zip(axes[0], by_set.items(), strict=True):
                panel(place, rows_by_cell, cells)
                place.set_title(images)
                place.set_ylabel("accuracy of the integer network, %")
                place.legend(fontsize=6, loc="upper left", bbox_to_anchor=(1, 1))
            figure.tight_layout()
            figure.savefig(folder / name, metadata={"Date": None})
            plt.close(figure)
    return [SPIKES, STEPS]


def _spikes(axes: Axes, rows_by_cell: dict[str, list[Row]], cells: dict[str, Cell]) -> None:
    """A point for each cell, means over its seeds; a line through Lee et al.'s temperatures.

    With 95 % intervals from three seeds on: those of two are 9 standard deviations wide.
    """
    curve: list[tuple[float, float]] = []
    for number, (name, rows) in enumerate(rows_by_cell.items()):
        x, y = interval([row.spikes for row in rows]), interval([100 * row.accuracy for row in rows])
        if cells[name].group == "lee2022":
            curve.append((x.mean, y.mean))
        options = {"fmt": "osD^v"[number // 10 % 5], "color": f"C{number % 10}", "markersize": 4, "linewidth": 0.8}
        yerr, xerr = (y.half, x.half) if len(rows) > 2 else (None, None)
        axes.errorbar(x.mean, y.mean, yerr=yerr, xerr=xerr, label=cells[name].label, **options)  # pyright: ignore
    if curve:
        axes.plot(*zip(*sorted(curve), strict=True), color="0.5", linewidth=0.8, zorder=0)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda spikes, _: f"{spikes:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("spikes per inference")


def _steps(axes: Axes, rows_by_cell: dict[str, list[Row]], cells: dict[str, Cell]) -> None:
    """A line for each cell, means over its seeds."""
    for number, (name, rows) in enumerate(rows_by_cell.items()):
        means = [100 * statistics.fmean(step) for step in zip(*(row.by_step for row in rows), strict=True)]
        style = ("-", "--", ":", "-.")[number // 10 % 4]
        axes.plot(range(1, len(means) + 1), means, style, color=f"C{number % 10}", label=cells[name].label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("steps after which inference stops")
