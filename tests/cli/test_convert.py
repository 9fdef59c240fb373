"""`snnkd convert`, and commands that take a `.nir` where they take a `.net`."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from snnkd import formats
from snnkd.cli.output import console
from snnkd.engines import conformance

sys.path.insert(0, str(Path(__file__).parents[2] / "toolchain/benchmarks"))

from nir_graphs import affine, between, lif, write


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """x.net of snnkd, and real.nir of another tool."""
    monkeypatch.chdir(tmp_path)
    formats.save(conformance.networks()["single"][0], "x.net")
    write(between((5,), affine(), lif()), tmp_path / "real.nir")
    return tmp_path


def test_there_and_back(folder, call):
    assert call("convert", "x.net", "x.nir")[0] == 0
    status, output, _ = call("convert", "x.nir", "y.net", "--json")
    assert status == 0 and json.loads(output)["why"].startswith("the integers that snnkd has written")
    assert (folder / "y.net").read_bytes() == (folder / "x.net").read_bytes()


@pytest.mark.parametrize("columns", ["60", "120"])
def test_what_each_rule_did(folder, call, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    console.cache_clear()
    status, output, errors = call("convert", "real.nir", "out.net")
    assert status == 0, errors
    console.cache_clear()
    assert all(len(line) <= int(columns) for line in output.splitlines())
    data = json.loads(call("convert", "real.nir", "out.net", "--json")[1])
    assert data["dt"] == 1e-4 and data["layers"][0]["nodes"] == ["Linear fc", "LIF lif"]
    assert data["effect"]["layers"][0]["float64"] > 0


def test_on_events_with_labels(folder, call):
    np.save("events.npy", np.random.default_rng(0).integers(0, 2, (8, 20, 5)).astype(np.uint8))
    np.save("labels.npy", np.zeros(8, np.int64))
    arguments = ("convert", "real.nir", "out.net", "--input", "events.npy", "--labels", "labels.npy", "--steps", "20")
    assert set(json.loads(call(*arguments, "--json")[1])["effect"]["accuracy"]) == {"float64", "integers"}
    assert formats.load("out.net").steps == 20
    assert "accuracy" in call(*arguments)[1]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("x.net", "x.net"), "is an input of this command"),
        (("x.net", "y.txt"), "expected a name that ends with .net or .nir or .onnx"),
        (("x.net", "y.nir", "--dt", "1e-3"), "--dt: is for a .nir file"),
        (("x.net", "y.onnx"), "give --steps"),
        (("real.nir", "y.net", "--labels", "x.npy"), "--labels: are the classes of --input"),
        (("real.nir", "y.net", "--dt", "1"), "shorter than the time step"),
        (("none.nir", "y.net"), "none.nir: no such file"),
        (("x.net", "y.net", "--steps", "999999999999"), "steps: expected 1 to 1048576"),
        (("real.nir", "y.net", "--input", "records.npy"), "records.npy: expected integers of shape"),
    ],
)
def test_refused(folder, call, arguments, part):
    np.save("records.npy", np.zeros(3, [("t", "i8"), ("x", "i2")]))
    status, _, errors = call("convert", *arguments)
    assert status == 2 and part in " ".join(errors.split())
    assert not (folder / "y.net").exists() and not (folder / "y.nir").exists()


def test_onnx(folder, call):
    pytest.importorskip("onnx")
    assert call("convert", "x.net", "x.onnx", "--steps", "7")[0] == 0
    assert (folder / "x.onnx").stat().st_size > 500


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect", "x.nir"),
        ("check", "x.nir", "--target", "loihi2"),
        ("verify", "x.nir", "--against", "fast"),
        ("profile", "x.nir"),
        ("quantize", "x.nir", "--bits", "4", "--out", "small.net"),
        ("simulate", "x.nir", "--input", "events.npy", "--out", "trace.npz"),
    ],
)
def test_commands_take_a_nir(folder, call, arguments):
    formats.save(formats.load("x.net"), "x.nir")
    np.save("events.npy", np.random.default_rng(0).integers(0, 2, (2, 9, 12)).astype(np.uint8))
    status, _, errors = call(*arguments)
    assert status == 0, errors
