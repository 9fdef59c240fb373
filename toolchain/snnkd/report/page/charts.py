"""Charts as data: values, and where they lie in a drawing. `templates/charts.html` draws them as SVG.

A drawing is `WIDTH` units wide, as a phone's screen, so that its text is as large as that around it. Each chart has a
description, the text that stands for it where it cannot be seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

WIDTH = 360
COLOURS = 6  # that style.css has; series beyond them have other marks
MARKS = ("circle", "square", "diamond", "triangle")
_TOP, _BOTTOM, _RIGHT, _HEIGHT = 10, 34, 10, 220
_CHARACTER = 6.2  # the mean width of one at the charts' font size
_TICKS = 5
_PARTS = {0.3: (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 4, 5, 6, 7, 8, 9), 0.6: (1, 1.5, 2, 3, 4, 6, 8), 1.5: (1, 2, 5)}
_PARTS |= {2.5: (1, 3), float("inf"): (1,)}  # of a decade, by how many decades an axis of logarithms has at most
_MARKED = 8  # points of a line that have a mark


@dataclass(frozen=True)
class Axis:
    """One axis: `low` lies at `start` and `high` at `end`, units of the drawing. unit: 'percent' or ''."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    unit: str = ""

    def at(self, value: float) -> float:
        """Returns where `value` lies; beyond the ends of the axis, at its end."""
        low, high, value = (log10(v) if self.log else v for v in (self.low, self.high, max(value, self.low)))
        share = (min(value, high) - low) / (high - low)
        return round(self.start + share * (self.end - self.start), 1)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Lists (place, text) of the values that are written at the axis."""
        return [(self.at(value), shown(value, self.unit)) for value in self._values()]

    def _values(self) -> Iterable[float]:
        if not self.log:
            step = _step(self.low, self.high)
            return [k * step for k in range(ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9) + 1)]
        span, decades = log10(self.high / self.low), range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
        every = ceil(span / _TICKS)
        parts = next(parts for most, parts in _PARTS.items() if span <= most)
        values = (part * 10.0**decade for decade in decades if decade % every == 0 for part in parts)
        return [value for value in values if self.low * 0.999 <= value <= self.high * 1.001]


def _step(low: float, high: float) -> float:
    """The distance of ticks: 1, 2 or 5 times a power of 10."""
    rough = (high - low) / _TICKS
    power = 10.0 ** floor(log10(rough))
    return next(part * power for part in (1, 2, 5, 10) if part * power >= rough * 0.999)


def shown(value: float, unit: str = "") -> str:
    """Writes a value of an axis: 0.9 as '90 %' where `unit` is 'percent', else 12000 as '12,000'."""
    if unit == "percent":
        return f"{round(100 * value, 4):g} %"
    value = float(f"{value:.6g}")
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:g}"


def linear(values: Iterable[float], start: float, end: float, unit: str = "", whole: bool = False) -> Axis:
    """Makes an axis on which all `values` lie, at least one, from tick to tick; `whole`: from the first to the last."""
    low, high = min(values := list(values)), max(values)
    if low == high:
        low, high = low - (abs(low) or 1) * 0.1, high + (abs(high) or 1) * 0.1
    if not whole:
        step = _step(low, high)
        low, high = floor(low / step + 1e-9) * step, ceil(high / step - 1e-9) * step
    if unit == "percent":
        low, high = max(low, 0.0), min(high, 1.0)
    return Axis(low, high, start, end, unit=unit)


def logarithmic(values: Iterable[float], start: float, end: float) -> Axis:
    """Makes an axis of logarithms on which all positive ones of `values` lie, at least one."""
    positive = [value for value in values if value > 0]
    low, high = min(positive) / 1.15, max(positive) * 1.15
    return Axis(low, high, start, end, log=True)


@dataclass(frozen=True)
class Series:
    """Points (x, y) of one name. number: of its colour and mark. joined: by a line. told: at each point, in words.
    faint: in the background, without a name."""

    name: str
    points: Sequence[tuple[float, float]]
    number: int = 0
    joined: bool = True
    told: Sequence[str] = ()
    faint: bool = False

    @property
    def colour(self) -> int:
        return self.number % COLOURS

    @property
    def mark(self) -> str:
        return MARKS[self.number // COLOURS % len(MARKS)] if self.number >= COLOURS else MARKS[self.number % len(MARKS)]


@dataclass(frozen=True)
class Plot:
    """Lines and points over two axes. note: (x, text) of a vertical line, or None."""

    title: str
    description: str
    across: str
    up: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    note: tuple[float, str] | None = None
    kind: str = "plot"
    width: int = WIDTH
    height: int = _HEIGHT

    @property
    def legend(self) -> list[Series]:
        """Lists what has to be told apart beside the drawing."""
        return [series for series in self.series if not series.faint] if len(self.series) > 1 else []

    def told(self, series: Series, index: int) -> str:
        """Says a point in words."""
        if series.told:
            return series.told[index]
        x, y = series.points[index]
        return f"{series.name}, {self.across} {shown(x, self.x.unit)}: {shown(y, self.y.unit)}"

    def marked(self, series: Series) -> list[int]:
        """Lists the points of a series that have a mark: some of a line and its last, all of those alone."""
        last = len(series.points) - 1
        every = ceil((last + 1) / _MARKED) if series.joined else 1
        return [] if series.faint else [*range(0, last - every // 2, every), last]

    def path(self, series: Series) -> str:
        """Returns the points as SVG writes them."""
        return " ".join(f"{self.x.at(x):g},{self.y.at(y):g}" for x, y in series.points)


def plot(
    title: str,
    series: Sequence[Series],
    across: str,
    up: str,
    *,
    description: str = "",
    log: bool = False,
    log_x: bool = False,
    percent: bool = False,
    from_zero: bool = False,
    note: tuple[float, str] | None = None,
) -> Plot | None:
    """Makes a plot of all points of `series`; None where there are none, or none above 0 for an axis of logarithms.

    log, log_x: axes of logarithms. percent: y are shares. from_zero: y starts there. description: what its points say,
    the last value of each series unless given.
    """
    series = [one for one in series if one.points]
    ys = [y for one in series for _, y in one.points]
    xs = [x for one in series for x, _ in one.points]
    if not ys or (log and max(ys) <= 0):
        return None
    unit, y_ends = "percent" if percent else "", (_HEIGHT - _BOTTOM, _TOP)
    y = logarithmic(ys, *y_ends) if log else linear([*ys, 0.0] if from_zero else ys, *y_ends, unit)
    left = 12 + _CHARACTER * max(len(text) for _, text in y.ticks) if y.ticks else 40
    x_ends = (round(left), WIDTH - _RIGHT)
    x = logarithmic(xs, *x_ends) if log_x else linear(xs, *x_ends, whole=True)
    last = "; ".join(f"{one.name}: {shown(one.points[-1][1], unit)}" for one in series if not one.faint)
    return Plot(title, description or f"{up} over {across}, at the end {last}", across, up, x, y, series, note)


@dataclass(frozen=True)
class Row:
    """One row of `Ranges`: a value with its bounds, which may be equal to it. text: the value in words. told: more."""

    name: str
    low: float
    typical: float
    high: float
    text: str
    number: int = 0
    told: str = ""

    @property
    def colour(self) -> int:
        return self.number % COLOURS


@dataclass(frozen=True)
class Ranges:
    """A row for each value, with its range on one axis. zero: where 0 lies, None where the axis does not have it."""

    title: str
    description: str
    along: str
    x: Axis
    rows: Sequence[Row]
    kind: str = "ranges"
    width: int = WIDTH

    @property
    def stacked(self) -> bool:
        """Tells whether a row's name and text are too long for one line."""
        return any(_CHARACTER * (len(row.name) + len(row.text) + 2) > WIDTH for row in self.rows)

    @property
    def step(self) -> int:
        """Returns the height of a row."""
        return 50 if self.stacked else 36

    @property
    def height(self) -> int:
        return self.step * len(self.rows) + 40

    @property
    def zero(self) -> float | None:
        return self.x.at(0) if not self.x.log and self.x.low < 0 < self.x.high else None


def ranges(title: str, rows: Sequence[Row], along: str, *, log: bool = False, percent: bool = False) -> Ranges | None:
    """Makes a chart of `rows`; None where there are none. log: an axis of logarithms. percent: values are shares."""
    ends = [value for row in rows for value in (row.low, row.typical, row.high)]
    if not ends or (log and max(ends) <= 0):
        return None
    places = (22, WIDTH - 22)
    x = logarithmic(ends, *places) if log else linear(ends, *places, "percent" if percent else "")
    return Ranges(title, "; ".join(f"{row.name}: {row.text}" for row in rows), along, x, rows)


@dataclass(frozen=True)
class Cell:
    """share: how dark it is, 0 to 1. wrong: in the colour of what should not be."""

    share: float
    text: str
    told: str
    wrong: bool = False


@dataclass(frozen=True)
class Matrix:
    """Cells by row and column. left: the width of the rows' names; cell: the size (width, height) of a cell."""

    title: str
    description: str
    across: str
    up: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    left: float
    head: float
    cell: tuple[float, float]
    kind: str = "matrix"
    width: int = WIDTH

    @property
    def height(self) -> float:
        return round(self.head + self.cell[1] * len(self.rows) + 4, 1)

    @property
    def upright(self) -> bool:
        """Tells whether the columns' names are too wide to be written across."""
        return _wide(self.columns) > self.cell[0] - 2

    @property
    def every(self) -> int:
        """Counts the columns from one name to the next, so that they do not touch."""
        room = self.cell[0]
        need = 12 if self.upright else _wide(self.columns) + 4
        return max(1, ceil(need / room))

    @property
    def every_row(self) -> int:
        return max(1, ceil(11 / self.cell[1]))

    @property
    def written(self) -> bool:
        """Tells whether cells are large enough for their texts."""
        widest = max((_wide([cell.text]) for _, cells in self.rows for cell in cells), default=0)
        return self.cell[1] >= 12 and widest <= self.cell[0]


@dataclass(frozen=True)
class CoreCell:
    """One core that is used. share: how full it is, above 1 too full; number: of its layer. told: in words."""

    share: float
    number: int
    told: str

    @property
    def colour(self) -> int:
        return self.number % COLOURS

    @property
    def filled(self) -> float:
        return min(max(self.share, 0.06), 1.0)  # a little is seen, too


@dataclass(frozen=True)
class CoreMap:
    """Chips below each other, of `size` cores each. left_out: how many chips more there are."""

    title: str
    description: str
    size: int
    chips: Sequence[Sequence[CoreCell]]
    left_out: int
    kind: str = "cores"
    width: int = WIDTH
    columns: int = 16

    @property
    def pitch(self) -> float:
        """Returns the distance from one core to the next."""
        return (self.width - 8) / self.columns

    @property
    def rows(self) -> int:
        return ceil(self.size / self.columns)

    @property
    def step(self) -> float:
        """Returns the distance from one chip to the next."""
        return self.rows * self.pitch + 16

    @property
    def height(self) -> float:
        return round(self.step * len(self.chips) - 6, 1)

    def at(self, core: int) -> tuple[float, float]:
        """Returns where a core of a chip lies, from the chip's corner."""
        return round(4 + core % self.columns * self.pitch, 2), round(4 + core // self.columns * self.pitch, 2)


_CHIPS = 6  # that are drawn


def core_map(title: str, cells: Sequence[CoreCell], size: int, description: str) -> CoreMap:
    """Makes a map of at least one core, on chips of `size` cores."""
    chips = [cells[start : start + size] for start in range(0, len(cells), size)]
    return CoreMap(title, description, size, chips[:_CHIPS], max(0, len(chips) - _CHIPS))


_LONGEST = 14  # characters of a name beside a matrix


def matrix(
    title: str,
    rows: Sequence[tuple[str, Sequence[Cell]]],
    columns: Sequence[str],
    across: str,
    up: str,
    description: str,
    square: bool = False,
) -> Matrix:
    """Makes a chart of cells, of equal sides where `square`; at least one row and column."""
    names = [(_cut(name), cells) for name, cells in rows]
    columns = [_cut(name) for name in columns]
    left = round(_wide([name for name, _ in names]) + 20)
    wide = (WIDTH - left - 2) / len(columns)
    high = min(wide, 30) if square else 26
    wide = high if square else min(wide, 60)
    head = 18 + (_wide(columns) if _wide(columns) > wide - 2 else 12)
    return Matrix(title, description, across, up, columns, names, left, round(head), (round(wide, 2), round(high, 2)))


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 2]}.."


def _wide(names: Iterable[str]) -> float:
    return _CHARACTER * max((len(name) for name in names), default=0)
