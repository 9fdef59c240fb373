"""Events in a file that may be larger than memory: commands read and write a block of samples at a time."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from snnkd.analysis import evaluation
from snnkd.base.arrays import Rows
from snnkd.cli import inspection
from snnkd.formats import netx
from snnkd.ir.network import IntNet

BLOCK, SAMPLES = 7, 40


@pytest.fixture
def files(build, no_data, monkeypatch):
    """net.net, events.npy and labels.npy of 40 samples; a block is 7 of them."""
    random = np.random.default_rng(0)
    net = IntNet((1, 6, 6), (build.dense(random, (1, 6, 6), 8), build.dense(random, (8,), 4)), steps=4)
    events = build.events(random, net, SAMPLES, 4)
    netx.save(net, "net.net")
    np.save("events.npy", events)
    np.save("labels.npy", evaluation.simulate(net, events, "reference").classes(net))
    monkeypatch.setattr(evaluation, "BLOCK", BLOCK)
    per_sample = 2 * 4 * (net.neurons + 36)
    monkeypatch.setattr(inspection, "_AT_ONCE", BLOCK * per_sample)
    return net


@pytest.fixture
def read(monkeypatch):
    """How many samples were read at a time."""
    counts = []
    plain = Rows.__getitem__

    def counted(self, rows):
        values = plain(self, rows)
        counts.append(len(values))
        return values

    monkeypatch.setattr(Rows, "__getitem__", counted)
    return counts


COMMANDS = {
    "simulate": "simulate net.net --input events.npy --out trace.h5 --engine reference",
    "profile": "profile net.net --input events.npy",
    "evaluate": "evaluate net.net --input events.npy --labels labels.npy",
    "handoff": "handoff net.net --target c99 --input events.npy --labels labels.npy --out bundle.zip",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_more_than_a_block_is_read_at_a_time(command, files, read, call):
    code, output, errors = call(*COMMANDS[command].split(), "--json")
    assert code == 0, errors
    golden = [16, 16] if command == "handoff" else []  # the first samples, which a bundle carries
    once = [BLOCK] * (SAMPLES // BLOCK) + [SAMPLES % BLOCK]
    assert sorted(read) == sorted([*golden[: len(read) - len(once)], *once])
    if command == "evaluate":
        assert json.loads(output)["rows"][0]["correct"] == SAMPLES


def test_a_trace_in_blocks_is_the_whole_one(files, call):
    words = ["simulate", "net.net", "--input", "events.npy", "--engine", "reference", "--states", "--json"]
    results = []
    for out in ("trace.npz", "trace.h5"):
        code, output, errors = call(*words, "--out", out)
        assert code == 0, errors
        results.append({key: value for key, value in json.loads(output).items() if key not in ("out", "seconds")})
    assert results[0] == results[1] and sum(row["spikes"] for row in results[0]["layers"]) > 0
    with np.load("trace.npz") as whole, h5py.File("trace.h5", "r") as parts:
        assert set(whole.files) == set(parts) and "layer0_v" in parts
        for name in whole.files:
            assert parts[name].dtype == whole[name].dtype
            np.testing.assert_array_equal(parts[name][()], whole[name])


def test_values_that_do_not_fit_leave_no_trace(files, call, no_data):
    events = np.load("events.npy")
    events[-1, -1] = 3
    np.save("events.npy", events)
    code, _, errors = call("simulate", "net.net", "--input", "events.npy", "--out", "trace.h5", "--engine", "reference")
    assert code == 2 and "events.npy: expected events 0 or 1" in errors
    assert not [path for path in no_data.iterdir() if "trace" in path.name]
