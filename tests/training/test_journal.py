"""The journal: TensorBoard holds every metric of every stage at its epoch, those of a resumed training once."""

from __future__ import annotations

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from snnkd.training.journal import Journal


def written(run, stage):
    """{series: [(epoch, value)]} of a stage, as TensorBoard shows it."""
    events = EventAccumulator(str(run / "tensorboard" / stage))
    events.Reload()
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def row(stage, epoch, loss):
    return {"stage": stage, "epoch": epoch, "train.loss": loss, "accuracy": 0.25 * epoch}


def test_each_metric_of_each_stage_is_a_series(tmp_path):
    with Journal(tmp_path) as journal:
        for epoch in (1, 2):
            journal.add(row("teacher", epoch, 8.0 / epoch))
            journal.add(row("student", epoch, 4.0 / epoch))
    assert written(tmp_path, "teacher") == {"train/loss": [(1, 8.0), (2, 4.0)], "accuracy": [(1, 0.25), (2, 0.5)]}
    assert written(tmp_path, "student") == {"train/loss": [(1, 4.0), (2, 2.0)], "accuracy": [(1, 0.25), (2, 0.5)]}


def test_epochs_that_are_written_again_replace_the_earlier_ones(tmp_path):
    with Journal(tmp_path) as journal:
        for epoch in (1, 2, 3):
            journal.add(row("student", epoch, 1.0))
    with Journal(tmp_path) as journal:
        for epoch in (2, 3, 4):
            journal.add(row("student", epoch, 0.5))
    assert written(tmp_path, "student")["train/loss"] == [(1, 1.0), (2, 0.5), (3, 0.5), (4, 0.5)]


def test_what_was_added_is_kept_when_the_training_fails(tmp_path):
    with pytest.raises(RuntimeError, match="out of memory"), Journal(tmp_path) as journal:
        journal.add(row("student", 1, 1.0))
        raise RuntimeError("out of memory")
    assert written(tmp_path, "student")["train/loss"] == [(1, 1.0)]


def test_nothing_is_written_before_the_first_row(tmp_path):
    with Journal(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
