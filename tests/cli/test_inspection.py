"""`verify` and `inspect` on the terminal and as JSON: a first difference with its sums and cause, headroom, and files
that do not tell the shape of their input."""

import json
import sys
import types
from dataclasses import replace

import h5py
import numpy as np
import pytest

from snnkd import engines
from snnkd.engines.reference import definition
from snnkd.formats import netx
from snnkd.ir.network import IntNet


@pytest.fixture
def folder(build, tmp_path, monkeypatch):
    """With x.net, graded, and its events.npy, on which u wraps."""
    random = np.random.default_rng(0)
    conv = build.conv(random, (2, 4, 5), 3, largest=250, decays=(0, 60), thresholds=(131000, 131072))
    net = IntNet((2, 4, 5), (conv, build.dense(random, conv.shape, 4, thresholds=(20, 20))), message_bits=10, steps=12)
    netx.save(net, tmp_path / "x.net")
    np.save(tmp_path / "events.npy", build.events(random, net, 3, 12, activity=0.6))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def wrong(monkeypatch):
    """An engine `wrong` with one weight of the first layer changed by a bit."""
    module = types.ModuleType("an_engine_that_is_wrong")

    def run(net, spikes, states=False):
        weight = net.layers[0].weight.copy()
        weight[2, 1, 0, 1] ^= 16
        copy = replace(net, layers=(replace(net.layers[0], weight=weight), *net.layers[1:]))
        return replace(definition.simulate(copy, spikes, states), engine="wrong")

    vars(module).update(available=lambda: None, refuses=lambda net: None, run=run)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(engines.ENGINES, "wrong", module.__name__)


def test_verify_shows_what_led_there(folder, wrong, call):
    status, output, _ = call("verify", "x.net", "--against", "wrong", "--input", "events.npy", "--json")
    printed = json.loads(output)
    sums, first = printed["sums"], printed["first_difference"]
    assert status == 1 and printed["causes"][0]["name"] == "weight"
    assert (sums["expected"][first["quantity"]], sums["actual"][first["quantity"]]) == (
        first["expected"],
        first["actual"],
    )
    status, output, _ = call("verify", "x.net", "--against", "wrong", "--input", "events.npy")
    assert status == 1
    lines = {line[:39].strip(): line[39:].split() for line in output.splitlines()}
    expected, actual = sums["expected"], sums["actual"]
    assert lines["a, the sum of weight * event"] == [f"{expected['a']:,}", f"{actual['a']:,}", "<"]
    assert lines["= u"] == [f"{expected['u']:,}", f"{actual['u']:,}", "<"]
    assert lines["u at the step before"] == [f"{expected['u_before']:,}", f"{actual['u_before']:,}"]
    assert "what led there:" in output and "definition" in output
    assert f"cause (weight): {printed['causes'][0]['text']}" in output


def test_verify_says_where_no_sum_fits(folder, wrong, call, monkeypatch):
    """Another decay gives a u that no integer sum could give."""
    right = definition.simulate

    def run(net, spikes, states=False):
        first = net.layers[0]
        neuron = replace(first.neuron, current_decay=first.neuron.current_decay + 1001)
        copy = replace(net, layers=(replace(first, neuron=neuron), *net.layers[1:]))
        return replace(right(copy, spikes, states), engine="wrong")

    monkeypatch.setattr(sys.modules[engines.ENGINES["wrong"]], "run", run)
    status, output, _ = call("verify", "x.net", "--against", "wrong", "--input", "events.npy")
    (line,) = [line for line in output.splitlines() if line.strip().startswith("a, the sum")]
    assert status == 1 and line.split()[-3:] == ["none", "fits", "<"]
    assert "cause: none of the usual ones" in output


def test_verify_has_no_sums_where_all_is_equal(folder, call):
    status, output, _ = call("verify", "x.net", "--against", "reference", "--input", "events.npy", "--json")
    assert (status, json.loads(output)["sums"], json.loads(output)["causes"]) == (0, None, [])


def test_inspect_with_input_shows_the_headroom(folder, call):
    status, output, _ = call("inspect", "x.net", "--input", "events.npy", "--json")
    found = json.loads(output)["headroom"]
    assert status == 0 and (found["data"], found["samples"], found["steps"]) == ("events.npy", 3, 12)
    u = found["layers"][0]["u"]
    assert u["beyond"] > 0 and u["used"] > 1
    status, output, _ = call("inspect", "x.net", "--input", "events.npy")
    assert f"layer0: current u was wrapped {u['beyond']:,} times, in {u['samples']} of 3 samples" in output
    assert f"without these limits {found['classes_differing']} of 3 samples would be classified differently" in output
    assert "lava-dl's own neuron, which neither wraps nor saturates" in output


def test_inspect_with_samples(folder, call):
    status, output, _ = call("inspect", "x.net", "--samples", 2, "--json")
    found = json.loads(output)["headroom"]
    assert status == 0 and found["samples"] == 2 and "seeded random" in found["data"]
    assert "headroom" not in json.loads(call("inspect", "x.net", "--json")[1])


def test_inspect_tells_the_health(folder, call):
    status, output, _ = call("inspect", "x.net", "--health", "--input", "events.npy", "--json")
    found = json.loads(output)["health"]
    assert status == 0 and "headroom" not in json.loads(output)
    assert (found["data"], found["samples"], found["steps"], found["measured"]) == ("events.npy", 3, 12, 3)
    (wrapped,) = (one for one in found["findings"] if (one["kind"], one["layer"]) == ("wrapped", "layer0"))
    assert wrapped["count"] > 0 and "its limit" in wrapped["cause"]
    status, output, _ = call("inspect", "x.net", "--health", "--input", "events.npy")
    assert status == 0 and f"layer0, wrapped: {wrapped['count']:,} of {wrapped['total']:,} times u wraps" in output
    assert f"cause:  {wrapped['cause']}" in output and f"change: {wrapped['change']}" in output


def test_headroom_that_is_large(folder, build, call):
    net = netx.load("x.net")
    netx.save(replace(net, message_bits=0), "binary.net")
    status, output, _ = call("inspect", "binary.net", "--samples", 2)
    assert status == 0 and "nothing comes near a limit" in output and "classified" not in output


def test_a_file_that_is_silent_about_its_input(folder, call):
    with h5py.File("x.net", "r+") as file:
        for name in list(file.attrs):
            if name == "snnkd_input_shape":
                del file.attrs[name]
        for group in list(file["layer"]):
            if file["layer"][group]["type"][()] in (b"input", [b"input"]):
                file["layer"][group].pop("shape", None)
    status, output, errors = call("inspect", "x.net")
    assert (status, output) == (2, "") and "shape of its input; give it with --input-shape C,H,W" in errors
    shape = ("--input-shape", "2,4,5")
    status, output, _ = call("inspect", "x.net", *shape, "--json")
    assert status == 0 and json.loads(output)["input_shape"] == [2, 4, 5]
    assert call("verify", "x.net", *shape, "--input", "events.npy", "--against", "fast")[0] == 0
    assert call("simulate", "x.net", *shape, "--input", "events.npy", "--out", "trace.npz")[0] == 0
    assert (call("profile", "x.net")[0], call("profile", "x.net", "--input-shape", "2x4x5")[0]) == (2, 2)
    assert (call("check", "x.net")[0], call("check", "x.net", *shape)[0]) == (2, 0)
    np.save("labels.npy", np.zeros(len(np.load("events.npy")), np.int64))
    labelled = ("--input", "events.npy", "--labels", "labels.npy")
    assert (call("evaluate", "x.net", *labelled)[0], call("evaluate", "x.net", *shape, *labelled)[0]) == (2, 0)
    status, output, _ = call("profile", "x.net", *shape, "--input", "events.npy", "--json")
    assert status == 0 and [row["neurons"] for row in json.loads(output)["layers"]][:2] == [40, 18]


def test_a_run_takes_no_input_shape(folder, call):
    status, _, errors = call("profile", "some-run", "--input-shape", "2,4,5")
    assert status == 2 and "--input-shape: a run tells the shape of its input" in errors


@pytest.mark.parametrize("text", ["2,4", "0,4,5", "2x4x5", "", "2,4,-5"])
def test_an_input_shape_that_is_none(folder, call, text):
    status, output, errors = call("inspect", "x.net", "--input-shape", text)
    assert (status, output) == (2, "") and f"--input-shape {text}: expected C,H,W or one number" in errors


def test_an_input_shape_that_contradicts_the_file(folder, call):
    status, _, errors = call("inspect", "x.net", "--input-shape", "2,4,6")
    assert status == 2 and "input shapes differ" in errors
