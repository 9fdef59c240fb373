"""The doctor: a healthy network has no finding, and each fault that is planted in it gets its name, its number and its
cause."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snnkd.analysis import health
from snnkd.analysis.reach import highest_voltage
from snnkd.base.errors import FormatError
from snnkd.engines.reference.definition import simulate
from snnkd.ir.network import Conv, Cuba, Dense, IntNet
from snnkd.ir.readout import Readout

STEPS, SAMPLES, INPUTS, HIDDEN, CLASSES = 16, 20, 12, 10, 3


def array(value):
    return np.array(value, np.int32)


def cuba(threshold, outputs, bias=None):
    return Cuba(array(2048), array(512), array([threshold] * outputs), bias)


def healthy():
    """A network in which every neuron works, and events that show it: a third of the inputs is for each class."""
    random = np.random.default_rng(3)
    hidden, last = (
        array(
            2 * random.integers(-40, 30, (outputs, inputs))
            + 120 * np.equal.outer(np.arange(outputs) % 3, np.arange(inputs) % 3)
        )
        for outputs, inputs in ((HIDDEN, INPUTS), (CLASSES, HIDDEN))
    )
    layers = (Dense(hidden, cuba(900, HIDDEN)), Dense(last, cuba(700, CLASSES)))
    rates = np.where(np.equal.outer(np.arange(SAMPLES) % 3, np.arange(INPUTS) % 3), 0.7, 0.1)
    events = (random.random((SAMPLES, STEPS, INPUTS)) < rates[:, None]).astype(np.uint8)
    return IntNet((INPUTS,), layers, STEPS, readout=Readout("count", "membrane")), events


def found(net, events):
    return {(one.kind, one.layer, one.count) for one in health.examine(net, [events]).findings}


def test_a_healthy_network_has_nothing():
    net, events = healthy()
    whole = health.examine(net, [events])
    assert [one.text for one in whole.findings] == []
    assert (whole.samples, whole.steps, whole.channels, whole.dead_channels) == (SAMPLES, STEPS, INPUTS, 0)
    assert all(0 < row.threshold_share < 1 and row.weights.codes_used > 20 for row in whole.layers)
    halves = health.examine(net, [events[:7], events[7:]])
    assert (halves.samples, halves.measured, whole.measured, halves.findings) == (SAMPLES, 7, health.MEASURED, [])
    assert [replace(row, bits_left={}) for row in halves.layers] == [replace(row, bits_left={}) for row in whole.layers]


def with_hidden(weight=None, threshold=None, bias=None):
    """Changes the first layer: `weight` and `threshold` change their arrays in place."""

    def plant(net, events):
        layer = net.layers[0]
        changed = layer.weight.copy()
        limits = layer.neuron.threshold.copy()
        if weight:
            weight(changed)
        if threshold:
            threshold(limits)
        neuron = replace(layer.neuron, threshold=limits, bias=bias)
        return replace(net, layers=(replace(layer, weight=changed, neuron=neuron), net.layers[1])), events

    return plant


def empty_input(net, events):
    events = events.copy()
    events[:, :, [2, 5]] = 0
    return net, events


def last_weights(change):
    def plant(net, events):
        weight = net.layers[1].weight.copy()
        change(weight)
        return replace(net, layers=(net.layers[0], replace(net.layers[1], weight=weight))), events

    return plant


def set_to(index, value):
    def change(values):
        values[index] = value

    return change


def times(factor):
    def change(values):
        values[...] = values * factor

    return change


def copy_row(values):
    values[4] = values[1]


def outlier(values):
    values[...] = np.sign(values) * 40
    values[0, 0] = 254


def all_alike(net, events):
    weight = np.repeat(net.layers[1].weight[:1], CLASSES, axis=0)
    return replace(net, layers=(net.layers[0], replace(net.layers[1], weight=weight))), events


def late(net, events):
    """The first class leads until the last step, in which the second gets more than all before."""
    weight = np.zeros((2, 2), np.int32)
    weight[0, 0], weight[1, 1] = 20, 254
    neuron = Cuba(array(4096), array(0), array([131071, 131071]))
    events = np.zeros((SAMPLES, 4, 2), np.uint8)
    events[:, 0, 0] = events[: SAMPLES // 2, -1, 1] = 1
    return IntNet((2,), (Dense(weight, neuron),), 4, readout=Readout("membrane")), events


FAULTS = {
    "an input that never has an event": (empty_input, ("dead-input", "input", 2)),
    "an input that no weight reads": (with_hidden(set_to((slice(None), 7), 0)), ("dead-input", "input", 1)),
    "thresholds that cannot be reached": (
        with_hidden(threshold=set_to([1, 2, 8], 120_000)),
        ("unreachable", "layer0", 3),
    ),
    "a neuron without weights": (with_hidden(weight=set_to(6, 0)), ("silent", "layer0", 1)),
    "a neuron that its input holds down": (
        with_hidden(weight=set_to(3, array([254] + [-254] * 11))),
        ("silent", "layer0", 1),
    ),
    "a bias above the threshold": (with_hidden(bias=array([0] * 9 + [5000])), ("saturated", "layer0", 1)),
    "thresholds of 0": (
        with_hidden(set_to(0, 100), threshold=set_to(0, 0)),
        ("saturated", "layer0", 1),
    ),
    "a copy": (with_hidden(copy_row), ("duplicate", "layer0", 1)),
    "a neuron that nobody reads": (last_weights(set_to((slice(None), 2), 0)), ("unread", "layer0", 1)),
    "one large weight": (last_weights(outlier), ("few-codes", "layer1", 3)),
    "classes that are one": (all_alike, ("ties", "readout", SAMPLES)),
    "a last step that decides": (late, ("last-step", "readout", SAMPLES // 2)),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_gets_its_name(name):
    plant, expected = FAULTS[name]
    assert expected in found(*plant(*healthy()))


def test_small_numbers_are_rounded_coarsely_and_large_ones_leave_their_range():
    net, events = healthy()
    small = [
        replace(layer, weight=layer.weight // 16, neuron=replace(layer.neuron, threshold=layer.neuron.threshold // 16))
        for layer in net.layers
    ]
    kinds = {(one.kind, one.layer) for one in health.examine(replace(net, layers=tuple(small)), [events]).findings}
    assert {("narrow-range", "layer0"), ("narrow-range", "layer1")} <= kinds
    wide = replace(net.layers[0], weight_exp=10, neuron=replace(net.layers[0].neuron, voltage_decay=array(0)))
    kinds = {one.kind for one in health.examine(replace(net, layers=(wide, net.layers[1])), [events]).findings}
    assert {"wrapped", "clipped"} <= kinds


def test_the_cause_and_what_to_change_are_said():
    net, events = healthy()
    dead = replace(net.layers[0], weight=np.zeros_like(net.layers[0].weight))
    net = replace(net, layers=(dead, net.layers[1]))
    said = [one for one in health.examine(net, [events]).findings if one.kind == "silent"]
    assert [(one.layer, one.count, one.total) for one in said] == [("layer0", 10, 10), ("layer1", 3, 3)]
    assert all("no event comes to them" in one.cause and "mend what is before them" in one.change for one in said)


def test_a_convolution_is_looked_at_by_channel():
    random = np.random.default_rng(0)
    weight = array(2 * random.integers(-40, 90, (4, 2, 3, 3)))
    weight[3], weight[:, 1] = weight[1], 0
    conv = Conv(weight, Cuba(array(4096), array(1000), array(300)), (4, 4, 4), (2, 2), (1, 1))
    net = IntNet((2, 8, 8), (conv, Dense(array(2 * random.integers(-60, 90, (3, 64))), cuba(200, 3))), 8)
    events = (random.random((6, 8, 2, 8, 8)) < 0.3).astype(np.uint8)
    by_kind = {one.kind: one for one in health.examine(net, [events]).findings}
    assert (by_kind["duplicate"].layer, by_kind["duplicate"].count, by_kind["duplicate"].total) == ("layer0", 1, 4)
    assert "3 as 1" in by_kind["duplicate"].what and "have its weights" in by_kind["duplicate"].cause
    assert (by_kind["dead-input"].count, by_kind["dead-input"].total) == (1, 2)
    strided = Conv(array(2 * random.integers(-40, 90, (2, 4, 2, 2))), conv.neuron, (2, 1, 1), (3, 3))
    found = health.examine(replace(net, layers=(conv, strided)), [events])
    (unread,) = (one for one in found.findings if one.kind == "unread")
    fired = simulate(net, events).layers[0].spikes.any(axis=(0, 1))
    fired[:, :2, :2] = False  # which the next layer's only window reads
    assert (unread.layer, unread.count, found.layers[0].unread) == ("layer0", fired.sum(), 48)
    assert "strides and padding" in unread.cause


@pytest.mark.parametrize("seed", range(5))
def test_no_voltage_is_above_the_bound(seed):
    random = np.random.default_rng(seed)
    weight = array(2 * random.integers(-100, 100, (6, 9)))
    bias = array(random.integers(-50, 50, 6))
    neuron = Cuba(array(random.integers(0, 4097)), array(random.integers(0, 4097)), array(131071), bias)
    net = IntNet((9,), (Dense(weight, neuron, int(random.integers(-2, 3))),), message_bits=4 if seed % 2 else 0)
    bound = highest_voltage(net.layers[0], net.largest_event, net.message_bits > 0, 20)
    low = -15 if net.message_bits else 0
    for row in weight:
        worst = np.where(row > 0, net.largest_event, low if low else 0)
        events = np.broadcast_to(worst.astype(np.int32), (1, 20, 9)).copy()
        v = simulate(net, events, states=True).layers[0].v
        assert (v <= bound).all()
        own = int(np.flatnonzero((weight == row).all(axis=1))[0])
        assert v[0, :, own].max() == bound[own] or bound[own] == 1 << 23


def test_no_samples():
    net, _ = healthy()
    with pytest.raises(FormatError, match="at least one sample"):
        health.examine(net, [])
