"""Bars with the time left on the last lines of a terminal, on stderr, and below them what goes on meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

from rich.console import RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.spinner import Spinner
from rich.text import Text

from snnkd.base import progress
from snnkd.cli import output

_WIDE = 110  # columns that a bar takes together with what its epoch gave


class Bars(Progress):
    """Bars of rich, if it gets any, and a line that says what goes on."""

    def __init__(self, *columns: ProgressColumn, transient: bool = False) -> None:
        self.notes: dict[str, str] = {}  # lines between the bars and what goes on
        self._doing, self._spinner = "", Spinner("dots")
        console = output.console(stderr=True)
        super().__init__(
            *columns,
            console=console,
            transient=transient,
            redirect_stdout=False,  # it may be a pipe
            disable=not console.is_terminal,
        )

    def say(self, what: str) -> None:
        """Says below the bars what goes on; '' takes the line away."""
        self._doing = what
        self._spinner.update(text=Text(what, no_wrap=True, overflow="ellipsis"))

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yields what is drawn. Called by rich."""
        if self.tasks:
            yield self.make_tasks_table(self.tasks)
        for name, text in self.notes.items():
            yield Text(f"{name}: {text}")
        if self._doing:
            yield self._spinner


class TrainingProgress:
    """A bar for each stage, on a terminal; warnings about layers that learn nothing."""

    def __init__(self) -> None:
        columns: list[ProgressColumn] = [TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn()]
        columns += [TextColumn("batches"), TimeRemainingColumn()]
        self._wide = output.console(stderr=True).width >= _WIDE
        if self._wide:
            columns.append(TextColumn("{task.fields[metrics]}"))
        self._bars = Bars(*columns)
        self._tasks: dict[str, TaskID] = {}
        self._warned: set[tuple[str, str]] = set()
        self._open = ExitStack()

    def __enter__(self) -> TrainingProgress:
        _below(self._bars, self._open)
        return self

    def __exit__(self, *details: Any) -> None:
        self._open.close()

    def on_batch(self, stage: str, epoch: int, epochs: int, batch: int, batches: int) -> None:
        """Moves the stage's bar."""
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=epochs * batches, metrics="")
        self._bars.update(self._tasks[stage], completed=(epoch - 1) * batches + batch)

    def on_epoch(self, row: dict[str, Any]) -> None:
        """Shows the epoch's metrics and warns, once per layer and stage, of what will not deploy or learn."""
        from snnkd.training.measuring import warnings

        stage = row["stage"]
        if stage in self._tasks:
            accuracy = row["validation.integer" if "validation.integer" in row else "validation.float"]  # an ANN's
            text = f"epoch {row['epoch']}  loss {row['loss']:.3f}  validation {accuracy:.2%}"
            if self._wide:
                self._bars.update(self._tasks[stage], metrics=text)
            else:
                self._bars.notes[stage] = text
        for column, text in warnings(row, "validation data"):
            if (stage, column) not in self._warned:
                self._warned.add((stage, column))
                output.warn(f"{stage}, epoch {row['epoch']}: {text}")


class Counter:
    """A bar for `total` things that take about as long as each other, on a terminal."""

    def __init__(self, title: str, total: int) -> None:
        columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Bars(*columns, transient=True)
        self._task = self._bars.add_task("", total=total)
        self._open = ExitStack()

    def __enter__(self) -> Counter:
        _below(self._bars, self._open)
        return self

    def __exit__(self, *details: Any) -> None:
        self._open.close()

    def advance(self) -> None:
        """Moves the bar by one."""
        self._bars.advance(self._task)


def _below(bars: Bars, opened: ExitStack) -> None:
    """Shows bars until `opened` closes; what goes on is said below them, and no more where it was said before."""
    progress.say("")
    opened.enter_context(progress.heard_by(bars.say))
    opened.enter_context(bars)
    opened.callback(bars.say, "")
