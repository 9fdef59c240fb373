"""Tables that fit the terminal, and never cut a number.

Where a table is wider than the terminal, its words are folded, between words and not within one that could hold a
number; where that is not enough, columns move below, into a second table with the same first columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

_GAP, _EDGES = 2, 2  # cells between two columns, and around all of them
_LEAST = 10  # cells that words get, or all that they need, before columns move below; names in the first one _WHOLE
_WHOLE = 24  # cells: longer words, such as paths and digests, may be broken anywhere
_NUMBER = re.compile(r"[\d.,:/e%+-]+")  # dates and times too
_INNER = re.compile(r"(?<=\w[-/:=])(?=\w)|(?<=[A-Za-z],)(?=\w)")  # where a word that is no number may be broken


@dataclass(frozen=True)
class Row:
    """Cells, their style, and whether a gap follows below."""

    cells: Sequence[str]
    style: str = ""
    ends: bool = False


@dataclass
class Sheet:
    """A table: `words` columns of words at the left, the others of numbers; the first `keys` stand before columns that
    move below."""

    title: str
    columns: Sequence[str]
    words: int = 1
    keys: int = 1
    rows: list[Row] = field(default_factory=list)

    def add(self, *cells: str, style: str = "", ends: bool = False) -> None:
        """Adds a row; ends: a gap follows."""
        assert len(cells) == len(self.columns), "a cell for each column"
        self.rows.append(Row(cells, style, ends))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.title:
            yield Text(self.title, style="bold")
        for chosen in self._parts(options.max_width):
            yield self._part(chosen, options.max_width)

    def _parts(self, width: int) -> Iterator[list[int]]:
        """The columns of each table that is drawn."""
        keys = list(range(self.keys))
        part = list(keys)
        for column in range(self.keys, len(self.columns)):
            if len(part) > len(keys) and _total([self._least(k) for k in [*part, column]]) > width:
                yield part
                part = list(keys)
            part.append(column)
        yield part

    def _part(self, chosen: list[int], width: int) -> Table:
        widths = self._widths(chosen, width)
        grid = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        for column, cells in zip(chosen, widths, strict=True):
            side = "left" if column < self.words else "right"
            grid.add_column(Text(folded(self.columns[column], cells)), justify=side, no_wrap=True, min_width=cells)
        for row in self.rows:
            texts = [
                Text(folded(row.cells[column], cells) if column < self.words else row.cells[column])
                for column, cells in zip(chosen, widths, strict=True)
            ]
            grid.add_row(*texts, style=row.style or None, end_section=row.ends)
        return grid

    def _widths(self, chosen: list[int], width: int) -> list[int]:
        """What each column needs; where that is too much, the widest ones of words and headings get less."""
        widths = [max(map(cell_len, self._texts(column))) for column in chosen]
        least = [min(self._least(column), wide) for column, wide in zip(chosen, widths, strict=True)]
        while _total(widths) > width:
            spare = [wide if wide > low else 0 for wide, low in zip(widths, least, strict=True)]
            if not any(spare):
                break
            widths[spare.index(max(spare))] -= 1
        return widths

    def _least(self, column: int) -> int:
        heading, cells = self.columns[column], [row.cells[column] for row in self.rows]
        if column >= self.words:
            return max(_longest(heading), *map(cell_len, cells), 1)
        need, all_of_it = (max(map(size, (heading, *cells))) for size in (_longest, cell_len))
        return max(need, min(_LEAST if column else _WHOLE, all_of_it))

    def _texts(self, column: int) -> list[str]:
        return [self.columns[column], *(row.cells[column] for row in self.rows)]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1) + _EDGES


def _longest(text: str) -> int:
    return min(_WHOLE, max(cell_len(piece.rstrip()) for piece in _pieces(text)))


def _pieces(text: str) -> list[str]:
    """What a line may begin with, each with the spaces behind it; of an empty text itself."""
    words = re.findall(r"\S+\s*|\s+", text)
    return [
        piece for word in words for piece in ([word] if _NUMBER.fullmatch(word.strip()) else _INNER.split(word))
    ] or [text]


def folded(text: str, width: int) -> str:
    """Breaks a text into lines of at most `width` cells: between words, and behind punctuation that stands in one."""
    lines = [""]
    for piece in _pieces(text):
        if lines[-1] and cell_len(lines[-1]) + cell_len(piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
        if cell_len(lines[-1].rstrip()) > width:  # a path or a digest
            lines[-1:] = chop_cells(lines[-1].rstrip(), width)
    return "\n".join(line.rstrip() for line in lines)
