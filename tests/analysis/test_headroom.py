"""Headroom: what comes to each limit, how often it is passed, and what a run without limits would give."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkd.analysis import headroom
from snnkd.base.errors import FormatError
from snnkd.engines.reference.definition import simulate
from snnkd.ir.network import Cuba, Dense, IntNet
from snnkd.ir.readout import Readout

TOP = 1 << 23


def single(weight, bits=24, weight_exp=0, voltage=4096, threshold=1 << 17):
    """One input, one neuron, whose u is a << 6 and whose v is u, unless `voltage` says otherwise."""
    neuron = Cuba(*(np.array(value, np.int32) for value in (4096, voltage, threshold)))
    return IntNet((1,), (Dense(np.array([[weight]], np.int32), neuron, weight_exp),), message_bits=bits)


def measured(net, *samples):
    return headroom.measure(net, np.array(samples, np.int32)[:, :, None]).layers[0].uses


def row(use):
    return use.largest, use.limit, use.beyond, use.samples


def test_within_all_limits():
    found = measured(single(-3), [5, 0, 1000], [2, 2, 2])
    assert row(found["a"]) == (3000, 1 << 25, 0, 0)
    assert row(found["u"]) == (64 * 3000, TOP, 0, 0)
    assert row(found["v"]) == (64 * 3000, TOP - 1, 0, 0)
    assert (found["a"].bits_left, found["u"].bits_left) == (13, 5)
    assert found["u"].used == 64 * 3000 / TOP


def test_nothing_comes_in():
    found = measured(single(2), [0, 0])
    assert [use.bits_left for use in found.values()] == [None] * 3 and found["u"].used == 0


def test_a_correction_of_u_and_a_clip_of_v():
    edge = TOP // 64
    found = measured(single(1, voltage=0), [edge // 2, 0, 0], [edge + 5, 0, 0], [edge - 1, 2, 0])
    assert row(found["a"]) == (edge + 5, 1 << 25, 0, 0)
    assert row(found["u"]) == (TOP + 5 * 64, TOP, 1, 1)
    assert row(found["v"]) == (TOP + 64, TOP - 1, 1, 1)
    assert found["u"].bits_left == found["v"].bits_left == -1


def test_a_sum_that_wraps_in_32_bits():
    found = measured(single(100), [(1 << 24) - 1, 3], [1, 1])
    assert row(found["a"]) == (100 * ((1 << 24) - 1), 1 << 25, 1, 1)
    assert measured(single(192, weight_exp=-8), [1 << 23])["a"].limit == 1 << 23


def test_a_sum_of_a_convolution_wraps_in_24_bits(build):
    layer = build.conv(np.random.default_rng(0), (1, 2, 2), 1, (1, 1))
    net = IntNet((1, 2, 2), (replace(layer, weight=np.full((1, 1, 1, 1), 100, np.int32)),), message_bits=20)
    images = np.full((3, 1, 1, 2, 2), 7, np.int32)
    images[1, 0, 0, 1] = 90000
    for events in (np.repeat(images, 5, axis=1), np.broadcast_to(images, (3, 5, 1, 2, 2))):
        found = headroom.measure(net, events).layers[0].uses["a"]
        assert row(found) == (9000000, TOP, 2 * 5, 1)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1 << 32), bits=st.sampled_from([0, 12, 18]), shared=st.booleans())
def test_counts_are_the_definitions(build, seed, bits, shared):
    random = np.random.default_rng(seed)
    conv = build.conv(random, (2, 4, 3), 3, (3, 2), padding=(1, 0), largest=500, thresholds=(0, 1 << 17))
    last = build.dense(random, conv.shape, 3, largest=500, decays=(0, 3), delays=2, thresholds=(0, 200))
    net = IntNet((2, 4, 3), (conv, last), message_bits=bits)
    events = build.events(random, net, 3, 9, activity=0.8)
    if shared:
        events = np.broadcast_to(events[:, :1], events.shape)
    found, trace = headroom.measure(net, events), simulate(net, events)
    for one, seen in zip(found.layers, trace.layers, strict=True):
        assert one.uses["a"].beyond + one.uses["u"].beyond == seen.overflows
        assert one.uses["v"].beyond == seen.saturations
        assert one.spikes == seen.spikes.sum()


def without_limits(layer, output, events):
    """(spikes, last v) of one dense neuron on events (T, I), in Python's own integers."""
    decays = [4096 - int(getattr(layer.neuron, name)) for name in ("current_decay", "voltage_decay")]
    u = v = 0
    spikes = []
    for sent in events.tolist():
        a = sum(weight * event for weight, event in zip(layer.weight[output].tolist(), sent, strict=True))
        u, v = (
            abs(state) * left // 4096 * (1 if state > 0 else -1) for state, left in zip((u, v), decays, strict=True)
        )
        u += a * 64
        v += u
        spikes.append(int(v > int(layer.neuron.threshold) * 64))
        v = 0 if spikes[-1] else v
    return spikes, v


def test_a_run_without_limits(build):
    """One layer: each neuron's spikes without limits, by a second writing of the neuron."""
    random = np.random.default_rng(4)
    layer = build.dense(random, (30,), 4, largest=250, decays=(0, 30), thresholds=(130000, 131000))
    net = IntNet((30,), (layer,), message_bits=9, readout=Readout(ties="membrane"))
    events = build.events(random, net, 8, 20)
    trace = simulate(net, events)
    free = np.zeros_like(trace.layers[0].spikes)
    last = np.zeros((8, 4), np.int64)
    for sample, output in np.ndindex(8, 4):
        free[sample, :, output], last[sample, output] = without_limits(layer, output, events[sample])
    found = headroom.measure(net, events)
    assert found.layers[0].spikes_differing == (free != trace.layers[0].spikes).sum() > 0
    classes = net.readout.classify(free.sum(axis=1, dtype=np.int64), last)
    assert found.classes_differing == (classes != trace.classes(net)).sum() > 0


@pytest.mark.parametrize("seed", range(3))
def test_in_blocks(build, seed):
    random = np.random.default_rng(seed)
    conv = build.conv(random, (2, 4, 3), 3, (3, 2), largest=250, decays=(0, 60))
    net = IntNet((2, 4, 3), (conv, build.dense(random, conv.shape, 3)), message_bits=14)
    events = build.events(random, net, 7, 10)
    whole = headroom.measure(net, events).to_json()
    assert whole["layers"][0]["u"]["beyond"] > 0 and json.loads(json.dumps(whole)) == whole
    assert headroom.measure(net, events, most=2 * 10 * 18).to_json() == whole


def test_events_that_do_not_fit():
    with pytest.raises(FormatError, match="expected integers of shape"):
        headroom.measure(single(2), np.ones((2, 3, 4), int))
