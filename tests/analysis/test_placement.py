"""Placements and their traffic, against counts neuron by neuron, and against what compilers did."""

import sys
from collections import Counter
from dataclasses import replace
from itertools import groupby, pairwise
from math import ceil, prod
from pathlib import Path

import numpy as np
import pytest

from snnkd import targets
from snnkd.analysis import fit, placement, traffic
from snnkd.engines import conformance
from snnkd.engines.fast import simulation
from snnkd.engines.reference import definition
from snnkd.formats import netx
from snnkd.ir.network import Conv, Cuba, Dense, IntNet, conv_shape
from snnkd.ir.trace import SpikeTrace, activity, count
from snnkd.targets import Target
from snnkd.targets.quantities import Quantity
from snnkd.targets.target import Mesh, Packing

NEURON = Cuba(*(np.array(value, np.int32) for value in (0, 0, 100)))
SITE = Path(next(path for path in sys.path if path.endswith("site-packages")))
PILOTNET = SITE / "tests/lava/lib/dl/netx/gts/pilotnet_lif/network.net"


def chip(neurons=20, memory=2000, cores=16, packing=None, **limits):
    known = {
        "cores": cores,
        "neurons_per_core": neurons,
        "synapse_memory_per_core": memory,
        "stored_bits_per_weight": 8,
        **limits,
    }
    sizes = {name: Quantity(value, value, value, "", "assumed", name) for name, value in known.items()}
    return Target("chip", "test", limits=sizes, packing=packing, mesh=Mesh(3, 4, 2, "test"))


def conv(shape, out, kernel=3, groups=1, stride=(1, 1), padding=(1, 0), dilation=(1, 1)):
    weight = np.full((out, shape[0] // groups, kernel, kernel), 6, np.int32)
    bare = Conv(weight, NEURON, (out, 1, 1), stride, padding, dilation, groups)
    return Conv(weight, NEURON, conv_shape(shape, bare), stride, padding, dilation, groups)


def net():
    first = conv((2, 7, 9), 4, groups=2, stride=(2, 1))
    second = conv(first.shape, 6, dilation=(1, 2), padding=(1, 2))
    dense = Dense(np.full((5, prod(second.shape)), 3, np.int32), NEURON)
    return IntNet((2, 7, 9), (first, second, dense, Dense(np.full((3, 5), -2, np.int32), NEURON)))


def neurons_of(block, shape):
    """The numbers of a block's neurons within its layer."""
    numbers = np.arange(prod(shape)).reshape(placement.extent(shape))
    return set(numbers[np.ix_(block.channels, block.rows, block.columns)].ravel().tolist())


def connected(layer, shape):
    """(inputs, outputs) bool, by sending one event into each input of a layer whose weights are all 1."""
    one = Cuba(*(np.array(value, np.int32) for value in (4096, 4096, 0)))
    sent = np.eye(prod(shape), dtype=np.uint8).reshape(-1, 1, *shape)
    if layer.kind == "dense":
        probe = Dense(np.ones_like(layer.weight), one)
    else:
        how = (layer.stride, layer.padding, layer.dilation, layer.groups)
        probe = Conv(np.ones_like(layer.weight), one, layer.shape, *how)
    spikes = definition.simulate(IntNet(shape, (probe,)), sent).layers[0].spikes
    return spikes.reshape(prod(shape), -1) > 0


@pytest.mark.parametrize("target", [chip(), chip(neurons=7), chip(neurons=60, memory=150), chip(neurons=1000)])
def test_every_neuron_lies_on_one_core(target):
    placed = placement.blocks(net(), target)
    assert placed is not None
    for number, (name, _, layer) in enumerate(net().inputs()):
        parts = [neurons_of(block, layer.shape) for block in placed if block.layer == number]
        assert sum(map(len, parts)) == len(set().union(*parts)) == prod(layer.shape), name
        assert max(map(len, parts)) <= target.limits["neurons_per_core"].high


def way(start, end):
    """The tiles of a message's way: along the row first."""
    (row, column), (last_row, last_column) = start, end
    along = range(column, last_column, 1 if column < last_column else -1)
    down = range(row, last_row, 1 if row < last_row else -1)
    return [(row, c) for c in along] + [(r, last_column) for r in down] + [end]


def test_axons_messages_and_synops_are_those_of_single_connections():
    own, target = net(), chip()
    placed = placement.blocks(own, target)
    by_core = placement.place(own, target, 1).by_core
    random = np.random.default_rng(1)
    shapes = [own.input_shape, *(layer.shape for layer in own.layers)]
    events = [(random.random((2, 3, *shape)) < 0.4).astype(np.uint8) for shape in shapes]
    layers = [type("Layer", (), {"spikes": values}) for values in events[1:]]
    seen = activity(own, SpikeTrace("test", events[0], tuple(layers)))
    counted = traffic.traffic(own, seen, target)
    ways = [connected(layer, shape) for _, shape, layer in own.inputs()]
    messages, hops, links = 0, 0, Counter()
    tile = [divmod(core // 2, 4) for core in range(len(placed))]
    for core, block in enumerate(placed):
        shape = shapes[block.layer]
        mine = sorted(neurons_of(block, shapes[block.layer + 1]))
        reading = ways[block.layer][:, mine]
        pixels = own.layers[block.layer].kind == "conv"
        sources = reading.any(axis=1).reshape(shape)
        assert by_core[core].input_axons == (sources.any(axis=0) if pixels else sources).sum()
        sent = events[block.layer].reshape(2, 3, -1).sum(axis=0)
        np.testing.assert_allclose(counted.synops[:, core], sent @ reading.sum(axis=1) / 2)
        for other, sender in enumerate(placed):
            if sender.layer == block.layer - 1:
                from_it = sorted(neurons_of(sender, shape))
                arriving = (sent.sum(axis=0)[from_it] * reading[from_it].any(axis=1)).sum()
                messages += arriving
                hops += arriving * sum(abs(a - b) for a, b in zip(tile[core], tile[other], strict=True))
                for step, now in enumerate(sent):
                    for link in pairwise(way(tile[other], tile[core])):
                        links[step, link] += (now[from_it] * reading[from_it].any(axis=1)).sum()
    assert counted.messages == messages / 2
    reading = [
        sum(
            way[:, sorted(neurons_of(block, layer.shape))].any(axis=1).astype(int)
            for block in placed
            if block.layer == k
        )
        for k, (layer, way) in enumerate(zip(own.layers, ways, strict=True))
    ]
    sent = [values.reshape(6, -1).sum(axis=0) for values in events]
    assert counted.copies == sum((sent[k] * (reading[k] - 1).clip(0)).sum() for k in (1, 2, 3)) / 2
    assert counted.hops == hops / 2
    busiest = [max(count for (at, _), count in links.items() if at == step) for step in range(3)]
    assert counted.link.tolist() == [count / 2 for count in busiest]
    leaving = 0  # of the first block of layer0, whose pixels layer1 reads
    numbers = sorted(neurons_of(placed[0], shapes[1]))
    for block in placed:
        if block.layer == 1:
            reading = ways[1][:, sorted(neurons_of(block, shapes[2]))].any(axis=1)
            alive = np.zeros(prod(shapes[1]), bool)
            alive[numbers] = reading[numbers]
            leaving += alive.reshape(shapes[1]).any(axis=0).sum()
    assert by_core[0].output_axons == leaving


@pytest.mark.parametrize("name", list(conformance.networks()))
def test_synops_of_all_cores_are_those_of_the_profile(name):
    own, events = conformance.networks()[name]
    trace = simulation.simulate(own, events)
    counted = traffic.traffic(own, activity(own, trace), chip(neurons=9))
    expected = sum(row.synops for row in count(own, trace)) / trace.samples
    assert counted.synops.sum() == pytest.approx(expected)
    assert counted.neurons.sum() == own.neurons


def test_the_slowest_core_or_link_sets_the_time_of_a_step():
    work = traffic.Traffic(0, 0, 0, 1, np.array([[10.0, 0.0], [0.0, 50.0]]), np.array([4, 2]))
    times = {"synop_time": 2.0, "update_time": 3.0, "step_time": 100.0}
    assert work.latency_us(times) == pytest.approx((max(32, 6) + 100 + max(12, 106) + 100) / 1000)
    linked = replace(work, link=np.array([20.0, 20.0]))
    assert linked.latency_us(times) == work.latency_us(times), "no cost of a link: none is waited for"
    assert linked.latency_us({**times, "link_time": 4.0}) == pytest.approx((80 + 100 + 106 + 100) / 1000)


def test_dense_weights_take_whole_words_with_headers():
    layer = Dense(np.where(np.arange(70 * 3) % 2, 254, -256).reshape(70, 3).astype(np.int32), NEURON)
    target = chip(packing=Packing(64, 64, 10, "test"))
    words = ceil((64 * 8 + 10) / 64) + ceil((6 * 8 + 10) / 64)
    assert placement.synapse_bits(layer, (3,), (70, 1, 1), target) == 3 * words * 64
    late = Dense(layer.weight, NEURON, delay=np.full((70, 3), 5, np.int32))
    words = ceil((64 * 11 + 10) / 64) + ceil((6 * 11 + 10) / 64)
    assert placement.synapse_bits(late, (3,), (70, 1, 1), target) == 3 * words * 64


def test_a_placement_that_does_not_fit_says_what_is_too_full():
    wide = IntNet((50,), (Dense(np.full((4, 50), 254, np.int32), NEURON),))
    found = placement.place(wide, chip(memory=40), 1)
    assert [(core.neurons, core.binds, core.utilization) for core in found.by_core] == [
        (1, "synapse_memory_per_core", 1.25)
    ] * 4
    assert fit.fit(wide, chip(memory=60, input_axons_per_core=49)).verdict == "optimistic"
    assert fit.fit(wide, chip(memory=60, input_axons_per_core=50)).verdict == "likely"
    assert fit.fit(wide, chip(memory=60, cores=2, neurons=2)).placement.chips == 2


def test_a_target_that_says_too_little_gives_no_placement():
    bare = Target("chip", "test", limits={"cores": Quantity(1, 1, 1, "cores", "assumed", "test")})
    assert placement.place(net(), bare, 1) is None
    assert fit.fit(net(), bare).placement is None


@pytest.mark.skipif(not PILOTNET.exists(), reason="lava-dl is not installed")
def test_pilotnet_lies_as_intels_compiler_laid_it():
    """docs/fit.md: all layers but conv-4, which is one core less."""
    found = fit.fit(netx.load(PILOTNET), targets.load("loihi2"))
    by_layer = [list(cores) for _, cores in groupby(found.placement.by_core, key=lambda core: core.layer)]
    assert [len(cores) for cores in by_layer] == [13, 25, 13, 3, 3, 1, 12, 1, 1, 1]
    most = [max(core.neurons for core in cores) for cores in by_layer]
    assert most == [3168, 3072, 2160, 2688, 2048, 2560, 9, 50, 10, 1]
    words = [max(core.synapse_bytes for core in cores) // 8 for cores in by_layer]
    assert [words[k] for k in (1, 4, 5, 7, 8, 9)] == [81, 2160, 2880, 1300, 150, 10]
    assert (found.verdict, found.placement.chips) == ("likely", 1)
