"""Would `verify` find it? One bit flipped in one engine's copy of a network: exactly that layer is named, with the
first step at which it can show.

For each pair of engines, both ways, and each kind of layer. Lava runs start two at a time, once.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest

from snnkd.analysis.verification import compare
from snnkd.base.errors import MismatchError
from snnkd.engines import get
from snnkd.engines.reference.definition import run
from snnkd.engines.reference.rules import Rules
from snnkd.formats.netx.weights import convert
from snnkd.ir.network import Conv, Delta, Dense, Input, IntNet, Sigma, SigmaDelta

STEPS = 14
SLOW_DECAYS = {"decays": (200, 700), "thresholds": (60, 60)}
PAIRS = [
    pytest.param(*pair, marks=[pytest.mark.lava] if "lava" in pair else [], id="-".join(pair))
    for pair in permutations(("reference", "fast", "lava"), 2)
]


def dense_net(build, random):
    """Dense first; with delays in the middle; with a weight exponent, which inhibitory weights can have, last."""
    layers = [
        build.dense(random, (16,), 14, **SLOW_DECAYS),
        build.dense(random, (14,), 12, delays=3, **SLOW_DECAYS),
    ]
    weight, exponent, *_ = convert(random.integers(-16, 1, (6, 12)))
    assert exponent == -1
    layers.append(Dense(weight.astype(np.int32), build.neuron(random, **SLOW_DECAYS), exponent))
    return IntNet((16,), tuple(layers))


def conv_net(build, random):
    """Strides and padding first; groups and dilation in the middle; dense last."""
    first = build.conv(random, (2, 8, 7), 4, (3, 2), stride=(2, 1), padding=(1, 0), **SLOW_DECAYS)
    second = build.conv(random, first.shape, 4, (2, 3), groups=2, dilation=(1, 2), **SLOW_DECAYS)
    return IntNet((2, 8, 7), (first, second, build.dense(random, second.shape, 5, **SLOW_DECAYS)))


def delayed_net(build, random):
    """Delays first."""
    first = build.dense(random, (16,), 12, delays=4, **SLOW_DECAYS)
    return IntNet((16,), (first, build.dense(random, (12,), 6, **SLOW_DECAYS)))


def convs_net(build, random):
    """Groups first, strides last."""
    first = build.conv(random, (2, 7, 6), 4, groups=2, **SLOW_DECAYS)
    return IntNet((2, 7, 6), (first, build.conv(random, first.shape, 3, stride=(1, 2), padding=(1, 1), **SLOW_DECAYS)))


def messages_net(build, random):
    """Sigma-delta neurons: Delta encoders, a convolution with strides, dense ones with a threshold, a Sigma output."""
    conv = build.conv(random, (2, 7, 6), 3, stride=(2, 1), padding=(1, 0))
    layers = (
        Input((2, 7, 6), Delta(2)),
        replace(conv, neuron=SigmaDelta(0, np.array([3, -4, 5], np.int32))),
        replace(build.dense(random, conv.shape, 8), neuron=SigmaDelta(6, np.array(2, np.int32))),
        replace(build.dense(random, (8,), 4), neuron=Sigma()),
    )
    return IntNet((2, 7, 6), layers)


# How many samples: with delays, Lava runs each in a network of its own.
NETS = {"dense": (dense_net, 1), "conv": (conv_net, 3), "delays": (delayed_net, 1), "convs": (convs_net, 3)}
NETS |= {"messages": (messages_net, 2)}
FLIPS = [("dense", 0), ("dense", 1), ("dense", 2), ("conv", 0), ("conv", 1), ("conv", 2)]
FLIPS += [("delays", 0), ("convs", 0), ("convs", 1)]
FLIPS += [("messages", 1), ("messages", 2), ("messages", 3)]


def arrivals(layer, place, events):
    """(sample, step, neuron) at which an event comes through the synapse weight[place], one event after the other.

    events: (N, T, *shape) of what the layer reads.
    """
    for n, t, *source in np.argwhere(events):
        if isinstance(layer, Dense):
            delay = 0 if layer.delay is None else int(layer.delay[place])
            inputs = int(np.ravel_multi_index(source, events.shape[2:]))
            if inputs == place[1] and t + delay < STEPS:
                yield int(n), int(t) + delay, [int(place[0])]
            continue
        output, channel, i, j = place
        group = output // (layer.shape[0] // layer.groups)
        if source[0] != group * layer.weight.shape[1] + channel:
            continue
        for y, x in product(*map(range, layer.shape[1:])):
            row = y * layer.stride[0] - layer.padding[0] + i * layer.dilation[0]
            column = x * layer.stride[1] - layer.padding[1] + j * layer.dilation[1]
            if [row, column] == source[1:]:
                yield int(n), int(t), [output, y, x]


def flipped(layer, events):
    """(the layer with one bit of one weight flipped, the weight's place, first (step, sample, neuron) that it reaches).

    Of all synapses that Lava's conversion would keep it in, the one that shows latest.
    """
    options = []
    for place in np.ndindex(*layer.weight.shape):
        if isinstance(layer, Dense) and layer.weight_exp and not -31 < layer.weight[place] < 0:
            continue
        if first := min(((t, n, neuron) for n, t, neuron in arrivals(layer, place, events)), default=None):
            options.append((first, place))
    first, place = max(options)
    weight = layer.weight.copy()
    weight[place] ^= 4
    return replace(layer, weight=weight), place, first


def with_layer(net, k, layer):
    return replace(net, layers=(*net.layers[:k], layer, *net.layers[k + 1 :]))


@pytest.fixture(scope="module")
def cases(build):
    """By name: (network, events); by (name, layer): (the copy with a flipped bit, place, first)."""
    found = {}
    for name, (make, samples) in NETS.items():
        random = np.random.default_rng(11)
        net = make(build, random)
        events = build.events(random, net, samples, STEPS, activity=0.12)
        events[:, :2] = 0  # so that no first step is the very first
        found[name] = net, events
        trace = get("reference").run(net, events)
        for k in (k for other, k in FLIPS if other == name):
            layer, place, first = flipped(net.layers[k], events if k == 0 else trace.layers[k - 1].spikes)
            found[name, k] = with_layer(net, k, layer), place, first
    return found


@pytest.fixture(scope="module")
def traces(cases):
    """A function from (engine, key of `cases`) to its trace. Each engine runs all of them, when it is first asked."""
    jobs = {}
    with ThreadPoolExecutor(2) as pool:

        def trace(engine, key):
            for other in cases if (engine, key) not in jobs else ():
                events = cases[other if isinstance(other, str) else other[0]][1]
                jobs[engine, other] = pool.submit(get(engine).run, cases[other][0], events, True)
            return jobs[engine, key].result()

        yield trace


@pytest.mark.parametrize(("engine", "other"), PAIRS)
@pytest.mark.parametrize(("name", "k"), FLIPS, ids=[f"{name}-layer{k}" for name, k in FLIPS])
def test_a_flipped_weight_bit_is_found(cases, traces, engine, other, name, k):
    net, _ = cases[name]
    copy, place, (step, sample, neuron) = cases[name, k]
    found = compare(net, traces(engine, name), traces(other, (name, k)))
    first = found.first_difference
    assert (first.layer, first.quantity, first.step, first.sample, first.neuron) == (
        f"layer{k}",
        net.layers[k].neuron.states[0],
        step,
        sample,
        neuron,
    )
    assert all(found.differences[earlier] == 0 for earlier in net.names[:k])
    assert found.differences[f"layer{k}"] > 0
    cause = {one.name: one.text for one in found.causes}["weight"]
    assert f"weight[{', '.join(map(str, place))}] is {copy.layers[k].weight[place]}" in cause
    assert found.sums.engine == other


@pytest.mark.parametrize(("engine", "other"), PAIRS)
@pytest.mark.parametrize("name", NETS)
def test_unchanged_copies_are_equal(cases, traces, engine, other, name):
    assert compare(cases[name][0], traces(engine, name), traces(other, name)).equal


def test_the_flips_cover_every_kind_of_layer(cases):
    layers = [cases[name][0].layers[k] for name, k in FLIPS]
    dense = [layer for layer in layers if isinstance(layer, Dense)]
    convs = [layer for layer in layers if isinstance(layer, Conv)]
    assert {(layer.delay is not None, layer.weight_exp != 0) for layer in dense} == {
        (False, False),
        (True, False),
        (False, True),
    }
    assert any(layer.groups > 1 for layer in convs) and any(layer.stride != (1, 1) for layer in convs)


@pytest.mark.parametrize(("field", "quantity"), [("current_decay", "u"), ("voltage_decay", "v"), ("threshold", "v")])
@pytest.mark.parametrize("k", range(3))
def test_a_flipped_parameter_bit_is_found(cases, field, quantity, k):
    """A threshold shows first in v, which a spike resets."""
    net, events = cases["conv"]
    layer = net.layers[k]
    neuron = replace(layer.neuron, **{field: getattr(layer.neuron, field) ^ 32})
    expected = get("reference").run(net, events, True)
    actual = get("fast").run(with_layer(net, k, replace(layer, neuron=neuron)), events, True)
    found = compare(net, expected, actual)
    first = found.first_difference
    assert (first.layer, first.quantity) == (f"layer{k}", quantity)
    assert all(found.differences[earlier] == 0 for earlier in net.names[:k])
    one, two = expected.layers[k], actual.layers[k]
    before = slice(0, first.step)
    for left, right in ((one.spikes, two.spikes), (one.u, two.u), (one.v, two.v)):
        np.testing.assert_array_equal(left[:, before], right[:, before])
    assert f"its {field} is {int(getattr(neuron, field))} instead" in found.causes[0].text


def test_a_flipped_input_event_is_another_input(cases):
    net, events = cases["conv"]
    changed = events.copy()
    changed[1, 3].flat[7] ^= 1
    with pytest.raises(MismatchError, match="inputs differ"):
        compare(net, get("reference").run(net, events), get("fast").run(net, changed))


@pytest.mark.parametrize(
    ("k", "field", "value", "quantity"),
    [(2, "threshold", 7, "s"), (1, "bias", np.array([3, -4, 4], np.int32), "act")],
)
def test_a_changed_parameter_of_sigma_delta_neurons_is_found(cases, k, field, value, quantity):
    net, events = cases["messages"]
    layer = net.layers[k]
    copy = with_layer(net, k, replace(layer, neuron=replace(layer.neuron, **{field: value})))
    found = compare(net, get("reference").run(net, events, True), get("fast").run(copy, events, True))
    first = found.first_difference
    assert (first.layer, first.quantity) == (f"layer{k}", quantity)
    assert field in {one.name: one.text for one in found.causes}["parameter"]
    assert found.to_json()["sums"]["expected"]["s"] == found.sums.expected.s


@pytest.mark.parametrize(
    ("rules", "name"),
    [
        (Rules(sends=np.greater), "threshold"),
        (Rules(scale=lambda s, bits: np.sign(s) * (np.abs(s) >> bits)), "rounding"),
    ],
)
def test_an_engine_with_another_rule_for_messages_is_found(cases, rules, name):
    net, events = cases["messages"]
    changed = run(net, events, [rules] * len(net.layers), states=True)
    found = compare(net, get("reference").run(net, events, True), changed)
    assert [cause.name for cause in found.causes] == [name]
