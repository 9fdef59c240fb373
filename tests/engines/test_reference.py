"""The definition against a second writing of it, one neuron at a time in Python's own integers."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import snnkd.engines.reference.definition
from snnkd.base.errors import FormatError
from snnkd.engines.reference.definition import simulate
from snnkd.ir.events import check_input
from snnkd.ir.network import Conv, Cuba, Dense, Input, IntNet, per_neuron
from snnkd.ir.readout import Readout

TOP = 1 << 23


def neuron(current=4096, voltage=4096, threshold=1 << 17, bias=None):
    return Cuba(*(None if x is None else np.array(x, np.int32) for x in (current, voltage, threshold, bias)))


def single(weight=1, weight_exp=0, bits=24, delay=None, **parameters):
    """One input, one neuron: u and v follow the input directly."""
    layer = Dense(
        np.array([[weight]], np.int32),
        neuron(**parameters),
        weight_exp,
        None if delay is None else np.array([[delay]], np.int32),
    )
    return IntNet((1,), (layer,), message_bits=bits)


def run(net, values):
    trace = simulate(net, np.array(values, np.int32).reshape(1, -1, 1), states=True).layers[0]
    return trace.u[0, :, 0].tolist(), trace.v[0, :, 0].tolist(), trace.spikes[0, :, 0].tolist(), trace


def wrapped(value, bits):
    return (value + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)


def towards_zero(numerator, denominator):
    return abs(numerator) // denominator * (1 if numerator >= 0 else -1)


def connections(layer, shape, index):
    """(position in the input, weight, delay) of each synapse of one neuron."""
    if isinstance(layer, Dense):
        for i, position in enumerate(np.ndindex(*shape)):
            yield position, int(layer.weight[index[0], i]), 0 if layer.delay is None else int(layer.delay[index[0], i])
        return
    o, y, x = index
    per_group = layer.weight.shape[1]
    for c, i, j in product(*map(range, layer.weight.shape[1:])):
        row = y * layer.stride[0] - layer.padding[0] + i * layer.dilation[0]
        column = x * layer.stride[1] - layer.padding[1] + j * layer.dilation[1]
        if 0 <= row < shape[1] and 0 <= column < shape[2]:
            channel = o // (layer.weight.shape[0] // layer.groups) * per_group + c
            yield (channel, row, column), int(layer.weight[o, c, i, j]), 0


def neuron_by_hand(layer, shape, index, events):
    """(s, u, v, overflows, saturations) of one neuron on events (T, *shape)."""
    synapses = [] if isinstance(layer, Input) else list(connections(layer, shape, index))
    values = {}
    for name in ("current_decay", "voltage_decay", "threshold", "bias"):
        value = getattr(layer.neuron, name)
        found = 0 if value is None else np.broadcast_to(per_neuron(value, layer.shape), layer.shape)[index]
        values[name] = int(found)
    if isinstance(layer, Input):
        values["bias"] = wrapped(int(events[0][index]), 16)
    u = v = overflows = saturations = 0
    history = []
    for t in range(len(events)):
        a = sum(weight * int(events[t - wait][position]) for position, weight, wait in synapses if t >= wait)
        if isinstance(layer, Conv):
            overflows += wrapped(a, 24) != a
            a = wrapped(a, 24)
        activation = wrapped(a * 64, 32)
        overflows += activation != a * 64
        total = towards_zero(u * (4096 - values["current_decay"]), 4096) + activation
        overflows += wrapped(total, 32) != total
        u = wrapped(total, 32)
        if u > TOP or u <= -TOP:
            overflows += 1
            u += -2 * TOP if u > TOP else 2 * TOP
        exact = towards_zero(v * (4096 - values["voltage_decay"]), 4096) + u + values["bias"] * 64
        v = max(1 - TOP, min(TOP - 1, exact))
        saturations += v != exact
        s = int(v > values["threshold"] * 64)
        v = 0 if s else v
        history.append((s, u, v))
    return history, overflows, saturations


def assert_equals_definition(net, spikes):
    trace = simulate(net, spikes, states=True)
    events = spikes
    for (_, shape, layer), seen in zip(net.inputs(), trace.layers, strict=True):
        overflows = saturations = 0
        for n in range(len(spikes)):
            for index in np.ndindex(*layer.shape):
                history, wraps, clips = neuron_by_hand(layer, shape, index, events[n])
                found = [(int(a[n, t][index])) for t in range(spikes.shape[1]) for a in (seen.spikes, seen.u, seen.v)]
                assert found == [value for step in history for value in step]
                overflows += wraps
                saturations += clips
        assert (seen.overflows, seen.saturations) == (overflows, saturations)
        np.testing.assert_array_equal(seen.v_last, seen.v[:, -1])
        events = seen.spikes
    return trace


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_random_networks(build, seed):
    net = build.net(seed)
    assert_equals_definition(net, build.events(np.random.default_rng(seed), net, 2, 7))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1 << 32), bits=st.sampled_from([8, 16, 24]))
def test_random_networks_out_of_range(build, seed, bits):
    random = np.random.default_rng(seed)
    first = build.conv(random, (2, 4, 3), 3, (3, 2), padding=(1, 0), largest=500, vary=True, thresholds=(0, 1 << 17))
    second = build.dense(random, first.shape, 3, largest=500, decays=(0, 3), bias=True, delays=3)
    net = IntNet((2, 4, 3), (first, second), message_bits=bits)
    assert_equals_definition(net, build.events(random, net, 2, 9, activity=0.8))


def test_the_random_networks_reach_every_corner(build):
    nets = [build.net(seed) for seed in range(60)]
    kinds = {type(layer) for net in nets for layer in net.layers}
    assert kinds == {Input, Dense, Conv}
    assert {net.message_bits for net in nets} == {0, 4, 14}
    delayed = [layer for net in nets for layer in net.layers if isinstance(layer, Dense) and layer.delay is not None]
    assert delayed
    assert any(net.has_bias for net in nets)


def test_decay_rounds_towards_zero():
    u, _, _, _ = run(single(current=1), [1, 0, -2, 0])
    assert u == [64, 63, -128 + 62, -65]
    _, v, _, _ = run(single(voltage=4095), [-65, 0])
    assert v == [-65 * 64, -1]  # 65 * 64 / 4096 is 1.02


def test_current_is_corrected_once_and_2_23_stays():
    edge = TOP // 64
    u, _, _, trace = run(single(), [edge, -edge, edge + 1, -edge - 1, 3 * edge, 5 * edge])
    assert u == [TOP, TOP, 64 - TOP, TOP - 64, TOP, 3 * TOP]
    assert trace.overflows == 5


def test_activation_wraps_in_32_bits():
    # 192 * 2^24 << 6 is 3 * 2^36 = 0 in 32 bits; 2^25 << 6 is -2^31
    u, _, _, trace = run(single(weight=192), [(1 << 24) - 1, 0])
    assert u[0] == wrapped(192 * ((1 << 24) - 1) * 64, 32)
    assert trace.overflows == 1
    u, _, _, trace = run(single(weight=2), [1 << 23 | 1 << 22])
    assert trace.overflows == 1  # the correction only
    layer = replace(single().layers[0], weight=np.array([[64]], np.int32))
    u, _, _, trace = run(IntNet((1,), (layer,), message_bits=24), [1 << 19])
    assert (u[0], trace.overflows) == (2 * TOP - (1 << 31), 2)


def test_voltage_saturates():
    _, v, _, trace = run(single(voltage=0), [1 << 16, 1 << 16, 1 << 16, -(1 << 16)])
    assert v == [TOP // 2, TOP - 1, TOP - 1, TOP - 1 - TOP // 2]
    assert trace.saturations == 2
    _, v, _, trace = run(single(voltage=0), [-(1 << 16)] * 3)
    assert v == [-TOP // 2, 1 - TOP, 1 - TOP]


def test_threshold_is_exclusive_and_resets():
    _, v, s, _ = run(single(threshold=10, voltage=0), [10, 1, 5])
    assert (s, v) == ([0, 1, 0], [640, 0, 320])


def test_weight_exponent_shifts_the_sum():
    net = IntNet((2,), (Dense(np.array([[3, 4]], np.int32), neuron(), -1),))
    trace = simulate(net, np.array([[[1, 0], [0, 1], [1, 1]]], np.uint8), states=True).layers[0]
    assert trace.u[0, :, 0].tolist() == [64, 128, 3 * 64]
    u, _, _, _ = run(single(weight=-3, weight_exp=-1, bits=4), [1])
    assert u == [-128]  # an arithmetic shift rounds down
    u, _, _, _ = run(single(weight=3, weight_exp=2, bits=4), [1])
    assert u == [12 * 64]


def test_delayed_events_arrive_later_or_never():
    u, _, _, _ = run(single(delay=2), [5, 0, 0, 7, 9])
    assert u == [0, 0, 5 * 64, 0, 0]
    u, _, _, _ = run(single(delay=62), [5, 1])
    assert u == [0, 0]


def test_delayed_synapses_shift_on_their_own():
    layer = Dense(np.array([[1, 1]], np.int32), neuron(), -1, np.array([[0, 1]], np.int32))
    trace = simulate(IntNet((2,), (layer,)), np.array([[[0, 1], [1, 0]]], np.uint8), states=True).layers[0]
    assert trace.u[0, :, 0].tolist() == [0, 0]  # each (1 >> 1), not (1 + 1) >> 1


def test_bias_comes_in_at_every_step_of_every_layer():
    layers = tuple(Dense(np.array([[2]], np.int32), neuron(voltage=0, bias=3)) for _ in range(2))
    trace = simulate(IntNet((1,), layers), np.zeros((1, 3, 1), np.uint8), states=True)
    for seen in trace.layers:
        assert seen.v[0, :, 0].tolist() == [192, 384, 576]


def test_input_neurons_take_the_image_in_16_bits():
    net = IntNet((2,), (Input((2,), neuron(voltage=0, threshold=1000)),))
    trace = simulate(net, np.broadcast_to(np.array([[[300, 65536 + 7]]]), (1, 4, 2)), states=True).layers[0]
    assert trace.v[0, :, 0].tolist() == [300 * 64, 600 * 64, 900 * 64, 0]
    assert trace.v[0, :, 1].tolist() == [7 * 64 * t for t in (1, 2, 3, 4)]


def test_input_of_input_neurons_must_stay_the_same():
    net = IntNet((2,), (Input((2,), neuron()),))
    with pytest.raises(FormatError, match="all time steps must be the same"):
        simulate(net, np.arange(8).reshape(1, 4, 2))


def test_samples_do_not_see_each_other(build):
    random = np.random.default_rng(1)
    net = build.net(3)
    events = build.events(random, net, 5, 9)
    together = simulate(net, events, states=True)
    for n in range(5):
        alone = simulate(net, events[n : n + 1], states=True)
        for one, other in zip(alone.layers, together.layers, strict=True):
            np.testing.assert_array_equal(one.v[0], other.v[n])


@pytest.mark.parametrize("seed", range(6))
def test_shared_time_steps_give_the_same_as_copies(build, seed):
    net = build.net(seed)
    shared = np.broadcast_to(build.events(np.random.default_rng(seed), net, 3, 1), (3, 8, *net.input_shape))
    one, other = simulate(net, shared, states=True), simulate(net, shared.copy(), states=True)
    for a, b in zip(one.layers, other.layers, strict=True):
        np.testing.assert_array_equal(a.u, b.u)
        assert (a.overflows, a.saturations) == (b.overflows, b.saturations)


def test_convolutions_in_blocks(build, monkeypatch):
    random = np.random.default_rng(0)
    layer = build.conv(random, (2, 6, 5), 4, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2)
    net = IntNet((2, 6, 5), (layer,))
    events = build.events(random, net, 7, 4)
    whole = simulate(net, events, states=True).layers[0]
    monkeypatch.setattr(snnkd.engines.reference.definition, "_COLUMNS", 500)
    np.testing.assert_array_equal(simulate(net, events, states=True).layers[0].u, whole.u)


def test_readout_of_a_trace():
    trace = simulate(single(threshold=10, voltage=0, bits=8), np.array([[[11], [3], [11]]]))
    assert trace.counts.tolist() == [[2]]
    assert trace.layers[0].v_last.tolist() == [[0]]
    assert trace.classes(replace(single(), readout=Readout(ties="membrane"))).tolist() == [0]


class TestCheckInput:
    net = IntNet((1, 2, 3), (Dense(np.ones((2, 6), np.int32), neuron()),))
    flat = IntNet((6,), net.layers)

    def test_uint8_is_not_copied(self):
        spikes = np.zeros((4, 5, 1, 2, 3), np.uint8)
        for given_form in (spikes, spikes.reshape(4, 5, 6)):
            for net in (self.net, self.flat):
                found = check_input(net, given_form)
                assert found.shape == (4, 5, *net.input_shape)
                assert np.shares_memory(found, spikes)

    def test_shared_steps_stay_shared(self):
        image = np.arange(24, dtype=np.int64).reshape(4, 1, 6) % 2
        found = check_input(self.net, np.broadcast_to(image, (4, 9, 6)))
        assert found.shape == (4, 9, 1, 2, 3)
        assert found.strides[1] == 0

    def test_other_integers(self):
        assert check_input(self.net, np.ones((1, 1, 6), bool)).dtype == np.uint8
        assert check_input(self.net, np.ones((1, 1, 6), np.int64)).dtype == np.uint8
        graded = replace(self.net, message_bits=9)
        assert check_input(graded, np.full((1, 1, 6), -511)).dtype == np.int32
        assert check_input(graded, np.full((1, 1, 6), 255, np.uint8)).dtype == np.uint8

    @pytest.mark.parametrize(
        ("spikes", "expected"),
        [
            (np.zeros((1, 2, 6)), "integers of shape .*, found float64"),
            (np.zeros((1, 2, 7), int), r"shape \(N, T, 1, 2, 3\) or \(N, T, 6\), found int64 \(1, 2, 7\)"),
            (np.zeros((1, 2, 1, 3, 2), int), r"found int64 \(1, 2, 1, 3, 2\)"),
            (np.zeros((2, 6), int), r"found int64 \(2, 6\)"),
            (np.zeros((0, 2, 6), int), r"found int64 \(0, 2, 6\)"),
            (np.full((1, 2, 6), 2), r"events 0 or 1 .* found values 2 to 2"),
            (np.full((1, 2, 6), -1), "found values -1 to -1"),
            (np.full((1, 2, 6), 1 << 62), "found values"),
        ],
    )
    def test_refused(self, spikes, expected):
        with pytest.raises(FormatError, match=expected):
            simulate(self.net, spikes)

    def test_graded_range(self):
        with pytest.raises(FormatError, match=r"graded events of 4 bits, in \[-15, 15\], found values 0 to 16"):
            check_input(replace(self.net, message_bits=4), np.array([[[0, 16, 0, 0, 0, 0]]]))
