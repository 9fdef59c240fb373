"""`snnkd handoff` on the command line."""

import json
import zipfile

import numpy as np
import pytest

from snnkd.bundle import archive
from snnkd.formats import netx
from snnkd.ir.network import Input, IntNet


@pytest.fixture
def files(digits_net, evidence, tmp_path):
    netx.save(digits_net[0], tmp_path / "digits.net")
    np.save(tmp_path / "events.npy", evidence.events())
    np.save(tmp_path / "labels.npy", evidence.labels)
    return tmp_path


def test_a_file_with_events_and_labels(files, evidence, call):
    arguments = ["handoff", files / "digits.net", "--target", "cortex-m0plus", "--out", files / "b.zip"]
    arguments += ["--input", files / "events.npy", "--labels", files / "labels.npy", "--json"]
    status, out, _ = call(*arguments)
    assert status == 0
    found = json.loads(out)
    assert {"file", "sha256", "samples", "bytes", "accuracy", "violations"} <= found.keys()
    assert found["samples"] == 16
    assert found["accuracy"]["samples"] == len(evidence.labels)
    assert json.loads(archive.read(files / "b.zip")["manifest.json"])["memory"] == found["bytes"]


def test_where_the_files_lie_changes_no_byte(files, call, monkeypatch):
    monkeypatch.chdir(files)
    for out, folder in (("a.zip", ""), ("b.zip", f"{files}/")):
        given = ["--input", f"{folder}events.npy", "--labels", f"{folder}labels.npy"]
        assert call("handoff", f"{folder}digits.net", "--out", out, *given)[0] == 0
    assert (files / "a.zip").read_bytes() == (files / "b.zip").read_bytes()
    assert str(files) not in archive.read(files / "a.zip")["README.md"].decode()


def test_an_image_network_says_everywhere_that_it_reads_an_image(tmp_path, build, call):
    neuron = build.neuron(np.random.default_rng(0), (6,))
    net = IntNet((6,), (Input((6,), neuron), build.dense(np.random.default_rng(0), (6,), 3)), steps=5)
    netx.save(net, tmp_path / "image.net")
    assert call("handoff", tmp_path / "image.net", "--out", tmp_path / "b.zip")[0] == 0
    packed = archive.read(tmp_path / "b.zip")
    readme = packed["README.md"].decode()
    assert "It reads an image of 6 values, integers of 16 bits and the same at every one of 5 time steps" in readme
    assert "snnkd_step(&state, image);" in readme and "0 or 1" not in readme
    assert "int32_t snnkd_input; /* 6, images, the bias of the first layer */" in packed["c/model.h"].decode()


def test_random_events_are_said_to_be_random(files, call):
    status, out, _ = call("handoff", files / "digits.net", "--out", files / "b.zip")
    assert status == 0
    assert "not real data" in out
    assert "accuracy" not in out
    assert "not measured: no labels" in archive.read(files / "b.zip")["README.md"].decode()


def test_verify_exits_1_and_names_what_differs(files, bundle, call):
    whole = archive.read(bundle)
    with zipfile.ZipFile(files / "changed.zip", "w") as file:
        for name, data in whole.items():
            file.writestr(name, data.replace(b"1", b"2", 1) if name == "c/model.c" else data)
    status, out, _ = call("handoff", "--verify", files / "changed.zip")
    assert status == 1
    assert "c/model.c: not the file that SHA256SUMS lists" in out
    assert "DIFFERENT: hashes" in out
    status, out, _ = call("handoff", "--verify", files / "changed.zip", "--json")
    assert status == 1
    assert json.loads(out)["equal"] is False


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--labels", "labels.npy"], "--labels: are the classes of --input"),
        (["--input", "events.npy", "--labels", "digits.net"], "digits.net: is an HDF5 file"),
        (["--input", "events.npy", "--labels", "few.npy"], "few.npy: expected (40,) integers"),
        (["--input", "few_events.npy"], "at least 16"),
        (["--target", "loihi2"], "targets that run C"),
        (["--verify", "events.npy"], "events.npy: not a bundle"),
        (["--verify", "."], ".: is a folder; name the zip"),
        (["--verify", "digits.net"], "digits.net: not a bundle: is an HDF5 file"),
        (["--verify", "nothing.zip"], "nothing.zip: no such file"),
    ],
)
def test_unusable_input_is_one_error_and_no_file(files, call, monkeypatch, arguments, expected):
    np.save(files / "few.npy", np.arange(3))
    np.save(files / "few_events.npy", np.load(files / "events.npy")[:3])
    monkeypatch.chdir(files)
    status, _, error = call("handoff", "digits.net", "--out", "b.zip", *arguments)
    assert status == 2
    assert expected in error
    assert not (files / "b.zip").exists()
    assert not (files / "measured.json").exists()
