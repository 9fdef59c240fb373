"""Networks in Norse's float64 cells: the same spikes where decays do not round, else the first one that differs."""

import sys
from pathlib import Path

import numpy as np
import pytest

from snnkd.analysis import evaluation, verification
from snnkd.engines import conformance
from snnkd.ir.network import IntNet

pytest.importorskip("norse")

sys.path.insert(0, str(Path(__file__).parents[2] / "toolchain/benchmarks"))

import norse_peer


def compared(decays: tuple[int, int]) -> verification.Verification:
    random = np.random.default_rng(5)
    options = {"decays": decays, "thresholds": (60, 200), "largest": 120}
    conv = conformance.random_conv(random, (1, 8, 8), 4, padding=(1, 1), stride=(2, 2), **options)
    net = IntNet((1, 8, 8), (conv, conformance.random_dense(random, conv.shape, 10, **options)))
    events = conformance.random_events(random, net, 8, 40, 0.2)
    return verification.compare(net, evaluation.simulate(net, events), norse_peer.trace(net, events))


def test_the_same_spikes_where_decays_do_not_round():
    same = compared((4096, 4096))
    assert same.equal and min(same.compared["spikes"], same.compared["cells"]) > 500


def test_the_first_difference_is_named_where_they_do():
    rounded = compared((100, 1500))
    assert not rounded.equal and rounded.first_difference is not None
    assert sum(rounded.differences.values()) < 0.02 * rounded.compared["cells"]
