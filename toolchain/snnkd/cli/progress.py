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
        stage = row["stage"]
        if stage in self._tasks:
            text = f"epoch {row['epoch']}  loss {row['loss']:.3f}  validation {row['validation']:.2%}"
            self._bars.update(self._tasks[stage], metrics=text)
        for key, value in row.items():
            measure, _, layer = key.partition(".")
            if measure == "silent" and value == 1:
                self._warn(stage, layer, "is silent: no neuron of it ever fires; lower neuron.threshold_gain")
            if measure == "saturated" and value > 0.5:
                self._warn(stage, layer, f"is saturated: {value:.0%} fire at every step; raise neuron.threshold_gain")
            if measure == "overflows" and value > 0:
                self._warn(stage, layer, f"leaves 24 bits ({value} times on validation data); use fewer encoding.bits")

    def _warn(self, stage: str, layer: str, text: str) -> None:
        if (stage, layer + text[:12]) not in self._warned:
            self._warned.add((stage, layer + text[:12]))
            output.warn(f"{stage}: {layer} {text}")
