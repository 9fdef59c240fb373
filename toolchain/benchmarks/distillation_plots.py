"""Plots of the benchmark `distillation`, one for each claim: what distillation gains, and which networks are the most
accurate for so many spikes and for so many weights."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from itertools import product
from math import log10
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import Bbox

from distillation_cells import VARIANTS, Cell
from distillation_results import Interval, Row, grouped, interval, paired

_STYLE: Any = {
    "svg.hashsalt": "snnkd",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "axes.edgecolor": "#999999",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
}
_SURE, _OPEN, _FRONT, _OTHERS = "#0072b2", "#777777", "#0072b2", "#bbbbbb"
_SEEDS = 3  # from which on an interval is drawn: that of two is 9 standard deviations wide
_LINE, _FRAME = 0.21, 0.75  # inches: of a row, and around a panel


class Point(NamedTuple):
    """A cell's means over its seeds. across: spikes or weights."""

    label: str
    across: float
    accuracy: Interval  # in percent


def draw(cells: dict[str, Cell], rows: list[Row], folder: Path) -> dict[str, str]:
    """Writes the plots that there are rows for; their names, each with a text that says what it shows.

    The same rows give the same files.
    """
    by_cell = {name: trained for name, trained in grouped(cells, rows).items() if trained and not _is_variant(name)}
    gains, by_set = _gains(cells, by_cell), _by_set(by_cell)
    drawn: dict[str, str] = {}
    with matplotlib.rc_context(_STYLE):
        if gains:
            _save(_gain_figure(gains), folder / "results_gain.svg")
            drawn["results_gain.svg"] = (
                "What distillation gains: difference of each distilled network to the same network trained alone, in "
                "percentage points, by pairs of the same seed with 95 % intervals"
            )
        for name, of, words in _AGAINST:
            points = {images: _points(cells, trained, of) for images, trained in by_set.items()}
            if points:
                _save(_front_figure(points, words), folder / name)
                drawn[name] = f"Accuracy against {words}: no other network is as accurate with as few as those in blue"
    return drawn


def _spikes(row: Row) -> float:
    return row.spikes


def _weights(row: Row) -> float:
    return row.parameters


_AGAINST: tuple[tuple[str, Callable[[Row], float], str], ...] = (
    ("results_spikes.svg", _spikes, "spikes per inference"),
    ("results_weights.svg", _weights, "weights"),
)


def _is_variant(name: str) -> bool:
    return name.endswith(tuple(VARIANTS))


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)


def _by_set(by_cell: dict[str, list[Row]]) -> dict[str, dict[str, list[Row]]]:
    found: dict[str, dict[str, list[Row]]] = {}
    for name, rows in by_cell.items():
        found.setdefault(rows[0].set, {})[name] = rows
    return found


def _gains(cells: dict[str, Cell], by_cell: dict[str, list[Row]]) -> dict[str, list[tuple[str, Interval]]]:
    """By data set: (label, difference in points) of each distilled cell that has at least two seeds in common with its
    network alone."""
    found: dict[str, list[tuple[str, Interval]]] = {}
    for name, rows in by_cell.items():
        cell = cells[name]
        if cell.beside is None or cell.group == "further":
            continue
        difference = paired(rows, by_cell.get(cell.beside, []))
        if difference is not None and difference.half is not None:
            found.setdefault(rows[0].set, []).append((_label(cell, rows[0].set), _percent(difference)))
    return found


def _label(cell: Cell, images: str) -> str:
    """What a cell is called in the panel of its data set."""
    name = cell.label.removeprefix(images.removesuffix("-jpeg")).lstrip("-, ")
    of_group = {
        "lee2022": f"Lee et al., {name or 'one temperature'}",
        "kdsnn": f"KDSNN, {name}",
        "best": f"best: {name}",
        "further": f"best: {name}",
    }
    return of_group.get(cell.group, name)


def _percent(value: Interval) -> Interval:
    return Interval(100 * value.mean, None if value.half is None else 100 * value.half, value.n)


def _gain_figure(gains: dict[str, list[tuple[str, Interval]]]) -> Figure:
    """A panel below the other for each data set, a row for each cell; hollow where the interval holds 0."""
    heights = [len(rows) * _LINE + _FRAME for rows in gains.values()]
    ratios = {"height_ratios": heights}
    figure, axes = plt.subplots(len(gains), 1, figsize=(7.5, sum(heights)), squeeze=False, gridspec_kw=ratios)
    for place, (images, rows) in zip(axes[:, 0], gains.items(), strict=True):
        place.axvline(0, color="black", linewidth=0.8)
        for number, (_, gain) in enumerate(rows):
            sure = gain.half is not None and abs(gain.mean) > gain.half
            colour = _SURE if sure else _OPEN
            options = {"fmt": "o", "color": colour, "markerfacecolor": colour if sure else "white", "markersize": 5}
            place.errorbar(gain.mean, number, xerr=gain.half, linewidth=1.4, **options)  # pyright: ignore
        place.set_yticks(range(len(rows)), [f"{label} (n = {gain.n})" for label, gain in rows])
        place.set_ylim(len(rows) - 0.4, -0.6)
        place.set_title(images)
    axes[-1, 0].set_xlabel("accuracy distilled less alone, percentage points")
    figure.tight_layout()
    return figure


def _points(cells: dict[str, Cell], by_cell: dict[str, list[Row]], of: Callable[[Row], float]) -> list[Point]:
    return [
        Point(
            _label(cells[name], rows[0].set),
            statistics.fmean(map(of, rows)),
            _percent(interval([row.accuracy for row in rows])),
        )
        for name, rows in by_cell.items()
    ]


def front(points: list[Point]) -> list[Point]:
    """Returns those points that no other is as accurate as with as few, from the fewest on."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda point: (point.across, -point.accuracy.mean)):
        if not kept or point.accuracy.mean > kept[-1].accuracy.mean:
            kept.append(point)
    return kept


def _front_figure(by_set: dict[str, list[Point]], words: str) -> Figure:
    """A panel below the other for each data set: the front with its labels, all else without.

    Labels come last, when the layout is fixed.
    """
    figure, axes = plt.subplots(len(by_set), 1, figsize=(7.5, 3.1 * len(by_set)), squeeze=False)
    for place, (images, points) in zip(axes[:, 0], by_set.items(), strict=True):
        _front_panel(place, points)
        place.set_title(images)
        place.set_ylabel("accuracy, %")
    axes[-1, 0].set_xlabel(words)
    figure.tight_layout()
    for place, points in zip(axes[:, 0], by_set.values(), strict=True):
        _name(place, front(points))
    return figure


def _front_panel(axes: Axes, points: list[Point]) -> None:
    best = front(points)
    axes.plot([p.across for p in points], [p.accuracy.mean for p in points], "o", color=_OTHERS, markersize=4)
    axes.plot([p.across for p in best], [p.accuracy.mean for p in best], "-", color=_FRONT, linewidth=1, alpha=0.5)
    for point in best:
        few = point.accuracy.n < _SEEDS
        half = None if few else point.accuracy.half
        options = {"fmt": "o", "color": _FRONT, "markersize": 5, "linewidth": 1.2}
        options["markerfacecolor"] = "white" if few else _FRONT
        axes.errorbar(point.across, point.accuracy.mean, yerr=half, **options)  # pyright: ignore[reportArgumentType]
    axes.set_xscale("log")
    axes.margins(x=0.12, y=0.15)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if _decades(axes) < 3 else (1, 3)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _decades(axes: Axes) -> float:
    low, high = axes.get_xlim()
    return log10(high / low)


def _name(axes: Axes, best: list[Point]) -> None:
    """Writes each label where it covers no earlier one and no point: as near to its point as can be."""
    axes.figure.canvas.draw()
    inside = axes.get_window_extent()
    places = axes.transData.transform([(point.across, point.accuracy.mean) for point in best])
    taken = [Bbox.from_extents(x - 5, y - 5, x + 5, y + 5) for x, y in places]
    for point in best:
        for up, side in product((-11, 5, -22, 16, -33, 27, 38, -44), (1, -1)):
            options = {"xytext": (7 * side, up), "textcoords": "offset points", "fontsize": 8}
            options["ha"] = "left" if side > 0 else "right"
            text = axes.annotate(point.label, (point.across, point.accuracy.mean), **options)  # pyright: ignore
            box = text.get_window_extent()
            if not box.count_overlaps(taken) and inside.contains(*box.p0) and box.y1 < inside.y1:
                break
            text.remove()
        else:
            continue
        taken.append(box)
