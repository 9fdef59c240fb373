"""Energy from counts: the arithmetic, what stays unknown, and that the constants give back what they came from."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnkd import targets
from snnkd.analysis import energy, evaluation
from snnkd.analysis.energy import Range
from snnkd.analysis.traffic import Traffic
from snnkd.base.errors import FormatError
from snnkd.ir.event_encoding import EventEncoding
from snnkd.ir.network import Conv, Cuba, Dense, IntNet
from snnkd.ir.trace import LayerCount, LayerTrace, SpikeTrace, count
from snnkd.targets import Target
from snnkd.targets.quantities import Quantity

NEURON = Cuba(*(np.array(value, np.int32) for value in (1024, 128, 80)))
COUNTS = [
    LayerCount("input", "input", 20, 300, 0, 0, 0),
    LayerCount("layer0", "conv", 10, 40, 1000, 900, 500),
    LayerCount("layer1", "dense", 4, 8, 200, 200, 200),
]


def band(low, typical, high):
    return Quantity(low, typical, high, "pJ", "assumed", "made up")


CHIP = Target(
    "chip",
    "made up",
    costs={
        "synop": band(1, 2, 4),
        "synop_conv": band(10, 20, 40),
        "neuron_update": band(3, 3, 3),
        "spike": band(0, 5, 7),
    },
)


def without(*names):
    return replace(CHIP, costs={name: cost for name, cost in CHIP.costs.items() if name not in names})


def close(actual, *expected):
    assert (actual.low, actual.typical, actual.high) == pytest.approx(expected)


def small():
    rng = np.random.default_rng(0)
    kernel = rng.integers(-1, 2, (3, 2, 3, 3)).astype(np.int32)
    layers = (
        Conv(kernel, NEURON, (3, 3, 3), stride=(2, 2), padding=(1, 1)),
        Dense(np.ones((4, 27), np.int32), NEURON),
    )
    net = IntNet((2, 5, 5), layers)
    seen = tuple(
        LayerTrace(name, rng.integers(0, 2, (6, 3, *layer.shape), dtype=np.uint8))
        for name, layer in zip(net.names, layers, strict=True)
    )
    return net, SpikeTrace("made", rng.integers(0, 2, (6, 3, 2, 5, 5), dtype=np.uint8), seen)


def test_dynamic_energy_is_the_sum_of_counts_times_costs():
    estimated = energy.estimate(COUNTS, 10, CHIP)
    conv, dense = estimated.layers
    close(conv.parts["synops"], 1000e-6, 2000e-6, 4000e-6)  # 1000 synops x 10, 20, 40 pJ / 10 samples, in uJ
    close(dense.parts["synops"], 20e-6, 40e-6, 80e-6)  # no 'synop_dense': the general 'synop'
    close(conv.parts["updates"], *[150e-6] * 3)
    close(estimated.parts["spikes"], 0, 24e-6, 33.6e-6)  # 40 + 8 spikes; the input's 300 events are not the chip's
    assert estimated.parts["synops"] == conv.parts["synops"] + dense.parts["synops"]
    close(estimated.dynamic, 1020e-6 + 210e-6, 2040e-6 + 210e-6 + 24e-6, 4080e-6 + 210e-6 + 33.6e-6)
    assert estimated.dominates == {"layer": "layer0", "part": "synops", "share": pytest.approx(2000 / 2274)}


def test_energy_per_inference_does_not_depend_on_how_many():
    twice = [row + row for row in COUNTS]
    assert energy.estimate(twice, 20, CHIP).dynamic == energy.estimate(COUNTS, 10, CHIP).dynamic


def test_a_missing_cost_leaves_its_part_and_the_sum_unknown():
    estimated = energy.estimate(COUNTS, 10, without("neuron_update"))
    assert estimated.missing == ("neuron_update",)
    assert estimated.parts["updates"] is None
    assert estimated.parts["synops"] is not None
    assert estimated.dynamic is None
    assert estimated.dominates is None
    shown = estimated.to_json()
    assert shown["dynamic_uJ"] is None
    assert shown["parts_uJ"]["updates"] is None
    assert any("no cost of neuron_update" in line for line in shown["not_known"])


def test_a_cost_of_one_kind_is_not_taken_for_another():
    estimated = energy.estimate(COUNTS, 10, without("synop"))
    assert estimated.layers[0].parts["synops"] is not None
    assert estimated.layers[1].parts["synops"] is None
    assert estimated.missing == ("synop",)


def test_nothing_costs_nothing_even_where_its_cost_is_not_known():
    silent = [replace(row, spikes=0) for row in COUNTS]
    estimated = energy.estimate(silent, 10, without("spike"))
    assert estimated.parts["spikes"] == Range(0, 0, 0)
    assert estimated.dynamic is not None


def test_without_a_placement_neither_time_nor_static_energy_is_known():
    for target in targets.available():
        shown = energy.estimate(COUNTS, 10, target).to_json()
        assert shown["static_uJ"] is shown["total_uJ"] is shown["latency_us"] is None
        assert any("latency" in line for line in shown["not_known"])
        assert shown["note"].startswith("estimate, not a measurement")
        assert len(shown["costs"]) == len(target.costs)


def test_a_placement_adds_routing_and_the_time_of_the_busiest_cores():
    work = Traffic(
        messages=30, copies=20, hops=50, chips=2, synops=np.array([[100.0, 7], [0, 10]]), neurons=np.array([3, 4])
    )
    costs = {"message": 2.0, "hop": 3.0, "synop_time": 5.0, "update_time": 7.0, "step_time": 11.0, "static_power": 0.5}
    known = {name: Quantity(value, value, 2 * value, "", "assumed", name) for name, value in costs.items()}
    chip = replace(CHIP, costs={**CHIP.costs, **known})
    found, bare = energy.estimate(COUNTS, 10, chip, work), energy.estimate(COUNTS, 10, chip)
    close(found.routing["messages"], 40e-6, 40e-6, 80e-6)
    close(found.routing["hops"], 150e-6, 150e-6, 300e-6)
    assert found.dynamic.typical == pytest.approx(bare.dynamic.typical + 190e-6)
    latency = (500 + 21 + 11 + 50 + 28 + 11) / 1000  # us: core 0 is the busiest in the first step, core 1 in the second
    close(found.latency, latency, latency, 2 * latency)
    close(found.static, latency, latency, 4 * latency)  # 0.5 W of 2 chips
    assert found.total == found.dynamic + found.static
    lacking = energy.estimate(COUNTS, 10, replace(CHIP, costs={**CHIP.costs, "message": known["message"]}), work)
    assert (lacking.latency, lacking.static, list(lacking.routing)) == (None, None, ["messages"])
    assert any("synop_time, update_time, step_time, static_power" in line for line in lacking.to_json()["not_known"])


def pilotnet(synops, updates, spikes):
    return [LayerCount("layer0", "conv", 1, spikes, synops, synops, updates)]


def test_loihi2_gives_back_the_measured_energy_that_it_was_derived_from():
    """hw_targets/loihi2/costs.toml: PilotNet LIF, 0.562 mJ and the mean of 1.071 and 1.094 mJ."""
    estimated = energy.estimate(pilotnet(36_600_000, 2_540_000, 640_000), 1, targets.load("loihi2"))
    close(
        estimated.dynamic,
        pytest.approx(562, rel=0.01),
        pytest.approx(1082.5, rel=0.01),
        pytest.approx(1.5 * 1082.5, rel=0.01),
    )


def test_published_error_factors_follow_from_counts_and_measurements():
    """hw_targets/*/costs.toml: keyword spotting on Loihi at 10 % and 100 % activity, PilotNet on Loihi 2."""
    loihi1, loihi2 = targets.load("loihi1"), targets.load("loihi2")

    def keywords(percent):
        counts = [LayerCount("layer0", "dense", 541, 54 * percent, 17_280 * percent, 0, 5410)]
        return energy.estimate(counts, 1, loihi1).dynamic.typical

    with_host, without_host = loihi1.error_factors
    assert (272 / keywords(100), 272 / keywords(10)) == pytest.approx((with_host.low, with_host.high), rel=0.02)
    assert (37 / keywords(100), 37 / keywords(10)) == pytest.approx((without_host.low, without_host.high), rel=0.05)
    lif = energy.estimate(pilotnet(36_600_000, 2_540_000, 640_000), 1, loihi2).dynamic.typical
    sdnn = energy.estimate(pilotnet(605_000, 119_000, 0), 1, loihi2).dynamic.typical
    assert (562 / lif, 1094 / lif) == pytest.approx((0.52, 1.01), rel=0.01)
    total = loihi2.error_factors[1]
    assert (991 / lif, 32_000 / sdnn) == pytest.approx((total.low, total.high), rel=0.05)


def test_documented_constants_are_those_in_use():
    page = (Path(__file__).parents[2] / "docs" / "energy_model.md").read_text(encoding="utf-8")
    priced = ("synop", "synop_dense", "synop_conv", "neuron_update", "spike", "message", "hop")
    for name in (*priced, "synop_time", "update_time", "step_time", "link_time"):
        row = re.search(rf"^\| {name} \| (.*) \| (.*) \|$", page, re.M)
        assert row, name
        for chip, shown in zip(("loihi1", "loihi2"), row.groups(), strict=True):
            cost = targets.load(chip).costs.get(name)
            assert cost is None or shown == f"{cost.low:g} / {cost.typical:g} / {cost.high:g}"
            assert cost is not None or "/" not in shown
    for name in ("cycle", "cycle_time", "cycles_per_instruction", "instructions_per_mac"):
        row = re.search(rf"^\| {name}(?:, \w+)? \| (.*) \| (.*) \| (.*) \|$", page, re.M)
        for chip, shown in zip(("cortex-m4", "cortex-m33", "cortex-m0plus"), row.groups(), strict=True):
            cost = targets.load(chip).costs.get(name)
            assert shown == ("not known" if cost is None else f"{cost.low:g} / {cost.typical:g} / {cost.high:g}")


def test_macs_of_the_dense_twin_are_its_connections():
    net, _ = small()
    # 3 x 3 windows over 5 x 5 with stride 2 and padding 1: the edge windows miss a row or a column
    inside = sum(rows * columns for rows in (2, 3, 2) for columns in (2, 3, 2))
    assert energy.dense_macs(net) == [("layer0", inside * 2 * 3), ("layer1", 27 * 4)]


def test_profile_is_json_with_the_documented_keys():
    net, trace = small()
    counts = count(net, trace)
    chips = [targets.load("loihi1"), targets.load("loihi2-sim")]
    shown = energy.profile(net, counts, samples=6, steps=3, data="random", targets=chips).to_json()
    assert json.loads(json.dumps(shown)) == shown
    assert {key: shown[key] for key in ("fidelity", "samples", "steps", "data")} == {
        "fidelity": "integer",
        "samples": 6,
        "steps": 3,
        "data": "random",
    }
    assert [row["name"] for row in shown["layers"]] == ["input", "layer0", "layer1"]
    expected = {"name", "kind", "neurons", "spikes", "synops", "synops_effective", "updates", "macs_ann"}
    assert all(row.keys() == expected for row in shown["layers"])
    assert shown["layers"][1]["synops"] == counts[1].synops
    assert shown["layers"][1]["macs_ann"] == dict(energy.dense_macs(net))["layer0"]
    assert shown["energy"].keys() == {"loihi1", "loihi2-sim"}
    assert shown["energy"]["loihi1"]["dynamic_uJ"].keys() == {"low", "typical", "high"}
    assert shown["energy"]["loihi2-sim"]["dynamic_uJ"] is None
    assert [row["name"] for row in shown["energy"]["loihi1"]["layers_uJ"]] == ["layer0", "layer1"]


def test_energy_at_the_real_time_of_recordings():
    """Steps of a known length: static power times time; nothing of it where steps are events, or of images."""
    net, trace = small()
    encoding = EventEncoding(3, (5, 5), window_us=20_000)
    chips = [targets.load("loihi1"), targets.load("loihi2-sim")]

    def found(net):
        return evaluation.profile(net, trace.input, [chip.name for chip in chips]).to_json()["energy"]

    timed = found(replace(net, encoding=encoding.to_json()))
    told, power = timed["loihi1"]["real_time"], chips[0].costs["static_power"]
    assert told["seconds"] == pytest.approx(0.06)
    per_inference, per_second = told["per_inference_uJ"], told["per_second_uJ"]
    assert per_inference["dynamic"] == timed["loihi1"]["dynamic_uJ"]
    for key in ("low", "typical", "high"):
        assert per_second["static"][key] == pytest.approx(getattr(power, key) * 1e6)
        assert per_inference["static"][key] == pytest.approx(getattr(power, key) * 60_000)
        for shown in (per_inference, per_second):
            assert shown["total"][key] == pytest.approx(shown["dynamic"][key] + shown["static"][key])
        assert per_second["dynamic"][key] == pytest.approx(per_inference["dynamic"][key] / 0.06)
    unknown = timed["loihi2-sim"]["real_time"]["per_second_uJ"]
    assert unknown == {"dynamic": None, "static": None, "total": None}
    by_events = replace(encoding, window_us=None, count=9).to_json()
    for other in (net, replace(net, encoding=by_events), replace(net, encoding={"kind": "rate", "steps": 3})):
        assert all("real_time" not in energy for energy in found(other).values())


def test_profile_refuses_counts_that_are_not_the_networks():
    net, trace = small()
    counts = count(net, trace)
    with pytest.raises(FormatError, match="not 5 samples of 3 steps"):
        energy.profile(net, counts, samples=5, steps=3, data="random")
    with pytest.raises(FormatError, match="given for input, layer0, layer1"):
        energy.profile(net, counts[1:], samples=6, steps=3, data="random")
    with pytest.raises(FormatError, match="at least 1"):
        energy.profile(net, counts, samples=0, steps=3, data="random")
    with pytest.raises(FormatError, match="same name"):
        energy.profile(net, counts, samples=6, steps=3, data="random", targets=[CHIP, CHIP])
    with pytest.raises(FormatError, match="at least 1"):
        energy.estimate(counts, 0, CHIP)
