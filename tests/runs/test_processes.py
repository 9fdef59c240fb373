"""One training in several processes: the same bits for any number of them, and one message when one of them ends."""

from __future__ import annotations

import io
import json
import multiprocessing
from pathlib import Path

import pytest
from safetensors import safe_open

import snnkd
from snnkd import recipe as recipes
from snnkd.base.errors import LimitError, SnnkdError
from snnkd.runs import processes

pytestmark = pytest.mark.training

RECIPE = """
[data]
set = "digits"
[encoding]
kind = "rate"
steps = 4
[chain.teacher]
network = "conv-8x8-teacher"
neuron = "relu"
epochs = 1
[chain.student]
network = "wide.toml"
epochs = 2
batch = 256
distil = {losses = {kl = 1.0}}
rate = {weight = 1.0, max_rate = 0.05}
"""
WIDE = """
input = [1, 8, 8]
[[layers]]
kind = "dense"
neurons = 512
[[layers]]
kind = "dense"
neurons = 10
"""  # products enough for the four parts of a batch


@pytest.fixture
def recipe(no_data):
    Path("wide.toml").write_text(WIDE)
    Path("tiny.toml").write_text(RECIPE)
    return recipes.load("tiny.toml")


class Forked:
    """A process as `processes` starts them, but forked from one that has loaded all that is slow to load."""

    stdin = io.BytesIO()

    def __init__(self, order):
        self._process = SERVER.Process(target=processes.member, args=(order,))
        self._process.start()

    def poll(self):
        return self._process.exitcode

    returncode = property(poll)

    def wait(self):
        self._process.join()

    def kill(self):
        self._process.kill()


SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["snnkd.training.chain", "snnkd.runs.processes", "sklearn.datasets"])


def trained(recipe, folder, devices, resume=False, on_epoch=lambda row: None):
    how = {"resume": resume, "device": "cpu", "devices": devices, "on_epoch": on_epoch}
    return snnkd.train(recipe, snnkd.TrainingOptions(folder, **how))


def checkpoint(folder, stage):
    """All that is in a checkpoint but the seconds: (its progress, the bytes of its tensors)."""
    with safe_open(Path(folder, "tiny-001", "checkpoints", f"{stage}.safetensors"), "np") as file:
        progress = json.loads(file.metadata()["progress"])
        for row in progress["history"]:
            del row["seconds"]
        return progress, {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118


@pytest.mark.slow
def test_every_bit_is_the_same_in_any_number_of_processes(recipe, monkeypatch):
    """1; and 4, of which one is killed after an epoch, then 2 that go on."""
    started, start = [], processes._started

    def kept(start):
        return lambda order: started.append(start(order)) or started[-1]

    def kill(row):
        if row["stage"] == "student":
            started[1].kill()

    expected = trained(recipe, "one", 1)
    monkeypatch.setattr(processes, "_started", kept(Forked))
    with pytest.raises(SnnkdError, match=r"^process 3 of 4 was ended by signal 9"):
        trained(recipe, "more", 4, on_epoch=kill)
    assert len(started) == 3 and all(process.poll() is not None for process in started)
    assert checkpoint("more", "student")[0]["epoch"] == 1
    monkeypatch.setattr(processes, "_started", kept(start))
    found = trained(recipe, "more", 2, resume=True)
    assert [process.poll() for process in started[3:]] == [0]

    for stage in recipe.chain:
        assert checkpoint("more", stage) == checkpoint("one", stage)
    assert found.to_json() | {"run": "", "net": ""} == expected.to_json() | {"run": "", "net": ""}
    left = [sorted(path.name for path in Path(folder, "tiny-001").glob("[!t]*")) for folder in ("one", "more")]
    assert left[0] == left[1]


def test_where_a_process_stands():
    assert processes.place(1, 1, {}).size == 1
    first = processes.place(2, 1, {})
    assert (first.rank, first.size, first.local, first.starts) == (0, 2, 2, 1)
    node = {"MASTER_ADDR": "here", "MASTER_PORT": "29500", "NODE_RANK": "3"}
    fourth = processes.place(8, 64, node)
    assert (fourth.rank, fourth.size, fourth.local_rank, fourth.starts) == (24, 512, 0, 7)
    torchrun = {"TORCHELASTIC_RUN_ID": "x", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
    put = processes.place(1, 1, torchrun)
    assert (put.rank, put.size, put.local_rank, put.local, put.starts) == (5, 8, 1, 4, 0)
    with pytest.raises(LimitError, match="leave them out"):
        processes.place(2, 1, torchrun)
    for wrong in ({}, node | {"NODE_RANK": "64"}, node | {"MASTER_PORT": ""}):
        with pytest.raises(LimitError, match="--nodes 64: set MASTER_ADDR"):
            processes.place(8, 64, wrong)
