"""Runs with a sigma-delta teacher and a student that takes several steps: every command tells the teacher an image
once."""

import json
from pathlib import Path

import numpy as np
import pytest

import snnkd
from snnkd import recipe
from snnkd.analysis import evaluation
from snnkd.analysis.energy import as_json
from snnkd.data import datasets
from snnkd.formats import netx
from snnkd.ir.network import Dense, IntNet, Sigma, SigmaDelta
from snnkd.ir.readout import Readout

pytestmark = pytest.mark.training


def test_what_a_run_says_of_its_teacher_is_what_it_does_in_one_step(tmp_path: Path, call) -> None:
    random = np.random.default_rng(2)
    weights = ((random.integers(-60, 60, shape) * 2).astype(np.int32) for shape in ((20, 64), (10, 20)))
    bias = np.full(20, -30, np.int32)  # which an image that is told four times outweighs
    layers = tuple(map(Dense, weights, (SigmaDelta(1, bias), Sigma())))
    net = IntNet((1, 8, 8), layers, message_bits=8, readout=Readout("membrane"))
    netx.save(net, tmp_path / "old.net")
    taught = 'network = "dense-8x8-student"\nepochs = 1\ndistil = {losses = {kl = 1.0}}'
    (tmp_path / "mine.toml").write_text(
        f'encoding = {{steps = 4, bits = 8}}\n[chain.teacher]\nnet = "old.net"\n[chain.student]\n{taught}\n'
    )
    loaded = recipe.load(tmp_path / "mine.toml", ["data.train_limit=100"])
    summary = snnkd.train(loaded, snnkd.TrainingOptions(tmp_path / "runs", device="cpu"))
    test = datasets.load("digits").test
    once = evaluation.simulate(net, test.images[:, None])
    right = int((once.classes(net) == test.labels).sum())
    again = evaluation.simulate(net, np.repeat(test.images[:, None], 4, axis=1))
    assert int((again.classes(net) == test.labels).sum()) != right
    assert summary.networks["teacher"].accuracy.integer == right / len(test)
    (row,) = json.loads(call("evaluate", summary.run, "--networks", "teacher", "--json")[1])["rows"]
    assert row["correct"] == right
    (teacher,) = json.loads(call("profile", summary.run, "--samples", "20", "--energy", "--json")[1])["teachers"]
    alone = evaluation.profile(net, test.images[:20, None])
    assert alone.in_memory is not None and teacher["in_memory_uJ"] == as_json(alone.in_memory.snn)
