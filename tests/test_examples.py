"""Every example runs, is listed in its README, and fits a screen."""

import json
import re
import runpy
import shlex
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import snnkd
from snnkd.ir.network import Cuba, Dense, IntNet

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def example(tmp_path, monkeypatch, capsys):
    """Runs an example in an empty folder: its file and arguments -> what it prints."""
    monkeypatch.chdir(tmp_path)

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture
def net():
    """A network of two layers that fires on the examples' random events."""
    random, neuron = np.random.default_rng(3), Cuba(*map(np.int32, (2048, 512, 32)))
    layers = (Dense(random.integers(-30, 60, shape, np.int32) * 2, neuron) for shape in ((8, 12), (4, 8)))
    return IntNet((12,), tuple(layers), 16)


def test_each_example_is_listed_and_short():
    listed = set(re.findall(r"\]\(([\w.]+)\)", (EXAMPLES / "README.md").read_text()))
    assert listed == {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".toml")}
    assert all(len((EXAMPLES / name).read_text().splitlines()) <= 60 for name in listed)


@pytest.mark.lava
def test_the_chain_in_python_then_the_commands_of_the_readme(example, tmp_path, call):
    shown = example("python_api.py")
    assert ": 0 differences in" in shown and "bundle.zip: " in shown
    assert zipfile.is_zipfile(tmp_path / "bundle.zip")
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    (block,) = re.findall(r"^```sh\n(.*?)^```", (EXAMPLES / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    commands = [shlex.split(line)[1:] for line in block.splitlines() if line.startswith("snnkd")]
    assert [words[0] for words in commands] == ["check", "profile"]
    for words in commands:
        status, output, errors = call(*words)
        assert status == 0, output + errors
        assert "my-chip" in output


@pytest.mark.lava
def test_own_images(example, tmp_path):
    shown = example("own_images.py")
    assert "my-images: 1293 + 360 images of shape [1, 8, 8], 10 classes" in shown
    assert float(re.search(r"student: .* ([\d.]+)% of", shown)[1]) > 50  # by chance: 10


@pytest.mark.lava
def test_own_images_of_another_size_and_number_of_classes(example, tmp_path):
    for part in ("train", "test"):
        for label, level in (("dark", 40), ("bright", 210)):
            (tmp_path / "mine" / part / label).mkdir(parents=True)
            for number in range(20):
                image = np.random.default_rng(number).integers(level - 30, level + 30, (6, 9, 3), np.uint8)
                Image.fromarray(image).save(tmp_path / "mine" / part / label / f"{number}.png")
    assert "36 + 40 images of shape [3, 6, 9], 2 classes" in example("own_images.py", tmp_path / "mine")


def test_an_old_net_file(example, net, tmp_path):
    snnkd.save(net, tmp_path / "old.net")
    shown = example("old_net_file.py", "old.net", "fast")
    assert re.search(r"fast: [1-9]\d* spikes, 0 differences", shown)
    assert "loihi1: refused" in shown or "loihi1: likely" in shown


def test_recordings_of_an_event_camera(example, tmp_path):
    """An output for each polarity and half of the image, so that the answer says where the events were put."""
    weight = np.zeros((4, 2, 4, 6), np.int32)
    for output in range(4):
        weight[output, output // 2, :, 3 * (output % 2) : 3 * (output % 2) + 3] = 64
    neuron = Cuba(*map(np.int32, (4096, 4096, 32)))
    snnkd.save(IntNet((2, 4, 6), (Dense(weight.reshape(4, -1), neuron),), 20), tmp_path / "camera.net")
    for name, x, polarity in (("off-left", 1, 0), ("on-right", 5, 1)):
        times = [500, 7_200, 19_999, 70_000]  # microseconds; the last one is cut off
        rows = [[x, y, polarity << 7 | time >> 16, time >> 8 & 255, time & 255] for y, time in enumerate(times)]
        np.array(rows, np.uint8).tofile(tmp_path / f"{name}.bin")
    shown = example("events.py", "camera.net", "off-left.bin", "on-right.bin").splitlines()
    assert shown == [
        "off-left.bin: class 0, 3 events, spikes by layer [3]",
        "on-right.bin: class 3, 3 events, spikes by layer [3]",
    ]


@pytest.fixture
def from_loihi(example, tmp_path, public_data):
    """nmnist.net, 2312-512-10 of SLAYER for PyTorch, and the 100 test recordings, none of which the chip got wrong."""
    for name in ("loihi1-nmnist-512.npz", "n-mnist-small.zip"):
        if not (public_data / name).is_file():
            pytest.skip(f"no {name} in {public_data}")
    example("loihi1_network.py", public_data / "loihi1-nmnist-512.npz", "nmnist.net")
    with zipfile.ZipFile(public_data / "n-mnist-small.zip") as archive:
        archive.extractall(tmp_path, [name for name in archive.namelist() if "/Test/" in name])
    return sorted((tmp_path / "n-mnist" / "Test").rglob("*.bin"))


def test_recordings_of_n_mnist_in_a_network_that_ran_on_loihi(example, from_loihi):
    lines = example("events.py", "nmnist.net", *from_loihi).splitlines()
    answers = [int(re.search(r"class (\d)", line)[1]) for line in lines]
    assert len(answers) == 100 and answers == [int(path.parent.name) for path in from_loihi]


def test_what_a_loihi_chip_recorded_is_the_network(example, call, public_data):
    if not (public_data / "loihi1-silicon.npz").is_file():
        pytest.skip(f"no loihi1-silicon.npz in {public_data}")
    shown = example("loihi1_recording.py", public_data / "loihi1-silicon.npz", "silicon.net", "trace.npz")
    assert "639 hidden spikes, 2 of the output, in 499 steps" in shown
    status, output, _ = call("verify", "silicon.net", "--against", "trace.npz", "--json")
    found = json.loads(output)
    assert status == 0 and found["equal"] and (found["compared"]["spikes"], found["compared"]["states"]) == (641, 1496)
    assert {row["array"]: (row["lag"], row["agree"] - row["values"]) for row in found["arrays"]} == {
        "layer0": (1, 0),
        "layer0_v": (0, 0),
        "layer1": (2, 0),
        "layer1_v": (1, 0),
    }


def test_every_command_takes_the_network_that_ran_on_loihi(from_loihi, call, public_data):
    def json_of(*words):
        status, output, errors = call(*words, "--json")
        assert status == 0, errors
        return json.loads(output)

    events = json_of("encode", "nmnist.net", *from_loihi, "--out", "events.npy")
    assert events["shape"] == [100, 300, 2, 34, 34] and min(events["events"]) > 100
    np.save("labels.npy", np.array([int(path.parent.name) for path in from_loihi]))
    json_of("simulate", "nmnist.net", "--input", "events.npy", "--out", "trace.npz")
    with np.load("trace.npz") as trace:
        assert (trace["layer1"].sum(axis=1).argmax(axis=1) == np.load("labels.npy")).sum() == 100
    (row,) = json_of("evaluate", "nmnist.net", "--data", "nmnist", "--data-root", public_data)["rows"]
    assert (row["correct"], row["total"]) == (100, 100)
    assert json_of("check", "nmnist.net", "--target", "loihi1")["violations"] == []
    profile = json_of("profile", "nmnist.net", "--input", "events.npy", "--energy")
    assert "loihi1" in profile["energy"] and profile["samples"] == 100
    bundle = json_of(
        "handoff", "nmnist.net", "--target", "c99", "--out", "b.zip", "--input", "events.npy", "--labels", "labels.npy"
    )
    assert bundle["accuracy"]["integer"] == 1.0
