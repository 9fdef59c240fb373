"""A sigma-delta network of one step: each neuron holds its activation only, and every step is an inference."""

from __future__ import annotations

import ctypes
import re
from dataclasses import replace

import numpy as np
import pytest

from snnkd import engines, targets
from snnkd.analysis.verification import compare
from snnkd.base.errors import LimitError
from snnkd.engines import c99, conformance
from snnkd.engines.c99 import build
from snnkd.engines.reference.definition import simulate
from snnkd.ir.network import Delta, Input, IntNet, SigmaDelta
from snnkd.ir.readout import EarlyExit, Readout

SANITIZED = ("-g", "-fsanitize=undefined,address", "-fno-sanitize-recover=all")


def of_one_step(name):
    """A named network with the steps of its input as samples of one step."""
    net, events = conformance.networks()[name]
    return replace(net, steps=1), events.reshape(-1, 1, *net.input_shape)


@pytest.fixture
def once():
    return of_one_step("sigma delta once")


def test_a_neuron_takes_four_bytes(once):
    """Beside its sum it has a bit; a state has the counts and the step."""
    net, _ = once
    sizes = [60, 120, 9, 4]
    assert net.neurons == sum(sizes)
    memory = c99.plan(net)
    assert memory.stateless
    assert memory.ram == 4 * (1 + sum(sizes) + (2 + 4 + 1 + 1) + 4)
    lasting = c99.plan(replace(net, steps=2))
    assert not lasting.stateless
    assert lasting.ram == 4 * (1 + 3 * 60 + 4 * (120 + 9) + 4 + 120 + (2 + 4 + 1 + 1) + 4)


@pytest.mark.parametrize(
    ("name", "steps"), [("sigma delta once", None), ("sigma delta delays", 1), ("mixed", 1), ("dense", 1)]
)
def test_what_may_outlast_a_step_is_kept(name, steps):
    net = replace(conformance.networks()[name][0], steps=steps)
    assert not c99.plan(net).stateless


@pytest.mark.parametrize("flags", [(), ("-DSNNKD_DENSE",), SANITIZED], ids=["events", "dense", "sanitized"])
@pytest.mark.parametrize("name", ["sigma delta", "sigma delta conv", "sigma delta own"])
def test_named_cases(name, flags, gcc, equals_definition):
    """Delta encoders, thresholds, biases, strides, groups, dilations, cumulative errors, states that wrap."""
    net, events = of_one_step(name)
    assert c99.plan(net).stateless
    equals_definition(net, events, gcc, *flags)


@pytest.mark.parametrize("seed", [0, 1, 24])
def test_random_networks(seed, compiler, equals_definition):
    net = replace(conformance.random_sigma_delta_net(seed), steps=1)
    assert c99.plan(net).stateless
    random = np.random.default_rng(seed)
    events = conformance.random_events(random, net, 6, 1, activity=0.5)
    if net.message_bits:
        events = events * random.choice([-1, 1], events.shape).astype(np.int32)
    equals_definition(net, events, compiler)


def test_the_last_values_of_each_range(gcc, build, equals_definition):
    """Inputs beside thresholds and where 32 bits wrap; -2^31 is never sent, and small changes are sent as 0."""
    edges = [0, 1, 3, 64, 320, 1 << 19, 1 << 20, 1 << 24, 1 << 25, (1 << 31) - 1]
    values = {sign * edge + step for edge in edges for step in (-1, 0, 1) for sign in (1, -1)} | {-(1 << 31)}
    events = np.array([value for value in sorted(values) if -(1 << 31) <= value < 1 << 31], np.int32)
    weight = np.array([[1], [-1], [64], [7], [1]], np.int32)
    bias = np.array([0, 1, -1, 1 << 18, -(1 << 18)], np.int32)
    dense = replace(build.dense(np.random.default_rng(1), (1,), 5), weight=weight)
    for first, activation in ((Delta(5), "relu"), (Delta(0, 0, 0), "unit"), (Delta(1, 15, 15), "unit")):
        second = replace(dense, neuron=SigmaDelta(5, bias, activation=activation))
        net = IntNet((1,), (Input((1,), first), second), steps=1)
        recorded = equals_definition(net, events.reshape(-1, 1, 1), gcc, *SANITIZED)
        lowest = recorded.trace.layers[0].act == -(1 << 31)
        assert lowest.any() and not recorded.trace.layers[0].spikes[lowest].any()


@pytest.mark.parametrize(
    "readout", [Readout(), Readout("membrane"), Readout("membrane", over="max"), Readout("membrane", over="sum")]
)
def test_every_step_is_an_inference(readout, gcc, once, tmp_path):
    """The same answers with a reset between two samples and without one, in memory that was not zero before."""
    net, events = once
    last = replace(net.layers[-1], neuron=SigmaDelta(2, np.array(3, np.int32)))
    net = replace(net, layers=(*net.layers[:-1], last), readout=readout, early_exit=EarlyExit(1, 1))
    expected = simulate(net, events, states=True)
    target = targets.load("c99")
    build.write(tmp_path, c99.runtime_files(target) | c99.model_files(net, target))
    flags = (*build.STRICT, "-shared", "-fPIC")
    made = ctypes.CDLL(str(build.compile(tmp_path, build.RUNTIME, "libsnnkd.so", gcc, flags)))
    made.snnkd_decided.restype = made.snnkd_spiked.restype = ctypes.c_bool
    memory = c99.plan(net)
    state, counts = (ctypes.c_ubyte * memory.ram)(*([255] * memory.ram)), (ctypes.c_uint32 * memory.outputs)()
    made.snnkd_init(state)
    for number in (0, 1, 1, 2, 3, 4):
        sample = np.ascontiguousarray(np.moveaxis(events[number, 0], 0, -1), np.int32)
        made.snnkd_step(state, sample.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)))
        if number == 3:
            made.snnkd_reset(state)
            made.snnkd_step(state, sample.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)))
        made.snnkd_counts(state, counts)
        assert np.array(counts, np.uint32).astype(np.int32).tolist() == expected.counts[number].tolist()
        assert made.snnkd_classify(state) == expected.classes(net)[number]
        for k, layer in enumerate(expected.layers):
            act, sent = (np.moveaxis(seen[number, 0], 0, -1).ravel() for seen in (layer.act, layer.spikes))
            neurons = range(act.size)
            assert [made.snnkd_voltage(state, k, n) for n in neurons] == act.tolist()
            assert [made.snnkd_spiked(state, k, n) for n in neurons] == (sent != 0).tolist()


def test_more_steps_than_the_file_says(gcc, once):
    """The engine runs them with states; golden samples, which prove one C, refuse them."""
    net, _ = once
    events = conformance.random_events(np.random.default_rng(3), net, 2, 5)
    expected = simulate(net, events)
    found = engines.get("c99").run(net, events)
    assert compare(net, expected, found).first_difference is None
    with pytest.raises(LimitError, match=r"expected samples of 1 step, .* found 5; .* --steps 5"):
        c99.golden_files(net, expected)


def test_a_chip_gets_the_samples_that_its_flash_holds(once):
    net, events = once
    trace, chip = simulate(net, events), targets.load("cortex-m4")
    one = 4 * (60 + (2 + 4 + 1 + 1) + 4 + 1 + net.neurons)  # input, spikes, counts, class, voltages

    def samples(room):
        flash = replace(chip.limits["flash"], high=c99.plan(net).flash + (1 << 14) + room)
        small = replace(chip, limits={**chip.limits, "flash": flash})
        files = c99.golden_files(net, trace, target=small)
        found = re.search(rb"GOLDEN_SAMPLES (\d+)U", files["golden.h"])
        assert found
        return int(found[1])

    assert [samples(room) for room in (0, one, 3 * one - 1, 3 * one, 99 * one)] == [1, 1, 2, 3, 5]
    assert b"GOLDEN_SAMPLES 5U" in c99.golden_files(net, trace, target=targets.load("c99"))["golden.h"]
