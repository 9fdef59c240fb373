"""What commands write: never over an input, under no misleading name, and no quick look over stored results."""

import json
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from snnkd.analysis import evaluation
from snnkd.engines import conformance
from snnkd.formats import netx
from snnkd.ir.network import IntNet


@pytest.fixture
def files(tmp_path, monkeypatch):
    """x.net with its events and labels, and links to them that have the suffixes of other outputs."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(2)
    layers = (conformance.random_dense(random, (12,), 8), conformance.random_dense(random, (8,), 3))
    netx.save(IntNet((12,), layers, steps=10), "x.net")
    np.save("events.npy", random.integers(0, 2, (20, 10, 12), dtype=np.uint8))
    np.save("labels.npy", random.integers(0, 3, 20))
    for name, source in {"link.net": "x.net", "events.npz": "events.npy", "labels.zip": "labels.npy"}.items():
        Path(name).symlink_to(source)
    Path("network.zip").symlink_to("x.net")
    Path("deep").mkdir()
    return tmp_path


GIVEN = ["--input", "events.npy", "--labels", "labels.npy"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["simulate", "x.net", "--input", "events.npy", "--out", "x.net"],
        ["simulate", "x.net", "--input", "events.npy", "--out", "events.npy"],
        ["simulate", "x.net", "--input", "events.npy", "--out", "events.npz"],
        ["simulate", "x.net", "--input", "events.npy", "--out", "deep/../events.npz"],
        ["simulate", "x.net", "--input", "events.npy", "--out", "trace.npy"],
        ["handoff", "x.net", *GIVEN, "--out", "x.net"],
        ["handoff", "x.net", *GIVEN, "--out", "network.zip"],
        ["handoff", "x.net", *GIVEN, "--out", "labels.zip"],
        ["handoff", "x.net", *GIVEN, "--out", "bundle.net"],
        ["quantize", "x.net", *GIVEN, "--bits", "4", "--out", "x.net"],
        ["quantize", "x.net", *GIVEN, "--bits", "4", "--out", "link.net"],
        ["quantize", "link.net", *GIVEN, "--bits", "4", "--out", "x.net"],
        ["quantize", "x.net", *GIVEN, "--bits", "4", "--out", "events.npy"],
    ],
    ids=" ".join,
)
def test_no_input_is_overwritten(files, call, arguments):
    before = {path.name: path.read_bytes() for path in files.iterdir() if path.is_file()}
    status, out, error = call(*arguments)
    assert (status, out) == (2, "") and error.startswith("error: --out ") and error.count("\n") == 1
    assert "choose another" in error
    assert {path.name: path.read_bytes() for path in files.iterdir() if path.is_file()} == before


def test_measured_json_is_not_written_over_the_bundle(files, call):
    assert call("handoff", "x.net", *GIVEN, "--out", "b.zip")[0] == 0
    Path("b.zip").rename("measured.json")
    status, _, error = call("handoff", "--verify", "measured.json")
    assert status == 2 and "is an input of this command" in error
    assert Path("measured.json").read_bytes().startswith(b"PK")


# Readouts


@pytest.fixture
def affine(files):
    """x.net with outputs that cannot fire, written as lava-dl does, and labels that its membrane gives."""
    with h5py.File("x.net", "r+") as file:
        file["layer/2/neuron/vThMant"][...] = 262143
        for name in list(file.attrs):
            del file.attrs[name]
    net = netx.load("x.net")
    np.save("labels.npy", evaluation.simulate(net, np.load("events.npy")).classes(net))


def test_a_network_that_cannot_fire_is_packed_with_its_membrane(affine, call):
    status, out, error = call("handoff", "x.net", *GIVEN, "--out", "b.zip")
    assert (status, error) == (0, "") and "accuracy: 100.00%" in out and "readout: membrane" in out
    status, out, _ = call("inspect", "x.net", "--readout", "count", "--json")
    assert json.loads(out)["readout"]["kind"] == "count"
    assert call("inspect", "x.net", "--readout", "spikes")[0] == 2


def test_answers_of_one_class_are_told_and_packed(affine, call):
    status, out, error = call("handoff", "x.net", *GIVEN, "--out", "b.zip", "--readout", "count")
    assert status == 0 and "readout: count" in out
    assert "layer1 cannot fire" in error and "all 20 answers" in error and "20 of 20 answers" in error
    with zipfile.ZipFile("b.zip") as archive:
        readme = archive.read("README.md").decode()
        assert len(json.loads(archive.read("manifest.json"))["warnings"]) == readme.count("| **warning** |") == 3


@pytest.mark.parametrize("command", ["verify --against fast", "profile", "handoff --out b.zip"])
def test_a_silent_layer_is_told_wherever_something_is_measured(files, call, command):
    with h5py.File("x.net", "r+") as file:
        file["layer/1/neuron/vThMant"][...] = 262143
    name, *options = command.split()
    status, out, error = call(name, "x.net", *options)
    assert status == 0 and error.startswith("warning: layer0, layer1: no neuron fires") and error.count("\n") == 1
    status, out, error = call(name, "x.net", *options, "--json")
    assert (status, error) == (0, "") and len(json.loads(out)["warnings"]) == 1
