"""examples/teachers/: how each framework meets the protocol, and the commands of its README from end to end."""

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from snnkd.data import datasets
from snnkd.data.encoding import Encoding
from snnkd.recipe.tables import Stage
from snnkd.training.feed import Feed
from snnkd.training.teachers.outside import OutsideTeacher, opened

FOLDER = Path(__file__).parents[2] / "examples" / "teachers"
STEPS, IMAGES = 8, 12
# By file: what it needs, its fields, and a layer with its shape for two images.
SPIKING = {
    "norse_lif.py:build": ("norse", {"by_step": True}, "1", (STEPS, 2, 128)),
    "snntorch_leaky.py:Teacher": ("snntorch", {"reads": "events"}, "net.1", (STEPS, 2, 64)),
    "spikingjelly_lif.py:Teacher": ("spikingjelly", {"reads": "events"}, "net.2", (STEPS, 2, 64)),
    "slayer_cuba.py:Teacher": ("lava.lib.dl", {"reads": "events"}, "blocks.0", (2, 64, STEPS)),
}


def needs(package: str) -> None:
    """Skips a test, by name, where a framework is not installed."""
    try:
        found = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        found = None
    if found is None:
        pytest.skip(f"{package} is not installed")


@pytest.mark.parametrize("name", SPIKING)
def test_a_framework_meets_the_protocol(name: str) -> None:
    package, fields, layer, shape = SPIKING[name]
    needs(package)
    data = datasets.load("digits")
    feed = Feed(data.train.take(np.arange(IMAGES)), Encoding("rate", STEPS), torch.device("cpu"))
    outside = opened("teacher", Stage(model=f"{FOLDER}/{name}", **fields), data)
    with torch.no_grad():
        for parameter in outside.model.module.parameters():
            parameter.mul_(4)  # of an untrained network: so that it fires at all
    answers = outside.answers(feed)
    assert answers.shape == (STEPS, IMAGES, 10)
    assert set(answers.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(outside.answers(feed), answers), "no state is left from the call before"
    teacher = OutsideTeacher(outside, feed)
    sat = teacher.sat(np.array([3, 8]), 0)
    assert torch.equal(sat, answers[:, [3, 8]].transpose(1, 2))
    assert teacher.features(np.array([3, 8]), 0, [layer])[layer].shape == shape


def test_an_onnx_model_and_its_values(tmp_path: Path) -> None:
    needs("onnxruntime")
    subprocess.run([sys.executable, "-W", "ignore", str(FOLDER / "mlp.py")], cwd=tmp_path, check=True, timeout=120)
    data = datasets.load("digits")
    feed = Feed(data.test, Encoding("rate", STEPS), torch.device("cpu"))
    outside = opened("teacher", Stage(model=str(tmp_path / "mlp.onnx")), data)
    assert outside.accuracy(feed) > 0.9
    assert outside.parameters == 64 * 128 + 128 + 1280 + 10
    features = OutsideTeacher(outside, feed).features(np.arange(5), 0, ["hidden", "sums"])
    assert features["hidden"].shape == (5, 128)
    assert torch.equal(features["hidden"], features["sums"].relu())


def sections() -> list[str]:
    return re.findall(r"```sh\n(.*?)```", (FOLDER / "README.md").read_text(), re.DOTALL)


def test_all_sections_are_seen() -> None:
    assert len(sections()) == 3 and all(block.count("snnkd ") == 3 for block in sections())


@pytest.mark.lava
@pytest.mark.compiler
@pytest.mark.parametrize("number", range(3), ids=["cnn", "onnx", "norse"])
def test_the_commands_of_the_readme(number: int, tmp_path: Path, call, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are, but for the epochs, in a copy of the folder."""
    needs(["torch", "onnxruntime", "norse"][number])
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    script, *commands = sections()[number].splitlines()
    _, file = shlex.split(script)
    epochs = [] if file == "mlp.py" else ["3"]
    subprocess.run([sys.executable, "-W", "ignore", file, *epochs], check=True, timeout=200)
    for command in commands:
        words = shlex.split(command)[1:]
        short = ["--set", "chain.student.epochs=1", "--set", "data.train_limit=400"] if words[0] == "train" else []
        status, output, errors = call(*words, *short)
        assert status == 0, f"{command}: {errors}{output}"
    assert (tmp_path / words[-1]).is_file()
    recipe_of_run = (tmp_path / "runs" / ("norse-001" if number == 2 else "digits-001") / "recipe.toml").read_text()
    assert "sha256 = " in recipe_of_run
    (tmp_path / file).write_text("raise SystemExit('the code of the teacher was run')")
    for command in (("check", "--target", "cortex-m4"), ("profile", "--samples", "4"), ("verify", "--against", "fast")):
        status, output, errors = call(*command)
        assert status == 0, f"{command}: {errors}{output}"
