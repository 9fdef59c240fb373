"""Accuracy on corrupted images, as tables on the terminal and as a plot. Reads the very rows that `--json` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from math import floor
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from snnkd.report.tables import Sheet

CLEAN = "none"
Rows = Sequence[Mapping[str, Any]]

# Colours that people tell apart who see fewer of them (Okabe and Ito, "Color Universal Design", 2008), and marks.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
_MARKS = ("circle", "square", "diamond", "triangle")
_COLUMNS, _WIDTH, _HEIGHT, _LEFT, _TOP, _LINE = 3, 300, 200, 46, 30, 18  # panels in a row, their sizes, a line of text
_PLOT_WIDTH, _PLOT_HEIGHT = _WIDTH - _LEFT - 14, _HEIGHT - _TOP - 30


def robustness_table(data: Mapping[str, Any]) -> Group:
    """Makes Rich renderables of an evaluation: one table for each corruption, a column for each severity."""
    rows: Rows = data["rows"]
    parts: list[RenderableType] = []
    names = list(dict.fromkeys(row["corruption"] for row in rows))
    if names == [CLEAN]:
        return Group(_clean(rows))
    for name in names[1:]:
        parts.append(_by_severity(name, rows))
    half = max((row["interval"][1] - row["interval"][0]) / 2 for row in rows)
    on = "; ".join(dict.fromkeys(row["data"] for row in rows))
    parts.append(Text(f"accuracy in % on {on}; 95 % intervals are at most +- {100 * half:.2f} (--json has each)"))
    return Group(*parts)


def _clean(rows: Rows) -> Sheet:
    table = Sheet("accuracy in %, with its 95 % interval", ("network", "accuracy", "interval", "images"))
    labels = names_of(rows)
    for row in rows:
        low, high = row["interval"]
        interval = f"{100 * low:.2f} to {100 * high:.2f}"
        table.add(labels[_key(row)], f"{100 * row['accuracy']:.2f}", interval, f"{row['total']:,}")
    return table


def _by_severity(name: str, rows: Rows) -> Sheet:
    severities = [0, *sorted({row["severity"] for row in rows if row["corruption"] == name})]
    table = Sheet(name, ("severity", *(str(severity) if severity else "clean" for severity in severities)))
    for key, label in names_of(rows).items():
        cells = dict(series(rows, name, key))
        table.add(label, *(f"{100 * cells[severity]['accuracy']:.2f}" for severity in severities))
    return table


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["run"], row["network"]


def names_of(rows: Rows) -> dict[tuple[str, str], str]:
    """Names each (run, network) as shortly as tells all of them apart: the last part of a path, and the network's."""
    keys = list(dict.fromkeys(map(_key, rows)))
    short = {run: Path(run).name for run, _ in keys}
    runs = short if len(set(short.values())) == len(short) else {run: run for run in short}
    several = len({network for _, network in keys}) > 1
    return {(run, network): f"{runs[run]} {network}" if several else runs[run] for run, network in keys}


def series(rows: Rows, name: str, key: tuple[str, str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yields (severity, row) of a corruption for one (run, network); severity 0 is the clean images."""
    for row in rows:
        if _key(row) == key and row["corruption"] in (CLEAN, name):
            yield row["severity"], row


def robustness_plot(rows: Rows) -> str:
    """Draws accuracy over severity, a panel for each corruption, a line with 95 % intervals for each network: SVG.

    What is drawn is in its description too, and each point says its value. Only what the file holds is needed to show
    it: no script, no font, no other file.
    """
    names = list(dict.fromkeys(row["corruption"] for row in rows if row["corruption"] != CLEAN))
    labels = names_of(rows)
    legend = list(_legend(list(labels.values())))
    head = 34 + _LINE * (1 + max(line for line, *_ in legend))
    columns = min(_COLUMNS, len(names))
    width, height = max(columns * _WIDTH, 620), head + _HEIGHT * -(-len(names) // columns)
    low = min(row["interval"][0] for row in rows)
    floor_percent = max(0, floor(10 * low) * 10)
    title = "Accuracy on corrupted images by severity"
    body = [*_legend_marks(legend)]
    for number, name in enumerate(names):
        x, y = number % columns * _WIDTH, head + number // columns * _HEIGHT
        body.append(f'<g transform="translate({x} {y})">{"".join(_panel(name, rows, labels, floor_percent))}</g>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-labelledby="title description" font-family="sans-serif" font-size="11" fill="#222">\n'
        f'<title id="title">{title}</title>\n<desc id="description">{escape(_described(rows, names, labels))}</desc>\n'
        f'<rect width="{width}" height="{height}" fill="white"/>\n'
        f'<text x="10" y="20" font-size="14" font-weight="bold">{title}, %</text>\n' + "\n".join(body) + "\n</svg>\n"
    ).replace("\\\n", "\n")


def _described(rows: Rows, names: Sequence[str], labels: Mapping[tuple[str, str], str]) -> str:
    """The plot's table as text, a line for each corruption and network."""
    lines = ["Corruption, network: accuracy in % with its 95 % interval at each severity, 0 is clean."]
    for name in names:
        for key, label in labels.items():
            cells = [f"{severity}: {_value(row)}" for severity, row in series(rows, name, key)]
            lines.append(f"{name}, {label}: {', '.join(cells)}")
    return "\n".join(lines)


def _value(row: Mapping[str, Any]) -> str:
    low, high = row["interval"]
    return f"{100 * row['accuracy']:.2f} ({100 * low:.2f} to {100 * high:.2f})"


def _panel(name: str, rows: Rows, labels: Mapping[tuple[str, str], str], least: int) -> Iterator[str]:
    def across(severity: float) -> float:
        return round(_LEFT + severity / 5 * _PLOT_WIDTH, 1)

    def up(share: float) -> float:
        return round(_TOP + (100 - 100 * share) / (100 - least) * _PLOT_HEIGHT, 1)

    yield f'<text x="{_LEFT}" y="{_TOP - 10}" font-size="12" font-weight="bold">{escape(name)}</text>'
    for percent in range(least, 101, 10 if least >= 50 else 20):
        y = up(percent / 100)
        yield f'<path d="M{_LEFT} {y}H{_LEFT + _PLOT_WIDTH}" stroke="#ddd"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{percent}</text>'
    for severity in range(6):
        text = str(severity) if severity else "clean"
        yield f'<text x="{across(severity)}" y="{_TOP + _PLOT_HEIGHT + 16}" text-anchor="middle">{text}</text>'
    for number, (key, label) in enumerate(labels.items()):
        points = list(series(rows, name, key))
        line = " ".join(f"{across(severity)},{up(row['accuracy'])}" for severity, row in points)
        colour = _colour(number)
        yield f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        for severity, row in points:
            low, high = map(up, row["interval"])
            x, y = across(severity), up(row["accuracy"])
            told = escape(f"{label}, {name} {severity}: {_value(row)}")
            bar = f'<path d="M{x} {low}V{high}" stroke="{colour}"/>'
            yield f"<g><title>{told}</title>{bar}{_mark(number, x, y)}</g>"


def _legend(labels: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """(line, x, label) of each network, in as many lines as they need."""
    line, x, room = 0, 10, 600
    for label in labels:
        size = 26 + 7 * len(label)
        if x > 10 and x + size > room:
            line, x = line + 1, 10
        yield line, x, label
        x += size


def _legend_marks(legend: Sequence[tuple[int, int, str]]) -> Iterator[str]:
    for number, (line, x, label) in enumerate(legend):
        y = 40 + _LINE * line
        yield f'{_mark(number, x + 5, y - 4)}<text x="{x + 14}" y="{y}">{escape(label)}</text>'


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _mark(number: int, x: float, y: float) -> str:
    shapes = {
        "circle": f'<circle cx="{x}" cy="{y}" r="3"',
        "square": f'<path d="M{x - 3} {y - 3}h6v6h-6z"',
        "diamond": f'<path d="M{x} {y - 4}l4 4l-4 4l-4 -4z"',
        "triangle": f'<path d="M{x} {y - 4}l4 7h-8z"',
    }
    return f'{shapes[_MARKS[number % len(_MARKS)]]} fill="{_colour(number)}"/>'
