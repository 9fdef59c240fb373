"""The ANN beside a spiking network: its energy by hand, and the activity at which both need the same."""

from dataclasses import replace

import numpy as np
import pytest

from snnkd.analysis import energy, rival, teachers
from snnkd.ir.network import Conv, Cuba, Dense, IntNet
from snnkd.ir.trace import LayerCount
from snnkd.targets import Target
from snnkd.targets.quantities import Quantity

NEURON = Cuba(*(np.array(value, np.int32) for value in (0, 0, 100)))
NET = IntNet(
    (1, 4, 4),
    (
        Conv(np.ones((2, 1, 3, 3), np.int32), NEURON, (2, 2, 2)),
        Dense(np.ones((3, 8), np.int32), NEURON),
    ),
)
MACS = (2 * 4 * 9, 24)
STEPS = 5


def chip(**costs):
    known = {name: Quantity(value, value, value, "pJ", "assumed", name) for name, value in costs.items()}
    return Target("chip", "test", costs=known)


def profiled(factor, samples=10):
    """Of `factor` times 40 input events and 12 and 3 spikes, a synapse in 2 of which reads each event."""
    rows = [
        LayerCount("input", "input", 16, 40 * factor * samples, 0, 0, 0),
        LayerCount("layer0", "conv", 8, 12 * factor * samples, 100 * factor * samples, 0, 8 * STEPS * samples),
        LayerCount("layer1", "dense", 3, 3 * factor * samples, 36 * factor * samples, 0, 3 * STEPS * samples),
    ]
    target = chip(synop_conv=2.0, synop=3.0, neuron_update=0.5, spike=7.0)
    made = energy.profile(NET, rows, samples=samples, steps=STEPS, data="made", targets=[target])
    return rival.beside(NET, made)


def test_on_a_chip_each_mac_is_a_synop_and_each_hidden_neuron_sends_one_message():
    found = profiled(1).energy["chip"].ann
    assert found.ann.typical == pytest.approx((72 * 2 + 24 * 3 + 11 * 0.5 + 8 * 7) * 1e-6)
    assert found.snn == profiled(1).energy["chip"].estimate.dynamic
    assert found.activity == pytest.approx(136 / 96)


def test_in_memory_by_hand():
    found = profiled(1).in_memory

    def line(values, bits):
        return 13.2 + 1.09e-5 * values * bits

    ann = 72 * (line(18, 8) + 0.3) + 16 * line(16, 8) + 8 * line(8, 8)
    ann += 24 * (line(24, 8) + 0.3) + 8 * line(8, 8) + 3 * line(3, 8)
    assert found.ann.typical == pytest.approx(ann * 1e-6)
    most = ann + (72 - 16) * line(16, 8) + (24 - 8) * line(8, 8)
    assert found.ann.high == pytest.approx(most * 1e-6)
    assert found.ann.low == pytest.approx((96 * (1.25 + 0.3) + (16 + 8 + 8 + 3) * 1.25) * 1e-6)
    snn = 40 * line(16, 1) + 100 * (line(18, 8) + 2 * line(8, 32) + 0.2) + 12 * (line(8, 1) + 0.1)
    snn += 40 * (2 * line(8, 32) + 3.3)
    snn += 12 * line(8, 1) + 36 * (line(24, 8) + 2 * line(3, 32) + 0.2) + 3 * (line(3, 1) + 0.1)
    snn += 15 * (2 * line(3, 32) + 3.3)
    assert found.snn.typical == pytest.approx(snn * 1e-6)


@pytest.mark.parametrize("where", ["chip", "memory"])
def test_at_the_break_even_activity_both_need_the_same(where):
    def of(factor):
        whole = profiled(factor)
        return whole.in_memory if where == "memory" else whole.energy["chip"].ann

    once, twice = of(1), of(2)
    assert once.break_even_activity == pytest.approx(twice.break_even_activity)
    slope = (twice.snn.typical - once.snn.typical) / (twice.activity - once.activity)
    assert once.snn.typical + slope * (once.break_even_activity - once.activity) == pytest.approx(once.ann.typical)
    if where == "chip":
        assert 0 < once.break_even_activity < twice.activity


def test_an_ann_that_taught_is_priced_as_the_rival_is():
    made = profiled(1)
    taught = teachers.ann("big", "ann", NET, [made.energy["chip"].estimate.target])
    assert taught.energy == {"chip": made.energy["chip"].ann.ann}
    assert taught.in_memory == made.in_memory.ann
    snn = teachers.spiking("big", "snn", made)
    assert (snn.energy, snn.in_memory) == ({"chip": made.energy["chip"].ann.snn}, made.in_memory.snn)
    assert snn.to_json()["energy_uJ"]["chip"]["typical"] == snn.energy["chip"].typical


def test_what_is_not_known_stays_so():
    made = energy.profile(NET, [replace(row) for row in COUNTS], samples=1, steps=1, data="", targets=[chip(spike=1.0)])
    found = rival.beside(NET, made).energy["chip"].ann
    assert (found.ann, found.break_even_activity) == (None, None)
    silent = replace(made, layers=[replace(row, spikes=0, synops=0) for row in made.layers])
    assert rival.in_memory(NET, silent).break_even_activity is None


COUNTS = [
    LayerCount("input", "input", 16, 4, 0, 0, 0),
    LayerCount("layer0", "conv", 8, 1, 9, 9, 8),
    LayerCount("layer1", "dense", 3, 1, 3, 3, 3),
]
