"""What users see: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table


@cache
def console(stderr: bool = False) -> Console:
    """rich's console on stdout or stderr; rich is imported with the first line that is printed."""
    from rich.console import Console

    return Console(stderr=stderr)


def result(data: dict[str, Any], as_json: bool, render: Callable[[dict[str, Any]], RenderableType]) -> None:
    """One JSON object with --json, else what `render` makes of the same data."""
    if as_json:
        print(json.dumps(data))
    else:
        console().print(render(data))


def note(text: str) -> None:
    """A line for people, on stderr."""
    console(stderr=True).print(text, highlight=False)


def warn(text: str) -> None:
    """A warning, on stderr."""
    console(stderr=True).print(f"[yellow]warning:[/] {text}", highlight=False)


def fail(text: str) -> None:
    """An error, on stderr."""
    console(stderr=True).print("[red]error:[/]", end=" ")
    console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


def table(title: str, columns: list[str], rows: list[list[str]], left: int = 1) -> Table:
    """A plain table; the first `left` columns are words, the others numbers."""
    from rich.table import Table

    made = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        made.add_column(column, justify="left" if index < left else "right")
    for row in rows:
        made.add_row(*row)
    return made


def group(*parts: RenderableType) -> RenderableType:
    """Several things below each other."""
    from rich.console import Group

    return Group(*parts)
