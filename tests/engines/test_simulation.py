"""The fast engine equals the definition in every spike, state and count, whatever strategy runs a layer."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnkd import engines
from snnkd.base.errors import FormatError
from snnkd.engines.fast import products, simulation, strategy, threads
from snnkd.engines.fast.simulation import simulate
from snnkd.engines.reference import definition
from snnkd.ir.network import Conv, Cuba, Dense, Input, IntNet, conv_shape

MODES = ("chosen", "scatter", "patterns", "products")
FORCED = {"scatter": True, "patterns": False}


@pytest.fixture(params=MODES)
def mode(request, monkeypatch):
    force(monkeypatch, request.param)
    return request.param


def force(monkeypatch, mode):
    """Runs layers by one strategy where that can: events scattered, events as patterns, or matrix products."""
    if mode == "products":
        monkeypatch.setattr(strategy, "by_events", lambda *_: False)
    elif mode in FORCED:
        monkeypatch.setattr(strategy, "pays_to_scatter", lambda *_: FORCED[mode])


def assert_same(net, events, states=True):
    expected, found = definition.simulate(net, events, states), simulate(net, events, states)
    np.testing.assert_array_equal(found.input, expected.input)
    assert found.engine == "fast"
    for want, have in zip(expected.layers, found.layers, strict=True):
        for name in ("spikes", "v_last", "u", "v"):
            left, right = getattr(want, name), getattr(have, name)
            assert (left is None) == (right is None)
            if left is not None:
                assert left.dtype == right.dtype
                np.testing.assert_array_equal(left, right, err_msg=f"{want.name} {name}")
        assert (want.overflows, want.saturations) == (have.overflows, have.saturations), want.name
    return expected


def property_test(examples):
    return settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def convolutions(draw):
    """(network of one convolution and a dense layer behind it, seed) over everything that a convolution can have."""
    groups = draw(st.integers(1, 3))
    per_group, outputs = draw(st.integers(1, 9)), draw(st.integers(1, 18))
    kernel, stride, padding, dilation = (
        (draw(st.integers(low, high)), draw(st.integers(low, high))) for low, high in ((1, 4), (1, 4), (0, 4), (1, 3))
    )
    extent = [
        max(1, d * (k - 1) + 1 - 2 * p) + draw(st.integers(0, 6))
        for d, k, p in zip(dilation, kernel, padding, strict=True)
    ]
    seed = draw(st.integers(0, 1 << 32))
    random = np.random.default_rng(seed)
    shape, size = (groups * per_group, *extent), draw(st.sampled_from([3, 60, 254, 1000]))
    weight = random.integers(-size, size + 1, (groups * outputs, per_group, *kernel)).astype(np.int32)
    layer = Conv(weight, neuron(random, ()), (), stride, padding, dilation, groups)
    layer = replace(layer, shape=conv_shape(shape, layer))
    layer = replace(layer, neuron=neuron(random, layer.shape, draw(st.booleans()), draw(st.booleans())))
    behind = random.integers(-size, size + 1, (draw(st.integers(1, 20)), int(np.prod(layer.shape)))).astype(np.int32)
    return IntNet(shape, (layer, Dense(behind, neuron(random, behind.shape[:1])))), seed


def neuron(random, shape, vary=False, bias=False):
    def one(low, high):
        return random.integers(low, high, [(), shape[:1], shape][random.integers(3)] if vary else ()).astype(np.int32)

    decays = [(0, 4097), (0, 3), (4094, 4097)][random.integers(3)]
    return Cuba(one(*decays), one(*decays), one(0, 400), one(-200, 300) if bias else None)


def binary(net, seed, samples, steps, activity):
    events = np.random.default_rng(seed).random((samples, steps, *net.input_shape)) < activity
    return events.astype(np.uint8)


@property_test(25)
@given(seed=st.integers(0, 1 << 32), shared=st.booleans(), states=st.booleans())
def test_random_networks(build, mode, seed, shared, states):
    net = build.net(seed)
    events = build.events(np.random.default_rng(seed), net, 3, 7)
    assert_same(net, np.broadcast_to(events[:, :1], events.shape) if shared else events, states)


@property_test(30)
@given(case=convolutions(), steps=st.integers(1, 4), activity=st.sampled_from([0.05, 0.3, 1.0]))
def test_convolutions(mode, case, steps, activity):
    net, seed = case
    assert_same(net, binary(net, seed, 2, steps, activity))


@property_test(30)
@given(
    seed=st.integers(0, 1 << 32),
    inputs=st.integers(1, 70),
    outputs=st.integers(1, 40),
    exponent=st.sampled_from([0, 0, 1, -1, 3, -4, 15, -31, -40, 40, 63, 64, 70]),
    largest=st.sampled_from([5, 254, 4095, 4096, 1 << 20, (1 << 31) - 1]),
    delays=st.sampled_from([0, 0, 1, 5, 62]),
)
def test_dense_layers(mode, seed, inputs, outputs, exponent, largest, delays):
    random = np.random.default_rng(seed)
    weight = random.integers(-largest, largest, (outputs, inputs), endpoint=True).astype(np.int32)
    delay = random.integers(0, delays, weight.shape, endpoint=True).astype(np.int32) if delays else None
    layer = Dense(weight, neuron(random, (outputs,), vary=True, bias=True), exponent, delay)
    net = IntNet((inputs,), (layer,))
    assert_same(net, binary(net, seed, 2, int(random.integers(1, 40)), random.random()))


@property_test(20)
@given(
    seed=st.integers(0, 1 << 32),
    bits=st.sampled_from([1, 8, 16, 24, 31]),
    largest=st.sampled_from([60, 500, 1 << 15, 1 << 22, 1 << 26]),
)
def test_graded_input_and_sums_that_wrap(build, mode, seed, bits, largest):
    random = np.random.default_rng(seed)
    vary = {"vary": True, "bias": True, "thresholds": (0, 1 << 17)}
    first = build.conv(random, (2, 4, 3), 4, (3, 2), padding=(1, 0), groups=2, largest=largest, **vary)
    second = build.dense(random, first.shape, 3, largest=largest, decays=(0, 3), delays=int(random.integers(0, 4)))
    net = IntNet((2, 4, 3), (first, second), message_bits=bits)
    events = build.events(random, net, 2, 9, activity=0.8) * random.choice([-1, 1], (2, 9, 2, 4, 3))
    assert_same(net, events)


def test_every_count_is_reached(build):
    """Otherwise the tests above would prove nothing about wraps and clips."""
    random = np.random.default_rng(0)
    largest = 1 << 22
    first = build.conv(random, (2, 4, 3), 4, largest=largest, decays=(0, 3), padding=(1, 1))
    net = IntNet((2, 4, 3), (first, build.dense(random, first.shape, 3, largest=largest)), message_bits=24)
    expected = assert_same(net, build.events(random, net, 4, 9, activity=0.8))
    assert all(layer.overflows > 0 for layer in expected.layers)
    assert expected.layers[0].saturations > 0


@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_events_that_wrap_the_current(kind, mode):
    """Small weights and binary events, which the kernels add up, reach the correction of u and the clip of v too."""
    never = Cuba(*(np.array(x, np.int32) for x in (0, 0, 1 << 17)))
    weight = np.full((17, 600), 250, np.int32) * np.where(np.arange(17) % 2, 1, -1).astype(np.int32)[:, None]
    if kind == "dense":
        net = IntNet((600,), (Dense(weight, never),))
    else:
        net = IntNet((600, 1, 1), (Conv(weight[..., None, None], never, (17, 1, 1)),))
    expected = assert_same(net, np.ones((3, 5, *net.input_shape), np.uint8)).layers[0]
    assert expected.overflows > 0
    assert expected.saturations > 0


def test_large_layers_in_blocks(build, monkeypatch, mode):
    monkeypatch.setattr(simulation, "_BLOCK", 300)
    monkeypatch.setattr(products, "_COLUMNS", 500)
    random = np.random.default_rng(0)
    conv = build.conv(random, (2, 6, 5), 4, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2)
    net = IntNet((2, 6, 5), (conv, build.dense(random, conv.shape, 3, delays=4), build.dense(random, (3,), 30)))
    assert_same(net, build.events(random, net, 23, 4))


def test_many_steps(build, mode):
    random = np.random.default_rng(0)
    net = IntNet((20,), (build.dense(random, (20,), 5), build.dense(random, (5,), 4)))
    assert_same(net, build.events(random, net, 3, 133))


@pytest.mark.parametrize("cores", [1, 3])
def test_cores(build, monkeypatch, cores):
    monkeypatch.setattr(threads, "cores", lambda: cores)
    net = build.net(5)
    for samples in (1, 2, 40):
        assert_same(net, build.events(np.random.default_rng(1), net, samples, 5))


def test_input_layers_and_shapes(build):
    random = np.random.default_rng(0)
    image = Input((3, 4, 5), build.neuron(random, (3, 4, 5), vary=True))
    conv = build.conv(random, (3, 4, 5), 7, stride=(1, 2))
    net = IntNet((3, 4, 5), (image, conv))
    events = build.events(random, net, 4, 6)
    assert_same(net, events)
    assert_same(net, events.reshape(4, 6, 60))
    trace = simulate(net, events)
    assert trace.layers[1].spikes.shape == (4, 6, *conv.shape)
    assert trace.layers[0].u is None


def test_input_in_any_memory(build):
    random = np.random.default_rng(0)
    net = IntNet((2, 4, 5), (build.conv(random, (2, 4, 5), 3),))
    events = build.events(random, net, 4, 6)
    fortran = np.asfortranarray(events)
    locked = events.copy()
    locked.flags.writeable = False
    for same in (fortran, locked, events[::-1][::-1], events.astype(np.int64), events.astype(bool)):
        assert_same(net, same)


def test_unusable_input_is_refused_as_by_the_definition():
    layer = Dense(np.full((1, 3), (1 << 31) - 1, np.int32), neuron(np.random.default_rng(0), (1,)))
    net = IntNet((3,), (layer,), message_bits=31)
    for events in (np.zeros((1, 2, 4), int), np.zeros((1, 2, 3)), np.full((1, 2, 3), 1 << 40)):
        messages = []
        for engine in (definition.simulate, simulate):
            with pytest.raises(FormatError) as error:
                engine(net, events)
            messages.append(str(error.value))
        assert messages[0] == messages[1]


def test_it_is_an_engine(build):
    engine = engines.get("fast")
    assert engine.available() is None
    net = build.net(1)
    assert engine.run(net, build.events(np.random.default_rng(0), net, 2, 3), True).engine == "fast"


def test_activity_decides(build):
    random = np.random.default_rng(0)
    layer = build.conv(random, (2, 28, 28), 16, (5, 5), stride=(2, 2))
    for activity, scatters in ((0.005, True), (0.9, False)):
        events = (random.random((20, 4, 2, 28, 28)) < activity).astype(np.uint8)
        assert strategy.pays_to_scatter(layer, events) == scatters
