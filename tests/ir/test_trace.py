"""Counts of a trace against a count that walks over every event and every connection."""

from dataclasses import replace
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkd.base.errors import FormatError
from snnkd.ir import describe
from snnkd.ir.network import Conv, Cuba, Dense, Input, IntNet, conv_shape
from snnkd.ir.readout import Readout
from snnkd.ir.trace import LayerCount, LayerTrace, SpikeTrace, count, fan_out

NEURON = Cuba(*(np.array(value, np.int32) for value in (1024, 128, 80)))


def weights(rng, *shape):
    """Half of them 0."""
    return (rng.integers(-3, 4, shape) * rng.integers(0, 2, shape)).astype(np.int32)


def conv(rng, shape, out, kernel=(3, 3), groups=1, **options):
    layer = Conv(weights(rng, out, shape[0] // groups, *kernel), NEURON, (), groups=groups, **options)
    return replace(layer, shape=conv_shape(shape, layer))


def trace_of(rng, net, samples, steps, levels=2):
    spikes = [rng.integers(0, 2, (samples, steps, *layer.shape), dtype=np.uint8) for layer in net.layers]
    events = rng.integers(0, levels, (samples, steps, *net.input_shape)).astype(np.int32)
    layers = tuple(LayerTrace(name, seen) for name, seen in zip(net.names, spikes, strict=True))
    return SpikeTrace("random", events, layers)


def connections(layer, shape):
    """(index of the input, weight) of each connection into `layer`, straight from the definition."""
    if isinstance(layer, Dense):
        for o, i in np.ndindex(*layer.weight.shape):
            yield np.unravel_index(i, shape), layer.weight[o, i]
        return
    out, per_group, height, width = layer.weight.shape
    for o, row, column in np.ndindex(*layer.shape):
        for c, i, j in np.ndindex(per_group, height, width):
            y = row * layer.stride[0] - layer.padding[0] + i * layer.dilation[0]
            x = column * layer.stride[1] - layer.padding[1] + j * layer.dilation[1]
            if 0 <= y < shape[1] and 0 <= x < shape[2]:
                yield (o // (out // layer.groups) * per_group + c, y, x), layer.weight[o, c, i, j]


def brute_force(layer, shape, events):
    """Synops and effective synops: a loop over events, and for each over connections."""
    reads = [(tuple(map(int, index)), weight) for index, weight in connections(layer, shape)]
    synops = effective = 0
    for event in np.argwhere(events.reshape(-1, *shape)):
        read = [weight for index, weight in reads if index == tuple(event[1:])]
        synops += len(read)
        effective += sum(weight != 0 for weight in read)
    return synops, effective


def assert_counts(net, trace):
    rows = count(net, trace)
    events = trace.input
    assert rows[0] == LayerCount("input", "input", prod(net.input_shape), np.count_nonzero(events), 0, 0, 0)
    for row, (name, shape, layer), seen in zip(rows[1:], net.inputs(), trace.layers, strict=True):
        neurons = prod(layer.shape)
        updates = neurons * trace.samples * trace.steps
        expected = (name, neurons, int(seen.spikes.sum()), *brute_force(layer, shape, events), updates)
        assert (row.name, row.neurons, row.spikes, row.synops, row.synops_effective, row.updates) == expected
        events = seen.spikes


CONVOLUTIONS = {
    "plain": {},
    "kernel of 1 x 2": {"kernel": (1, 2)},
    "stride": {"stride": (2, 3)},
    "stride that leaves inputs unread": {"stride": (4, 4), "kernel": (2, 2)},
    "padding": {"padding": (1, 2)},
    "padding beyond the kernel": {"padding": (3, 0)},
    "dilation": {"dilation": (2, 1), "padding": (1, 1)},
    "groups": {"groups": 2},
    "depthwise": {"groups": 4, "out": 4},
    "all": {"groups": 2, "stride": (2, 1), "padding": (2, 1), "dilation": (1, 2)},
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_counts_each_connection_of_each_event(name):
    rng = np.random.default_rng(1)
    options = {"out": 2, **CONVOLUTIONS[name]}
    layer = conv(rng, (4, 6, 7), **options)
    net = IntNet((4, 6, 7), (layer, Dense(weights(rng, 3, prod(layer.shape)), NEURON)))
    assert_counts(net, trace_of(rng, net, samples=1, steps=2))


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(1, 2), st.integers(3, 6), st.integers(3, 6)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.sampled_from([1, 2]),
)
def test_fan_out_of_any_convolution(size, kernel, stride, padding, groups):
    shape = (size[0] * groups, *size[1:])
    layer = conv(np.random.default_rng(0), shape, 2, kernel, groups, stride=stride, padding=padding)
    every, effective = np.zeros(shape, int), np.zeros(shape, int)
    for index, weight in connections(layer, shape):
        every[index] += 1
        effective[index] += weight != 0
    found = fan_out(layer, shape)
    assert np.array_equal(found[0], every)
    assert np.array_equal(found[1], effective)


def test_dense_layers_and_graded_events():
    rng = np.random.default_rng(2)
    net = IntNet((2, 3, 2), (Dense(weights(rng, 5, 12), NEURON), Dense(weights(rng, 4, 5), NEURON)), message_bits=4)
    assert_counts(net, trace_of(rng, net, samples=3, steps=4, levels=16))


def test_negative_graded_events_are_events():
    net = IntNet((2,), (Dense(np.array([[2, 0]], np.int32), NEURON),), message_bits=4)
    events = np.array([[[-3, 5]]], np.int32)
    row = count(net, SpikeTrace("made", events, (LayerTrace("layer0", np.zeros((1, 1, 1), np.uint8)),)))[1]
    assert (row.synops, row.synops_effective) == (2, 1)


def test_an_input_layer_with_neurons_has_updates_but_no_synops():
    rng = np.random.default_rng(3)
    net = IntNet((1, 2, 2), (Input((1, 2, 2), NEURON), Dense(weights(rng, 3, 4), NEURON)))
    trace = trace_of(rng, net, samples=2, steps=3)
    first = count(net, trace)[1]
    assert (first.kind, first.synops, first.updates) == ("input", 0, 4 * 2 * 3)
    assert first.spikes == trace.layers[0].spikes.sum()


def test_totals_of_blocks_add_up_to_the_whole():
    rng = np.random.default_rng(4)
    net = IntNet((2, 5, 5), (conv(rng, (2, 5, 5), 3), Dense(weights(rng, 4, 27), NEURON)))
    whole = trace_of(rng, net, samples=5, steps=3)

    def block(part):
        layers = tuple(LayerTrace(layer.name, layer.spikes[part]) for layer in whole.layers)
        return count(net, SpikeTrace("part", whole.input[part], layers))

    parts = [a + b for a, b in zip(block(slice(0, 2)), block(slice(2, 5)), strict=True)]
    assert parts == count(net, whole)


def test_classes_break_ties_as_the_readout_says():
    spikes = np.array([[[1, 1, 0]], [[0, 1, 1]]], np.uint8)  # N = 2, T = 1, 3 classes
    v = np.array([[5, 9, 20], [0, -4, -2]], np.int32)
    weight = np.ones((3, 1), np.int32)
    trace = SpikeTrace("made", np.ones((2, 1, 1), np.uint8), (LayerTrace("layer0", spikes, v),))
    first = IntNet((1,), (Dense(weight, NEURON),))
    membrane = IntNet((1,), (Dense(weight, NEURON),), readout=Readout(ties="membrane"))
    assert trace.classes(first).tolist() == [0, 1]
    assert trace.classes(membrane).tolist() == [1, 2]
    without = SpikeTrace("made", trace.input, (LayerTrace("layer0", spikes),))
    with pytest.raises(FormatError, match="needs the output neurons' v"):
        without.classes(membrane)


def test_classes_of_the_highest_membrane():
    """Whatever spikes there are; the first of equals; of populations, the highest sum."""
    v = np.array([[5, 9, 9, -20], [0, -4, -2, -1], [-9, -3, -8, -1], [1 << 23, 0, 1 << 23, 1]], np.int32)
    spikes = np.zeros((4, 2, 4), np.uint8)
    spikes[:, 0, 3] = 1
    trace = SpikeTrace("made", np.ones((4, 2, 1), np.uint8), (LayerTrace("layer0", spikes, v),))
    net = IntNet((1,), (Dense(np.ones((4, 1), np.int32), NEURON),), readout=Readout("membrane"))
    assert trace.classes(net).tolist() == [1, 0, 3, 0]
    paired = IntNet((1,), net.layers, readout=Readout("membrane", population=2))
    assert trace.classes(paired).tolist() == [0, 1, 1, 1]
    assert describe.facts(net)["readout"] == {"kind": "membrane", "ties": "first", "population": 1}
    told = describe.facts(replace(net, readout=Readout("membrane", over="max")))["readout"]
    assert told == {"kind": "membrane", "ties": "first", "population": 1, "over": "max"}
    with pytest.raises(FormatError, match="readout kind = 'membrane' needs the output neurons' v"):
        SpikeTrace("made", trace.input, (LayerTrace("layer0", spikes),)).classes(net)
    for wrong in (("membrane", "membrane"), ("volts", "first"), ("count", "last"), (["count"], "first")):
        with pytest.raises(FormatError, match="expected kind 'count' and ties"):
            Readout(*wrong)
    for kind, over in (("count", "max"), ("membrane", "mean"), ("membrane", ["max"])):
        with pytest.raises(FormatError, match="expected over 'last', 'max' or 'sum' with kind 'membrane'"):
            Readout(kind, over=over)


@pytest.mark.parametrize(("over", "of_steps"), [("last", lambda v: v[-1]), ("max", max), ("sum", sum)])
def test_what_is_read_of_v_over_the_steps(over, of_steps):
    """Of each neuron, before those of a class are added; sums leave 32 bits, and all may be negative."""
    random = np.random.default_rng(8)
    v = random.integers(1 - (1 << 23), 1 << 23, (30, 400, 4)).astype(np.int32)
    v[::2] = -abs(v[::2]) - 1
    trace = SpikeTrace("made", np.ones((30, 400, 1), np.uint8), (LayerTrace("layer0", v < 0, v[:, -1], None, v),))
    net = IntNet((1,), (Dense(np.ones((4, 1), np.int32), NEURON),))
    for population in (1, 2):
        expected = []
        for sample in v.astype(int):
            read = [of_steps(column.tolist()) for column in sample.T]
            scores = [sum(read[first : first + population]) for first in range(0, 4, population)]
            expected.append(scores.index(max(scores)))
        read_so = replace(net, readout=Readout("membrane", population=population, over=over))
        assert trace.classes(read_so).tolist() == expected
        assert read_so.readout.name == {"last": "membrane"}.get(over, f"membrane-{over}")
    without = SpikeTrace("made", trace.input, (LayerTrace("layer0", v < 0, v[:, -1]),))
    if over != "last":
        with pytest.raises(FormatError, match="v after every step; run it with states"):
            without.classes(read_so)


def test_classes_of_populations():
    """Spikes, and v where they tie, are summed over the neurons of a class, which lie side by side."""
    random = np.random.default_rng(5)
    spikes = random.integers(0, 2, (40, 3, 3, 2, 2), dtype=np.uint8)
    v = random.integers(-9, 9, (40, 3, 2, 2)).astype(np.int32)
    layer = conv(random, (1, 2, 2), 3, (1, 1))
    trace = SpikeTrace("made", np.ones((40, 3, 1, 2, 2), np.uint8), (LayerTrace("layer0", spikes, v),))
    assert trace.counts.shape == (40, 12)
    for population in (1, 2, 4):
        expected = {"first": [], "membrane": []}
        for n in range(40):
            sums = [
                [sum(values.flat[c * population + i] for i in range(population)) for c in range(12 // population)]
                for values in (spikes[n].sum(axis=0, dtype=int), v[n])
            ]
            expected["first"].append(sums[0].index(max(sums[0])))
            pairs = list(zip(*sums, strict=True))
            expected["membrane"].append(pairs.index(max(pairs)))
        for ties, classes in expected.items():
            net = IntNet((1, 2, 2), (layer,), readout=Readout(ties=ties, population=population))
            assert trace.classes(net).tolist() == classes, (population, ties)
            assert describe.facts(net)["readout"]["population"] == population


def test_populations_are_those_of_slayers_average():
    slayer = pytest.importorskip("lava.lib.dl.slayer")
    torch = pytest.importorskip("torch")
    spikes = np.random.default_rng(6).integers(0, 2, (20, 4, 6), dtype=np.uint8)  # N, T, O
    trace = SpikeTrace("made", np.ones((20, 4, 1), np.uint8), (LayerTrace("layer0", spikes),))
    net = IntNet((1,), (Dense(np.ones((6, 1), np.int32), NEURON),), readout=Readout(population=2))
    averaged = slayer.block.cuba.Average(num_outputs=3)(torch.tensor(spikes.transpose(0, 2, 1), dtype=torch.float32))
    assert trace.classes(net).tolist() == averaged.sum(dim=-1).argmax(dim=1).tolist()


def test_a_population_that_does_not_divide_the_outputs():
    layer = Dense(np.ones((5, 1), np.int32), NEURON)
    with pytest.raises(FormatError, match="readout: 5 outputs do not divide into classes of 2 neurons"):
        IntNet((1,), (layer,), readout=Readout(population=2))
    for wrong in (0, -1, 1.0, True):
        with pytest.raises(FormatError, match="readout population: expected an integer of at least 1"):
            Readout(population=wrong)
