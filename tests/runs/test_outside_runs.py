"""Runs with a teacher from outside: what is refused before there is a run folder, resuming, and what a run needs."""

import json
from pathlib import Path

import pytest
import torch

import snnkd
from snnkd import recipe
from snnkd.base.errors import FormatError, MismatchError
from snnkd.formats import netx
from snnkd.recipe.outside import teacher_table

pytestmark = pytest.mark.lava

TEACHER = """
import torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.out = torch.nn.Linear(64, 10)
    def forward(self, images):
        return self.out(images.flatten(1) * (torch.rand(len(images), 64) < 0.9))
"""
SHORT = ["data.train_limit=100", "chain.student.epochs=2", "chain.student.network=dense-8x8-student"]
STUDENT = '[chain.student]\ndistil = {losses = {kl = 1.0}, scale = "learned"}\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recipe, its teacher, which draws random numbers, and its weights; the current one."""
    (tmp_path / "net.py").write_text(TEACHER)
    torch.manual_seed(1)
    torch.save(torch.nn.Linear(64, 10).state_dict(), tmp_path / "plain.pt")
    state = {f"out.{name}": value for name, value in torch.nn.Linear(64, 10).state_dict().items()}
    torch.save(state, tmp_path / "net.pt")
    text = f'extends = "digits"\n[chain.teacher]\nmodel = "net.py:Net"\nweights = "net.pt"\n{STUDENT}'
    (tmp_path / "mine.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Stopped(Exception):
    """The user's Ctrl-C, between two epochs."""


def train(runs: str, resume: bool = False, stop: bool = False, name: str = "mine.toml", *changes: str):
    def on_epoch(row: dict) -> None:
        if stop:
            raise Stopped

    options = snnkd.TrainingOptions(runs, resume=resume, device="cpu", on_epoch=on_epoch)
    return snnkd.train(recipe.load(name, [*SHORT, *changes]), options)


def test_a_resumed_training_ends_as_one_that_was_not_stopped(folder: Path, same_net, recwarn) -> None:
    whole = train("whole")
    assert whole.networks["teacher"].kind == "model" and whole.networks["teacher"].parameters == 650
    assert whole.networks["teacher"].accuracy.float is not None and whole.networks["teacher"].neurons is None
    with pytest.raises(Stopped):
        train("stopped", stop=True)
    resumed = train("stopped", resume=True)
    assert resumed.run == "stopped/mine-001"
    same_net(netx.load(resumed.net), netx.load(whole.net))
    assert resumed.accuracy == whole.accuracy


def test_resuming_with_another_teacher_says_so(folder: Path) -> None:
    with pytest.raises(Stopped):
        train("runs", stop=True)
    torch.save({name: value + 1 for name, value in torch.load("net.pt").items()}, "net.pt")
    with pytest.warns(
        UserWarning, match=r"mine-001 has chain.teacher.weights_sha256: it was trained with another file"
    ):
        assert train("runs", resume=True).run == "runs/mine-002"
    with pytest.raises(MismatchError, match=r"chain.teacher.weights: .*net.pt: not the file that the recipe means"):
        train("runs", resume=True, name="runs/mine-001/recipe.toml")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("chain.teacher.weights=plain.pt", r"\(net.py:Net\): .*plain.pt: not the weights of .* lacks out.weight"),
        ("chain.teacher.size=16", r"\(net.py:Net\): given images \(256, 1, 16, 16\), it fails: RuntimeError"),
        ("chain.teacher.model=net.py:None_", r"it has no 'None_'; it has Net"),
    ],
)  # fmt: skip
def test_a_teacher_that_does_not_work_leaves_no_run_folder(folder: Path, change: str, expected: str) -> None:
    with pytest.raises(FormatError, match=expected):
        train("runs", False, False, "mine.toml", change)
    assert not (folder / "runs").exists()


def test_losses_that_compare_spikes_with_logits_are_told(folder: Path) -> None:
    with pytest.warns(
        UserWarning, match=r"l2 compare spikes, but the teacher 'teacher' is net.py:Net, which gives logits"
    ):
        train("runs", False, False, "mine.toml", "chain.student.distil={losses = {l2 = 1.0}}", "chain.student.epochs=1")


def test_a_run_needs_nothing_of_its_teacher(folder: Path, call) -> None:
    status, output, errors = call(
        *("train", "mine.toml", "--json", "--set", "data.train_limit=100", "--set", "chain.student.epochs=1"),
        *("--teacher", "net.py:Net", "--weights", "net.pt", "--device", "cpu"),
    )
    assert status == 0, errors
    result = json.loads(output)
    assert result["networks"]["teacher"]["network"] == "net.py:Net"
    assert recipe.load("runs/mine-001/recipe.toml").chain["teacher"].weights == str(folder / "net.pt")
    for name in ("net.py", "net.pt"):
        (folder / name).unlink()
    assert recipe.load("runs/mine-001/recipe.toml").chain["teacher"].sha256
    status, output, errors = call("profile", "--json", "--samples", "3")
    assert status == 0, errors
    status, output, errors = call("train", "runs/mine-001/recipe.toml")
    assert status == 2 and "chain.teacher.model" in errors and "no such file or module" in errors
    assert teacher_table("x.onnx", None)["model"].endswith("/x.onnx")
