"""Comparison of traces and the input for files without any."""

import json
from dataclasses import replace

import numpy as np
import pytest

from snnkd.analysis.verification import compare, synthetic_input
from snnkd.base.errors import LimitError, MismatchError
from snnkd.engines import ENGINES, get
from snnkd.engines.reference.definition import simulate
from snnkd.ir.events import check_input
from snnkd.ir.network import Cuba, Dense, Input, IntNet


@pytest.fixture
def net(build):
    random = np.random.default_rng(5)
    conv = build.conv(random, (2, 4, 5), 3, thresholds=(0, 50))
    return IntNet((2, 4, 5), (conv, build.dense(random, conv.shape, 4, thresholds=(0, 50))), steps=6)


@pytest.fixture
def trace(net):
    return simulate(net, synthetic_input(net, samples=3, activity=0.4), states=True)


def changed(trace, layer, quantity, where, by=1):
    array = getattr(trace.layers[layer], quantity).copy()
    array[where] += by
    layers = list(trace.layers)
    layers[layer] = replace(layers[layer], **{quantity: array})
    return replace(trace, layers=tuple(layers))


def test_equal(net, trace):
    found = compare(net, trace, trace)
    cells = 3 * 6 * (18 + 4)
    assert found.equal and found.first_difference is None
    assert found.compared == {
        "samples": 3,
        "steps": 6,
        "cells": 3 * cells,
        "spikes": sum(int(layer.spikes.sum()) for layer in trace.layers),
        "states": 2 * cells,
    }
    assert found.differences == {"layer0": 0, "layer1": 0}
    assert json.loads(json.dumps(found.to_json()))["equal"] is True


def test_first_difference_is_the_earliest(net, trace):
    other = changed(trace, 1, "spikes", (0, 0, 2))
    other = changed(other, 0, "v", (0, 4, 1, 0, 2), 5)
    other = changed(other, 0, "spikes", (2, 3, 1, 1, 2))
    other = changed(other, 0, "spikes", (1, 3, 2, 0, 1))
    found = compare(net, trace, other)
    assert not found.equal
    assert found.differences == {"layer0": 3, "layer1": 1}
    first = found.first_difference
    assert (first.quantity, first.layer, first.step, first.sample, first.neuron) == ("s", "layer0", 3, 1, [2, 0, 1])
    assert first.actual == first.expected + 1


def test_cause_before_effect(net, trace):
    other = changed(changed(trace, 0, "spikes", (1, 2, 0, 0, 0)), 0, "u", (1, 2, 2, 1, 2), -7)
    first = compare(net, trace, other).to_json()["first_difference"]
    u = int(trace.layers[0].u[1, 2, 2, 1, 2])
    assert first == {
        "quantity": "u",
        "layer": "layer0",
        "sample": 1,
        "step": 2,
        "neuron": [2, 1, 2],
        "expected": u,
        "actual": u - 7,
    }


def test_last_voltage_where_states_are_not_recorded(net, trace):
    bare = simulate(net, trace.input)
    other = changed(bare, 1, "v_last", (2, 3), 9)
    found = compare(net, trace, other)
    assert found.compared["states"] == 3 * (18 + 4)
    first = found.first_difference
    assert (first.quantity, first.layer, first.step, first.sample, first.neuron) == ("v", "layer1", 5, 2, [3])


def test_traces_of_something_else(net, trace):
    with pytest.raises(MismatchError, match="expected layers"):
        compare(net, trace, replace(trace, layers=trace.layers[:1]))
    with pytest.raises(MismatchError, match="inputs differ"):
        compare(net, trace, replace(trace, input=1 - trace.input))


def test_synthetic_input(net):
    events = synthetic_input(net, samples=40)
    assert events.shape == (40, 6, 2, 4, 5) and events.dtype == np.uint8
    assert 0.08 < events.mean() < 0.12
    np.testing.assert_array_equal(events, synthetic_input(net, samples=40))
    assert (events != synthetic_input(net, samples=40, seed=1)).any()
    assert synthetic_input(replace(net, steps=None)).shape == (16, 32, 2, 4, 5)
    assert synthetic_input(net, steps=3).shape[1] == 3


@pytest.mark.parametrize("bits", [1, 4, 8, 12])
def test_graded_synthetic_input(net, bits):
    graded = replace(net, message_bits=bits)
    events = synthetic_input(graded, activity=0.5)
    assert events.max() == (1 << bits) - 1 or bits == 12
    check_input(graded, events)


def test_synthetic_images():
    neuron = Cuba(*(np.array(x, np.int32) for x in (4096, 0, 500)))
    net = IntNet((1, 3, 3), (Input((1, 3, 3), neuron), Dense(np.full((2, 9), 2, np.int32), neuron)))
    images = synthetic_input(net)
    assert images.shape == (16, 32, 1, 3, 3) and images.strides[1] == 0
    assert simulate(net, images).layers[0].spikes.any()


def test_engines():
    assert get("reference").available() is None
    with pytest.raises(LimitError, match="known are fast, reference, lava"):
        get("refrence")
    assert all(callable(get(name).run) for name in ENGINES)


def test_reference_engine(net, trace):
    assert compare(net, trace, get("reference").run(net, trace.input, states=True)).equal
