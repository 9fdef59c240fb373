"""A search that is small enough for a test: 8x8 bars in three classes, dense students of at most 16 neurons."""

from __future__ import annotations

import contextlib
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

RECIPE = """
[data]
set = "{data}"
validation = 0.4

[encoding]
steps = 2

[readout]
kind = "membrane"

[networks.wide]
input = [1, 6, 6]
layers = [{{kind = "dense", neurons = 16}}, {{kind = "dense", neurons = 3}}]

[chain.teacher]
network = "wide"
neuron = "relu"
epochs = 2

[chain.student]
network = "wide"
epochs = 40
batch = 16
distil = {{losses = {{kl = 1.0}}}}
"""
SPACE = """
recipe = "bars.toml"
seed = 5
objectives = ["accuracy", "flash"]

[constraints]
fits = "cortex-m4"
max_flash = 1000

[halving]
epochs = [1]
generation = 4

[set]
"neuron.voltage_decay" = {low = 0.01, high = 0.5, log = true}
"chain.student.distil.losses" = [{kl = 1.0}, {l2 = 0.5}]

[[network]]
kind = "dense"
repeat = [0, 1]
neurons = {low = 4, high = 24, step = 4}

[[network]]
kind = "dense"
neurons = 3

[economy]
"chain.student.epochs" = 2
"""


class _Inline:
    """A pool that calls at once, in this process. calls: what it was asked for, by name; most: so many calls, and the
    next one is an interrupt, as Ctrl-C makes it."""

    slots = 1

    def __init__(self, most: int | None = None):
        self.calls: list[str] = []
        self.most = most

    def submit(self, function, *arguments):
        if len(self.calls) == self.most:
            raise KeyboardInterrupt
        self.calls.append(function.__name__)
        future = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture(scope="session")
def Inline() -> type[_Inline]:
    """A pool that trains in this process."""
    return _Inline


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch):
    """Has `snnkd search` train in this process."""
    from snnkd.runs import pool

    monkeypatch.setattr(pool, "open_pool", lambda jobs=None, ray=None: contextlib.nullcontext(_Inline()))


def bars(path: Path, test_seed: int) -> None:
    """Writes a data set whose training images are always the same."""
    arrays = {}
    for name, seed, count in (("", 0, 90), ("_test", test_seed, 12)):
        random, labels = np.random.default_rng(seed), np.arange(count) % 3
        images = random.integers(0, 80, (count, 1, 6, 6), dtype=np.uint8)
        images[np.arange(count), 0, labels * 2] += 120
        arrays |= {f"x{name}": images, f"y{name}": labels}
    np.savez(path, **arrays)


@pytest.fixture(scope="session")
def make_space(tmp_path_factory: pytest.TempPathFactory):
    """Makes a space, its recipe and its data in a new folder, and returns the space: (seed of the test images, pairs of
    what is replaced in the space's text and by what)."""

    def make(*changes: tuple[str, str], test_seed: int = 1) -> Path:
        folder = tmp_path_factory.mktemp("space")
        bars(folder / "bars.npz", test_seed)
        (folder / "bars.toml").write_text(RECIPE.format(data=folder / "bars.npz"))
        text = SPACE
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        (folder / "space.toml").write_text(text)
        return folder / "space.toml"

    return make
