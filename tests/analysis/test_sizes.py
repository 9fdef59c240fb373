"""What is made of a network and its input is compared with the memory before it is made."""

from pathlib import Path

import numpy as np
import pytest

from snnkd.analysis import evaluation, verification
from snnkd.base import memory
from snnkd.base.errors import LimitError
from snnkd.data import inputs
from snnkd.data.encoding import Encoding


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 10_000)


def test_a_trace(build, small) -> None:
    net = build.net(3)
    events = build.events(np.random.default_rng(0), net, 2, 3)
    per_step = 2 * net.neurons
    evaluation.simulate(net, events, "reference")
    steps = 10_000 // per_step + 1
    long = np.broadcast_to(events[:, :1], (2, steps, *events.shape[2:]))
    with pytest.raises(LimitError, match=rf"the trace of 2 samples of {steps} steps and {net.neurons} neurons: needs"):
        evaluation.simulate(net, long, "reference")
    with pytest.raises(LimitError, match="or leave out the states"):
        evaluation.simulate(net, long[:, : steps // 2], "reference", states=True)


def test_random_events(build, small) -> None:
    net = build.net(3)
    with pytest.raises(LimitError, match=r"random events, 10,000 samples of 9 steps .* ask for fewer samples"):
        verification.synthetic_input(net, 9, 10_000)
    assert len(verification.synthetic_input(net, 1, 2)) == 2


def test_events_of_images(tmp_path: Path, small) -> None:
    np.save(tmp_path / "images.npy", np.zeros((3, 1, 4, 4), np.uint8))
    paths = [tmp_path / "images.npy"]
    assert inputs.encode(Encoding("rate", 8), (1, 4, 4), paths).shape == (3, 8, 1, 4, 4)
    with pytest.raises(LimitError, match="the events of 3 inputs, 4,096 steps of 16 values each: needs 192 KiB"):
        inputs.encode(Encoding("rate", 4096), (1, 4, 4), paths)
