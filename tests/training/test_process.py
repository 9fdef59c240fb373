"""What the training does to the process that it runs in: nothing on import, and what a training changes it changes
back."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from snnkd.data.datasets import Split
from snnkd.data.encoding import Encoding
from snnkd.recipe.architecture import Architecture, Dense
from snnkd.recipe.tables import Optimizer, Stage
from snnkd.training import tuning
from snnkd.training.feed import Feed
from snnkd.training.loop.ann import AnnTraining
from snnkd.training.teachers.ann import Ann


def python(code: str, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `code` in a process of its own, without an OMP_WAIT_POLICY but that in `environment`."""
    without = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=without | environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done


def test_an_import_changes_nothing() -> None:
    """No environment variable, level of a logger, allocator, or number of threads."""
    code = """
import ctypes, logging, os, sys

asked = []
class Watched(ctypes.CDLL):
    def __getattr__(self, name):
        asked.append(name)
        return super().__getattr__(name)
ctypes.CDLL = Watched

before = dict(os.environ)
import snnkd, snnkd.training
assert not {"torch", "lava", "numba"} & sys.modules.keys()
import torch
threads, level = torch.get_num_threads(), logging.getLogger().level
snnkd.losses
import snnkd.training.tuning, snnkd.training.loop.stage, snnkd.training.teachers.ann, snnkd.training.kernels.sparse
assert dict(os.environ) == before
import snnkd.training.slayer
assert os.environ.get("OMP_WAIT_POLICY") is None
assert "mallopt" not in asked
assert (torch.get_num_threads(), logging.getLogger().level) == (threads, level)
assert logging.getLogger("torch.utils.cpp_extension").level == logging.NOTSET
ctypes.CDLL(None).mallopt
assert "mallopt" in asked, "it would have been seen"
"""
    python(code)


LOADS = {
    "alone": "from snnkd.training import tuning\ntuning.load_torch()",
    "by train": "import snnkd\nfrom snnkd.base.errors import LimitError\n"
    "try: snnkd.train('digits', snnkd.TrainingOptions(device='no such'))\nexcept LimitError: pass",
}
SAME = "\nassert dict(os.environ) == before and 'torch' in sys.modules"


def _spins(done: subprocess.CompletedProcess[str]) -> set[int]:
    """How often each OpenMP runtime of a process looks before a thread sleeps."""
    lines = [line for line in done.stderr.splitlines() if "GOMP_SPINCOUNT" in line]
    return {int(line.split("'")[1]) for line in lines}


@pytest.mark.parametrize("way", ["alone", pytest.param("by train", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("chosen", "passive"), [(None, True), ("ACTIVE", False)])
def test_threads_of_a_training_wait_passively(way: str, chosen: str | None, passive: bool, tmp_path: Path) -> None:
    """Unless the environment says otherwise; which is as before afterwards."""
    given = {} if chosen is None else {"OMP_WAIT_POLICY": chosen}
    code = f"import os, sys\nbefore = dict(os.environ)\n{LOADS[way]}"
    code += SAME if way == "alone" else f"\nassert os.environ.get('OMP_WAIT_POLICY') == {chosen!r}"
    spins = _spins(python(code, tmp_path, OMP_DISPLAY_ENV="VERBOSE", **given))
    if not spins:
        pytest.skip("torch's OpenMP runtime is not libgomp")
    assert (0 in spins) is passive


def test_torch_that_is_loaded_stays_as_it_is() -> None:
    code = f"import os, sys, torch\nbefore = dict(os.environ)\n{LOADS['alone']}{SAME}"
    assert 0 not in _spins(python(code, OMP_DISPLAY_ENV="VERBOSE"))


def _resident() -> float:
    """MB."""
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) / 1024


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="no glibc")
def test_freed_memory_is_kept_in_a_training_and_given_back_behind() -> None:
    begin = _resident()
    with tuning.kept_memory():
        block = np.ones(20 << 20)  # 160 MB
        del block
        assert _resident() > begin + 120
    assert _resident() < begin + 60
    block = np.ones(20 << 20)
    assert _resident() > begin + 120
    del block
    assert _resident() < begin + 60, "a large block comes from the system again, and goes back to it"


class Stopped(Exception):
    pass


@pytest.mark.parametrize("stops", [False, True])
def test_every_training_keeps_memory_meanwhile(stops: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no longer, an error included."""
    events: list[object] = []

    class Library:
        def __init__(self, _: None):
            self.mallopt = lambda which, value: events.append(which)
            self.malloc_trim = lambda _: events.append("trimmed")

    monkeypatch.setattr(tuning.ctypes, "CDLL", Library)
    images, labels = np.zeros((6, 1, 4, 4), np.uint8), np.arange(6) % 3
    feed = Feed(Split(images, labels), Encoding("direct", 2), torch.device("cpu"))
    plan = Architecture(name="tiny", input=(1, 4, 4), layers=(Dense(neurons=3),))
    stage = Stage(network="tiny", neuron="relu", epochs=1, optimizer=Optimizer())
    training = AnnTraining("teacher", stage, Ann(plan), feed, feed, 0, "key", tmp_path / "teacher.safetensors")

    def on_epoch(_: dict) -> None:
        events.append("epoch")
        if stops:
            raise Stopped

    training.on_epoch = on_epoch
    if stops:
        with pytest.raises(Stopped):
            training.run()
    else:
        training.run()
    assert events == [-3, -1, "epoch", -3, -1, "trimmed"]
