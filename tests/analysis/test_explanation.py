"""The sums behind a first difference and its causes: engines that are wrong on purpose, in one point each.

`test_reference.py` holds the definition itself; here a neuron that was cut out must do what it does in its layer.
"""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkd.analysis import replay
from snnkd.analysis.verification import compare
from snnkd.engines.reference.definition import Rules, run, simulate
from snnkd.ir import arithmetic
from snnkd.ir.network import Conv, Cuba, Dense, Input, IntNet
from snnkd.ir.trace import SpikeTrace

TOP = 1 << 23


def neuron(current=1024, voltage=128, threshold=1 << 17, bias=None):
    return Cuba(*(None if x is None else np.array(x, np.int32) for x in (current, voltage, threshold, bias)))


def wrong(net, events, **rules):
    """A trace by other rules than the definition's."""
    return replace(run(net, events, [Rules(**rules)] * len(net.layers), states=True), engine="wrong")


def causes(net, expected, actual):
    found = compare(net, expected, actual)
    assert not found.equal and found.sums is not None
    return {cause.name: cause.text for cause in found.causes}


def unlimited(values):
    return values, 0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 32), graded=st.sampled_from([0, 0, 16]))
def test_a_replayed_neuron_is_the_definitions(build, seed, graded):
    random = np.random.default_rng(seed)
    net = build.net(seed)
    if graded and not isinstance(net.layers[0], Input):
        net = replace(net, message_bits=graded)
    trace = simulate(net, build.events(random, net, 2, 7), states=True)
    for k, seen in enumerate(trace.layers):
        for sample in range(2):
            place = tuple(int(random.integers(0, size)) for size in net.layers[k].shape)
            steps = replay.cut_out(net, trace, k, sample, place).steps()
            for array, key in ((seen.spikes, "s"), (seen.u, "u"), (seen.v, "v")):
                assert array[(sample, slice(None), *place)].tolist() == [getattr(step, key) for step in steps]


def test_neurons_run_side_by_side_as_they_run_alone(build):
    """With other parameters each, as the causes try them; a bias comes in early for all of them."""
    random = np.random.default_rng(5)
    conv = build.conv(random, (2, 4, 5), 4, groups=2, padding=(1, 0), bias=True, thresholds=(20, 60))
    dense = build.dense(random, conv.shape, 3, delays=3, bias=True, thresholds=(20, 60))
    net = IntNet((2, 4, 5), (conv, dense))
    trace = simulate(net, build.events(random, net, 1, 9))
    for number, place in ((0, (3, 0, 2)), (1, (2,))):
        cut = replay.cut_out(net, trace, number, 0, place)
        neurons = [
            replace(cut, threshold=threshold, weight=cut.weight * factor) for threshold, factor in ((9, 1), (70, 2))
        ]
        for early in (0, 2):
            together = replay.again(neurons, early=early)
            assert together.s.shape == (9, 2) and together.s.any()
            for k, neuron in enumerate(neurons):
                for values, alone in zip(together, replay.again([neuron], early=early), strict=True):
                    np.testing.assert_array_equal(values[:, k], alone[:, 0])


def test_a_neuron_that_sees_only_padding_has_no_synapse(build):
    layer = build.conv(np.random.default_rng(0), (1, 3, 3), 2, (2, 2), padding=(3, 3))
    net = IntNet((1, 3, 3), (layer,))
    expected = simulate(net, np.ones((1, 4, 1, 3, 3), np.uint8), states=True)
    u = expected.layers[0].u.copy()
    u[0, 2, 1, 0, 0] += 64
    found = compare(net, expected, replace(expected, layers=(replace(expected.layers[0], u=u),)))
    assert (found.sums.synapses, found.sums.events, found.sums.expected.u) == (0, 0, 0) and not found.causes


def test_the_sums_are_all_there():
    layer = Dense(np.array([[6, -10, 4]], np.int32), neuron(bias=3, threshold=20), -1, np.array([[0, 2, 1]], np.int32))
    net = IntNet((3,), (layer,))
    events = np.array([[[1, 1, 0], [0, 0, 1], [1, 0, 0]]], np.uint8)
    expected = simulate(net, events, states=True)
    u = expected.layers[0].u.copy()
    u[0, 2, 0] += 64 * 5
    found = compare(net, expected, replace(expected, engine="x", layers=(replace(expected.layers[0], u=u),)))
    sums = found.to_json()["sums"]
    assert json.loads(json.dumps(sums)) == sums
    assert {key: sums[key] for key in ("engine", "synapses", "events", "delayed")} == {
        "engine": "x",
        "synapses": 3,
        "events": 3,
        "delayed": 2,
    }
    assert (sums["current_decay"], sums["voltage_decay"], sums["weight_exp"]) == (1024, 128, -1)
    before = expected.layers[0].u[0, 1, 0]
    first_v = 3 * 64 + 3 * 64
    assert before == 3 * 64 * 3 // 4 == 144 and expected.layers[0].v[0, 0, 0] == first_v
    second_v = first_v * 3968 // 4096 + 144 + 192
    assert sums["expected"] == {
        "total": 6 - 10 + 4,
        "a": 3 - 5 + 2,
        "u_before": 144,
        "u_decayed": 108,
        "activation": 0,
        "u_exact": 108,
        "u": 108,
        "v_before": second_v,
        "v_decayed": second_v * 3968 // 4096,
        "bias": 192,
        "v_exact": second_v * 3968 // 4096 + 108 + 192,
        "threshold": 20 * 64,
        "s": 0,
        "v": second_v * 3968 // 4096 + 108 + 192,
    }
    assert sums["actual"]["a"] == 5 and sums["actual"]["u"] == 108 + 320 and sums["actual"]["total"] is None
    assert sums["actual"]["v_exact"] == sums["expected"]["v_exact"] + 320


def test_an_unreachable_current_has_no_sum():
    net = IntNet((1,), (Dense(np.array([[2]], np.int32), neuron()),))
    expected = simulate(net, np.ones((1, 4, 1), np.uint8), states=True)
    u = expected.layers[0].u.copy()
    u[0, 2, 0] += 1
    found = compare(net, expected, replace(expected, layers=(replace(expected.layers[0], u=u),)))
    assert found.sums.actual["a"] is None and found.sums.actual["u_decayed"] == found.sums.expected.u_decayed


def test_where_only_spikes_are_recorded(build):
    net = replace(build.net(3), message_bits=0)
    expected = simulate(net, build.events(np.random.default_rng(0), net, 2, 6))
    spikes = expected.layers[0].spikes.copy()
    spikes[1, 3].flat[0] ^= 1
    found = compare(
        net, expected, replace(expected, layers=(replace(expected.layers[0], spikes=spikes), *expected.layers[1:]))
    )
    known = {key for key, value in found.sums.actual.items() if value is not None}
    assert known == {"bias", "threshold", "s"}
    assert found.sums.expected.s == found.first_difference.expected


@pytest.fixture
def graded(build):
    """Large events on large weights: u is corrected, v is clipped, and the sum of the convolution wraps."""
    random = np.random.default_rng(1)
    conv = build.conv(random, (2, 4, 5), 3, largest=250, decays=(0, 60), thresholds=(131000, 131072))
    net = IntNet((2, 4, 5), (conv, build.dense(random, conv.shape, 3)), message_bits=14)
    return net, build.events(random, net, 3, 12, activity=0.4)


@pytest.mark.parametrize(
    ("limit", "function", "name", "words"),
    [
        ("conv_sum", unlimited, "overflow", "the sum of weight * event does not wrap"),
        ("current", unlimited, "overflow", "u is not corrected by 2^24"),
        ("current", lambda u: (arithmetic.wrap24(u), 0), "overflow", "u wraps modulo 2^24"),
        ("current", lambda u: (np.clip(u, -TOP, TOP - 1), 0), "overflow", "u is clipped instead"),
        ("voltage", unlimited, "saturation", "v is not clipped"),
    ],
)
def test_limits(graded, limit, function, name, words):
    net, events = graded
    found = causes(net, simulate(net, events, states=True), wrong(net, events, **{limit: function}))
    assert list(found) == [name]
    assert words in found[name] and found[name].startswith("wrong has what follows if")


def test_no_limits_at_all(build):
    random = np.random.default_rng(2)
    weight = np.array([[250, 240], [-250, -240]], np.int32)
    net = IntNet((2,), (Dense(weight, neuron(10, 0)),), message_bits=12)
    events = build.events(random, net, 2, 30, activity=0.9)
    free = wrong(net, events, current=unlimited, voltage=unlimited)
    found = causes(net, simulate(net, events, states=True), free)
    assert list(found) == ["limits"] and "lava-dl's own neuron" in found["limits"]


def test_a_32_bit_wrap():
    net = IntNet((2,), (Dense(np.array([[200, 250]], np.int32), neuron()),), message_bits=20)
    events = np.full((1, 3, 2), (1 << 20) - 1, np.int32)
    found = causes(
        net,
        simulate(net, events, states=True),
        wrong(net, events, activation=unlimited, current=lambda u: (arithmetic.wrap_current(u)[0], 0)),
    )
    assert "32 bits" in found["overflow"]


def test_a_threshold_that_fires_where_v_equals_it():
    net = IntNet((1,), (Dense(np.array([[2]], np.int32), neuron(4096, 0, 4)),))
    events = np.ones((1, 8, 1), np.uint8)
    expected = simulate(net, events, states=True)
    inclusive = replace(net, layers=(replace(net.layers[0], neuron=neuron(4096, 0, 3)),))
    found = causes(net, expected, replace(simulate(inclusive, events, states=True), engine="x"))
    assert list(found) == ["threshold"] and "where both are 256" in found["threshold"]


def test_decays_that_round_down(build):
    net = IntNet((2,), (Dense(np.array([[2, -6]], np.int32), neuron(1000, 100)),))
    events = build.events(np.random.default_rng(0), net, 1, 9)
    down = wrong(net, events, decay=lambda state, fraction: state * (4096 - fraction) >> 12)
    assert list(causes(net, simulate(net, events, states=True), down)) == ["rounding"]


def test_delays(build):
    random = np.random.default_rng(4)
    layer = build.dense(random, (5,), 5, delays=4)
    by_output = replace(layer, delay=np.repeat(layer.delay[:, :1], 5, axis=1))
    events = build.events(random, IntNet((5,), (layer,)), 2, 12)
    for given_layer, other, words in (
        (layer, None, "delays of this layer are ignored"),
        (by_output, by_output.delay.T, "by input instead of by output"),
    ):
        net, changed = IntNet((5,), (given_layer,)), IntNet((5,), (replace(given_layer, delay=other),))
        found = causes(net, simulate(net, events, states=True), simulate(changed, events, states=True))
        assert list(found) == ["delay"] and words in found["delay"]


def test_bias_before_the_first_input(build):
    net = IntNet((2,), (Dense(np.array([[2, -4]], np.int32), neuron(bias=7, threshold=60)),))
    events = build.events(np.random.default_rng(0), net, 1, 9)
    longer = np.concatenate([np.zeros((1, 1, 2), np.uint8), events], axis=1)
    early = simulate(net, longer, states=True).layers[0]
    actual = replace(early, spikes=early.spikes[:, 1:], u=early.u[:, 1:], v=early.v[:, 1:])
    found = causes(net, simulate(net, events, states=True), SpikeTrace("x", events, (actual,)))
    assert list(found) == ["bias"] and "come in 1 time before the first input" in found["bias"]


@pytest.mark.parametrize("kind", ["dense", "delayed", "shifted", "conv"])
def test_one_bit_of_one_weight(build, kind):
    random = np.random.default_rng(6)
    if kind == "conv":
        layer: Dense | Conv = build.conv(random, (2, 4, 5), 2, groups=2, padding=(1, 0), thresholds=(50, 90))
        net = IntNet((2, 4, 5), (layer,))
    else:
        layer = build.dense(random, (12,), 3, delays=3 if kind == "delayed" else 0, thresholds=(50, 90))
        layer = replace(layer, weight_exp=-1 if kind == "shifted" else 0)
        net = IntNet((12,), (layer,))
    events = build.events(random, net, 3, 14)
    weight = layer.weight.copy()
    place = tuple(size - 1 for size in weight.shape)
    weight[place] ^= 8
    changed = replace(net, layers=(replace(layer, weight=weight),))
    found = causes(net, simulate(net, events, states=True), simulate(changed, events, states=True))
    assert list(found) == ["weight"]
    where = ", ".join(map(str, place))
    assert found["weight"].endswith(f"weight[{where}] is {weight[place]} instead of {layer.weight[place]}")


@pytest.mark.parametrize(("field", "bit"), [("current_decay", 5), ("voltage_decay", 3), ("threshold", 4)])
def test_one_bit_of_a_parameter(build, field, bit):
    random = np.random.default_rng(8)
    layer = build.dense(random, (12,), 1, thresholds=(90, 90), decays=(400, 900))
    net = IntNet((12,), (layer,))
    value = getattr(layer.neuron, field)
    changed = replace(net, layers=(replace(layer, neuron=replace(layer.neuron, **{field: value ^ (1 << bit)})),))
    events = build.events(random, net, 3, 40)
    found = causes(net, simulate(net, events, states=True), simulate(changed, events, states=True))
    assert f"its {field} is {value ^ (1 << bit)} instead of {value}" in found["parameter"]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32), quantity=st.sampled_from(["u", "v", "spikes"]), by=st.sampled_from([1, 64, -7]))
def test_any_difference_is_explained_or_not_but_reported(build, seed, quantity, by):
    random = np.random.default_rng(seed)
    net = build.net(seed)
    expected = simulate(net, build.events(random, net, 2, 4), states=True)
    k = int(random.integers(len(net.layers)))
    values = getattr(expected.layers[k], quantity).copy()
    values[tuple(int(random.integers(size)) for size in values.shape)] += 1 if quantity == "spikes" else by
    layers = list(expected.layers)
    layers[k] = replace(layers[k], **{quantity: values})
    found = compare(net, expected, replace(expected, layers=tuple(layers)))
    assert found.first_difference is not None and found.first_difference.layer == net.names[k]


def test_nothing_is_named_without_evidence(build):
    net = IntNet((4,), (build.dense(np.random.default_rng(0), (4,), 3),))
    expected = simulate(net, build.events(np.random.default_rng(1), net, 2, 9), states=True)
    v = expected.layers[0].v.copy()
    v[1, 4, 2] += 3
    assert causes(net, expected, replace(expected, layers=(replace(expected.layers[0], v=v),))) == {}


def test_an_expected_trace_that_is_wrong(graded):
    net, events = graded
    actual = replace(simulate(net, events, states=True), engine="right")
    found = causes(net, wrong(net, events, voltage=unlimited), actual)
    assert list(found) == ["expected", "saturation"]
    assert found["expected"] == "the definition has what right has: it is wrong that differs"


def test_the_sums_are_plain_data(graded):
    net, events = graded
    found = compare(net, simulate(net, events, states=True), wrong(net, events, voltage=unlimited))
    printed = found.to_json()
    assert json.loads(json.dumps(printed))["causes"] == [asdict(cause) for cause in found.causes]
    assert printed["sums"]["weight_exp"] is None
