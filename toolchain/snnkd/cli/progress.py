"""Progress of a training on a terminal."""

from __future__ import annotations

from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from snnkd.cli import output


class TrainingProgress:
    """Progress bars with the time left, one per stage, on a terminal; warnings about layers that learn nothing."""

    def __init__(self) -> None:
        console = output.console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description:>10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("batches"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._warned: set[tuple[str, str]] = set()

    def __enter__(self) -> TrainingProgress:
        self._bars.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._bars.__exit__(*details)

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
            self._bars.update(self._tasks[stage], metrics=text)
        for column, text in warnings(row, "validation data"):
            if (stage, column) not in self._warned:
                self._warned.add((stage, column))
                output.warn(f"{stage}, epoch {row['epoch']}: {text}")


class Counter:
    """A progress bar with the time left, on a terminal, for `total` things that take about as long as each other."""

    def __init__(self, title: str, total: int) -> None:
        console = output.console(stderr=True)
        columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Counter:
        self._bar.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._bar.__exit__(*details)

    def advance(self) -> None:
        """Moves the bar by one."""
        self._bar.advance(self._task)
