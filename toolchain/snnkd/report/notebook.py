"""Progress of a training in a notebook: a bar for each stage, without any extension of Jupyter."""

from __future__ import annotations

import sys
import time
from html import escape
from typing import Any

_PAUSE = 0.2  # seconds between two messages to the browser


def is_open() -> bool:
    """Tells whether this process runs the cells of a notebook; false on IPython's terminal."""
    ipython = sys.modules.get("IPython")  # nobody who has not loaded it is in a notebook
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


class Bars:
    """A line for each stage of a training: its bar, and the metrics of its last epoch."""

    def __init__(self) -> None:
        self._shown: Any = None  # the display that is updated; it appears with the first batch
        self._sent = 0.0
        self._batches: dict[str, tuple[int, int]] = {}
        self._metrics: dict[str, str] = {}

    def on_batch(self, stage: str, epoch: int, epochs: int, batch: int, batches: int) -> None:
        """Moves the stage's bar."""
        self._batches[stage] = ((epoch - 1) * batches + batch, epochs * batches)
        if batch == batches or time.monotonic() - self._sent > _PAUSE:
            self._send()

    def on_epoch(self, row: dict[str, Any]) -> None:
        """Shows the epoch's metrics."""
        accuracy = row["validation.integer" if "validation.integer" in row else "validation.float"]  # an ANN's
        self._metrics[row["stage"]] = f"epoch {row['epoch']}, loss {row['loss']:.3f}, validation {accuracy:.2%}"
        self._send()

    def _send(self) -> None:
        from IPython.display import display

        data = {"text/plain": self._text(), "text/html": self._html()}
        if self._shown is None:
            self._shown = display(data, raw=True, display_id=True)
        else:
            self._shown.update(data, raw=True)
        self._sent = time.monotonic()

    def _text(self) -> str:
        lines = (f"{stage}: {done} of {total} batches" for stage, (done, total) in self._batches.items())
        return "\n".join(f"{line}  {self._metrics.get(line.split(':')[0], '')}".rstrip() for line in lines)

    def _html(self) -> str:
        rows = (
            f'<tr><td>{escape(stage)}</td><td><progress value="{done}" max="{total}"></progress></td>'
            f"<td>{done} of {total} batches</td><td>{escape(self._metrics.get(stage, ''))}</td></tr>"
            for stage, (done, total) in self._batches.items()
        )
        return f"<table>{''.join(rows)}</table>"
