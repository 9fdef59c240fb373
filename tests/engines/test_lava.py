"""The definition against Lava itself: spikes of all layers, u and v, on nets that reach every corner of the formats.

Each case is one Lava run; they start two at a time, once, and the tests look at the outcomes.
"""

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from snnkd.analysis.verification import compare
from snnkd.base import progress
from snnkd.base.errors import LimitError, SnnkdError
from snnkd.engines import conformance, lava
from snnkd.engines.reference.definition import simulate
from snnkd.formats import netx
from snnkd.ir.network import Cuba, Dense, IntNet
from snnkd.ir.readout import Readout
from snnkd.ir.trace import LayerTrace, SpikeTrace

pytestmark = [pytest.mark.lava, pytest.mark.smoke]
CASES = conformance.networks()
READ_EVERY = ("single", "sigma delta own")  # the last layer's membrane is recorded without the other states


def run_case(name):
    net, events = CASES[name]
    if name in READ_EVERY:
        net = replace(net, readout=Readout("membrane", over="max"))
    heard = []
    with progress.heard_by(heard.append):
        actual = lava.run(net, events, states=name not in READ_EVERY)
    return net, simulate(net, events, states=True), actual, heard


@pytest.fixture(scope="module")
def outcomes():
    """Futures of (net, expected, actual, what was said meanwhile) by case."""
    with ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(run_case, name) for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_equals_the_definition(outcomes, name):
    net, expected, actual, _ = outcomes[name].result()
    found = compare(net, expected, actual)
    assert found.first_difference is None
    assert found.compared["states"] > 0
    assert all(layer.spikes.any() for layer in expected.layers[:-1])
    assert all(layer.overflows == layer.saturations == -1 for layer in actual.layers)
    np.testing.assert_array_equal(actual.layers[-1].v_last, expected.layers[-1].v_last)


@pytest.mark.parametrize(
    ("name", "overflows", "saturations"),
    [("graded dense", True, True), ("wide graded dense", True, True), ("graded conv", True, False)],
)
def test_the_extremes_are_reached(outcomes, name, overflows, saturations):
    _, expected, *_ = outcomes[name].result()
    assert not overflows or expected.layers[0].overflows > 100
    assert not saturations or expected.layers[0].saturations > 100


def test_it_says_which_sample_runs(outcomes):
    heard = outcomes["delays"].result()[-1]
    assert heard[0] == "Lava starts" and heard[-1] == ""
    assert any(re.fullmatch(r"Lava: sample \d of 2", said) for said in heard)


def small(**options):
    neuron = Cuba(*(np.array(x, np.int32) for x in (1024, 128, 80)))
    return IntNet((2,), (Dense(np.array([[2, -2]], np.int32), neuron, **options),))


def job(folder, net, change):
    netx.save(net, folder / "network.net")
    lava.write_job(folder, net, np.ones((1, 4, 2), np.uint8), states=False)
    with h5py.File(folder / "network.net", "r+") as file:
        change(file["layer/1"])
    return folder


def processes_of(folder):
    """Ids of living processes whose command names `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in entry.read_bytes():
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found


def test_a_failure_while_loading_is_one_error(tmp_path):
    def zero(layer):
        layer["weight"][...] = 0

    with pytest.raises(SnnkdError, match=r"Lava failed with exit status 1. Its last words: .*OverflowError"):
        lava.run_worker(job(tmp_path, small(), zero), 60)


def test_a_failure_in_a_process_of_lava_is_one_error(tmp_path):
    """Lava itself waits for ever here."""

    def fraction(layer):
        del layer["neuron/iDecay"]
        layer["neuron/iDecay"] = 1024.5

    with pytest.raises(SnnkdError, match=r"Lava failed with exit status 3. Its last words: .*TypeError"):
        lava.run_worker(job(tmp_path, small(), fraction), 60)
    assert not processes_of(tmp_path)


def test_a_hang_is_ended(tmp_path):
    job(tmp_path, small(), lambda layer: None)
    (tmp_path / "job.json").unlink()
    os.mkfifo(tmp_path / "job.json")  # nobody ever writes it
    begin = time.monotonic()
    with pytest.raises(LimitError, match="not done after 3 s, stopped"):
        lava.run_worker(tmp_path, 3)
    assert time.monotonic() - begin < 15
    assert not processes_of(tmp_path)


def test_traces_are_complete(outcomes):
    net, _, actual, _ = outcomes["conv"].result()
    assert isinstance(actual, SpikeTrace) and actual.engine == "lava"
    for layer, seen in zip(net.layers, actual.layers, strict=True):
        assert isinstance(seen, LayerTrace)
        assert seen.spikes.shape == (4, 9, *layer.shape) and seen.spikes.dtype == np.uint8
        assert seen.u.dtype == seen.v.dtype == np.int32
    _, _, bare, _ = outcomes["single"].result()
    assert [seen.v is None for seen in bare.layers] == [True, False]
    assert [seen.u is None for seen in bare.layers] == [True, True]
    assert [seen.v_last is None for seen in bare.layers] == [True, False]
