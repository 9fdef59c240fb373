"""What users see: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from snnkd.base import progress

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


_PIPED_WIDTH = 200  # where there is no terminal, lines are for other programs: not folded at 80


@cache
def console(stderr: bool = False) -> Console:
    """rich's console on stdout or stderr; rich is imported with the first line that is printed."""
    from rich.console import Console

    shown = Console(stderr=stderr)
    if not shown.is_terminal and "COLUMNS" not in os.environ:
        shown.width = _PIPED_WIDTH
    return shown


def result(data: dict[str, Any], as_json: bool, render: Callable[[dict[str, Any]], RenderableType]) -> None:
    """Prints one JSON object with --json, else what `render` makes of the same data, and its warnings on stderr."""
    progress.say("")
    if as_json:
        print(json.dumps(data))
        return
    console().print(render(data), crop=False)  # what does not fold, a command to be copied, is not cut off either
    for text in dict.fromkeys(_warnings(data)):
        warn(text)


def _warnings(data: Any) -> Iterator[str]:
    """All `warnings` in a result and in the results that it holds."""
    if isinstance(data, dict):
        yield from data.get("warnings", ())
        for value in data.values():
            yield from _warnings(value)
    elif isinstance(data, list):
        for value in data:
            yield from _warnings(value)


def warn(text: str) -> None:
    """Prints a warning, on stderr."""
    _line("[yellow]warning:[/]", text)


def note(text: str) -> None:
    """Prints a note, on stderr."""
    _line("[cyan]note:[/]", text)


def fail(text: str) -> None:
    """Prints an error, on stderr."""
    _line("[red]error:[/]", text)


def _line(head: str, text: str) -> None:
    console(stderr=True).print(head, end=" ")
    console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


def table(title: str, columns: list[str], rows: list[list[str]], left: int = 1, keys: int = 1) -> RenderableType:
    """Makes a plain table; the first `left` columns are words, the others numbers. On a narrow terminal words are
    folded, and columns move below, where the first `keys` are said again; no number is cut."""
    from snnkd.report.tables import Sheet

    sheet = Sheet(title, columns, left, keys)
    for row in rows:
        sheet.add(*row)
    return sheet


def group(*parts: RenderableType) -> RenderableType:
    """Puts several things below each other; strings are printed as they are."""
    from rich.console import Group
    from rich.text import Text

    return Group(*(Text(part) if isinstance(part, str) else part for part in parts))
