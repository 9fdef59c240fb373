"""Writes TensorBoard events of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch.utils.tensorboard.writer import SummaryWriter


class Journal:
    """Writes each epoch's metrics to TensorBoard, one series per stage and metric; on resuming, epochs that are
    written again replace the earlier ones."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._writers: dict[str, SummaryWriter] = {}

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._writers.values():
            writer.close()

    def add(self, row: dict[str, Any]) -> None:
        """Writes one row of metrics, as `OnEpoch` of `loop.stage` is given it; all but stage and epoch are numbers."""
        stage = row["stage"]
        if stage not in self._writers:
            self._writers[stage] = SummaryWriter(str(self._folder / "tensorboard" / stage), purge_step=row["epoch"])
        for name, value in row.items():
            if name not in ("stage", "epoch"):
                self._writers[stage].add_scalar(name.replace(".", "/"), value, row["epoch"])
