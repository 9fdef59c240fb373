"""What the training does to the process that it runs in: nothing on import, and what a training changes it changes
back; and what of it works without lava-dl."""

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

WITHOUT_LAVA = "import sys; sys.modules['lava.lib.dl'] = None\n"
NEEDS_NO_LAVA = (
    "dynamics.compiled",
    "dynamics.plain",
    "feed",
    "kernels.convolution",
    "kernels.sparse",
    "loop.optimizer",
    "loop.pruning",
    "loop.stage",
    "losses",
    "objective",
    "store",
    "teachers.ann",
    "teachers.spiking",
    "tuning",
    "weights",
)


def python(code: str, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `code` in a process of its own, without an OMP_WAIT_POLICY but that in `environment`."""
    without = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=without | environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done


def test_losses_need_no_lava() -> None:
    code = """
import torch, snnkd
sat, labels = torch.tensor([[[1.0], [0.0]], [[1.0], [1.0]]]), torch.tensor([0])
expected = torch.nn.functional.cross_entropy(torch.tensor([[2.0, 1.0]]), labels)
assert torch.equal(snnkd.losses.cross_entropy(sat, labels), expected)
assert float(snnkd.losses.full_l1(sat, 1 - sat, snnkd.losses.SatSettings())) == 4
"""
    python(WITHOUT_LAVA + code)


def test_what_has_no_blocks_needs_no_lava() -> None:
    imports = "".join(f"import snnkd.training.{name}\n" for name in NEEDS_NO_LAVA)
    python(f"{WITHOUT_LAVA}{imports}assert 'snnkd.training.slayer' not in sys.modules")


def test_a_missing_lava_is_told_where_it_is_needed(tmp_path: Path) -> None:
    code = """
import snnkd, snnkd.training
from snnkd.base.errors import LimitError
for use in (lambda: snnkd.Neuron, lambda: snnkd.to_intnet, lambda: snnkd.train("digits"), lambda: snnkd.Neuron):
    try:
        use()
    except LimitError as error:
        assert str(error).startswith("training needs lava-dl 0.6.0, which runs on Python 3.10 only ("), error
    else:
        raise AssertionError("no LimitError")
"""
    python(WITHOUT_LAVA + code, tmp_path)
    assert not list(tmp_path.iterdir()), "before there is a run folder"


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


@pytest.mark.parametrize("way", LOADS)
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
