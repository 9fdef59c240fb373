"""A user's measurements beside estimates, and costs fitted to them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from snnkd import targets
from snnkd.analysis import energy, measured
from snnkd.analysis.calibration import COMMON, EACH, calibrate
from snnkd.analysis.processor import ProcessorEnergy
from snnkd.base.errors import FormatError, LimitError
from snnkd.ir.trace import LayerCount
from snnkd.targets import measurement, writing
from snnkd.targets.measurement import Measurement

CHIP = targets.load("loihi1")
FILE = """
target = "loihi1"
source = "own board, page 12"
date = 2026-11-20
instrument = "INA226, 1 kHz"
conditions = "one chip, without its host"

[measured]
dynamic_uJ = 3.0
latency_us = 100
power_mW = 120
"""


def estimate(spikes, synops, updates):
    rows = [LayerCount("input", "input", 1, 0, 0, 0, 0), LayerCount("layer0", "dense", 1, spikes, synops, 0, updates)]
    return energy.estimate(rows, 1, CHIP)


def of(name="m.toml", **values):
    return Measurement(Path(name), "loihi1", None, "board", "2026-11-20", "meter", "none", values)


def test_costs_that_measurements_tell_apart_are_fitted_each():
    """Three networks, three costs: the factors that the measurements were made with come back."""
    planted = {"synop_dense": 0.5, "neuron_update": 2.0, "spike": 1.25}
    networks = [estimate(100, 100_000, 2000), estimate(4000, 20_000, 1000), estimate(50, 30_000, 9000)]
    pairs = [
        (of(dynamic_uJ=sum(part * planted[name] for name, part in one.dynamic_by_cost.items())), one)
        for one in networks
    ]
    found = calibrate(pairs)
    assert (found.method, found.why) == (EACH, "3 measured energies, 3 costs")
    assert found.factors == pytest.approx(planted)
    assert [one.ratio for one in found.residuals] == pytest.approx([1, 1, 1])
    assert found.target.costs["spike"].typical == pytest.approx(1.25 * CHIP.costs["spike"].typical, rel=1e-5)
    assert found.target.costs["hop"] == CHIP.costs["hop"], "no network had any"


def test_no_cost_becomes_negative():
    networks = [estimate(0, 100_000, 2000), estimate(0, 50_000, 2000), estimate(0, 10_000, 8000)]
    energies = [one.dynamic_by_cost["synop_dense"] - 0.1 * one.dynamic_by_cost["neuron_update"] for one in networks]
    found = calibrate([(of(dynamic_uJ=max(e, 0.01)), one) for e, one in zip(energies, networks, strict=True)])
    assert found.method == EACH
    assert min(found.factors.values()) == 0.0 < max(found.factors.values())


def test_fewer_measurements_than_costs_give_one_factor():
    one, two = estimate(100, 100_000, 2000), estimate(4000, 20_000, 1000)
    pairs = [(of(dynamic_uJ=2 * one.dynamic.typical), one), (of(dynamic_uJ=4 * two.dynamic.typical), two)]
    found = calibrate(pairs)
    assert (found.method, found.why) == (COMMON, "2 measured energies, 3 costs")
    factor = (1 / 2 + 1 / 4) / (1 / 4 + 1 / 16)
    assert list(found.factors.values()) == pytest.approx([factor] * 6)
    assert [one.ratio for one in found.residuals] == pytest.approx([2 / factor, 4 / factor])
    error = found.target.error_factors[0]
    assert (error.low, error.high) == pytest.approx((2 / factor, 4 / factor))
    same = calibrate([(of("a.toml", dynamic_uJ=1.0), one)] * 3)
    assert (same.method, same.why) == (COMMON, "3 measured energies, 3 costs, which the measurements do not tell apart")


def test_times_get_a_factor_of_their_own_and_static_energy_that_of_measured_time():
    known = replace(estimate(100, 100_000, 2000), latency=energy.Range(10, 20, 30), chips=1)
    static = CHIP.costs["static_power"].typical * 50  # W x us, of what was measured
    found = calibrate([(of(total_uJ=1.5 * (known.dynamic.typical + static), latency_us=50.0), known)])
    assert found.factors["synop_time"] == found.factors["step_time"] == pytest.approx(2.5)
    assert found.factors["static_power"] == found.factors["spike"] == pytest.approx(1.5)
    assert {one.quantity: one.fitted for one in found.residuals}["latency_us"] == pytest.approx(50)
    only = calibrate([(of(latency_us=50.0), known)])
    assert only.method is None and list(only.factors.values()) == pytest.approx([2.5] * 4)


def test_a_processor_has_one_cost():
    target = targets.load("cortex-m4")
    one = ProcessorEnergy(target, 100_000, 16)
    found = calibrate([(of(total_uJ=2 * one.total.typical, latency_us=one.latency.typical), one)])
    assert found.factors == {"cycle": pytest.approx(2), "cycle_time": pytest.approx(1)}
    with pytest.raises(LimitError, match=r"m.toml: measured.dynamic_uJ: cortex-m4 has no estimate"):
        calibrate([(of(dynamic_uJ=1.0), one)])
    with pytest.raises(LimitError, match="expected measurements of one target, found cortex-m4, loihi1"):
        calibrate([(of(total_uJ=1.0), one), (of(dynamic_uJ=1.0), estimate(1, 1, 1))])


@pytest.mark.parametrize("name", ["loihi1", "loihi2", "cortex-m4", "c99"])
def test_a_written_target_is_read_back(tmp_path, name):
    target = targets.load(name)
    (tmp_path / "own.toml").write_text(writing.to_toml(target))
    assert targets.load(tmp_path / "own.toml") == target


def test_a_measurement_is_read(tmp_path):
    (tmp_path / "m.toml").write_text(FILE)
    read = measurement.load(tmp_path / "m.toml")
    assert read.values == {"dynamic_uJ": 3.0, "total_uJ": pytest.approx(12.0), "latency_us": 100}
    assert str(read) == "own board, page 12, 2026-11-20, INA226, 1 kHz"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (
            "dynamic_uJ = 3.0",
            "dynamic_uJ = -3.0",
            ["measured.dynamic_uJ: expected a finite number above 0, found -3.0"],
        ),
        ("dynamic_uJ = 3.0", "dynamic_uJ = 13.0\ntotal_uJ = 12", ["expected at most total_uJ, 12, found 13"]),
        (
            "power_mW = 120",
            "power_mW = 120\ntotal_uJ = 20",
            ["expected power_mW x latency_us, 12, within 5 %, found 20"],
        ),
        ("latency_us = 100\n", "", ["power_mW: expected latency_us beside it"]),
        ("[measured]", "[measured_by]", ["unknown key 'measured_by'", "did you mean 'measured'?"]),
        ('source = "own board, page 12"\n', "", ["source: missing; it is where the measurement is written down"]),
        ("2026-11-20", '"last week"', ["date: expected", "'last week'"]),
        ("dynamic_uJ", "energy", ["unknown key 'energy' in measured", "dynamic_uJ"]),
    ],
)
def test_what_is_wrong_with_a_measurement_is_said(tmp_path, before, after, words):
    path = tmp_path / "m.toml"
    path.write_text(FILE.replace(before, after))
    with pytest.raises(FormatError) as raised:
        measurement.load(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert all(word in str(raised.value) for word in words), str(raised.value)


def test_each_measurement_has_its_network_and_target():
    one, other = of("a.toml", total_uJ=1.0), replace(of("b.toml", total_uJ=1.0), network="big")
    assert measured.target_names([one, other], []) == ["loihi1", "loihi1"]
    assert measured.target_names([one], ["loihi2", "loihi1"]) == ["loihi1"]
    assert measured.network_of(one, [{"runs/small", "small"}]) == 0
    assert measured.network_of(other, [{"small"}, {"runs/big", "big"}]) == 1
    with pytest.raises(FormatError, match=r"a.toml: network: expected one of .*big, small; found none"):
        measured.network_of(one, [{"small"}, {"big"}])
    with pytest.raises(FormatError, match=r"b.toml: network: expected .*small; found 'big'"):
        measured.network_of(other, [{"small"}])
    with pytest.raises(LimitError, match=r"a.toml: target: measured on 'loihi1', and --target says loihi2"):
        measured.target_names([one], ["loihi2"])
    with pytest.raises(FormatError, match=r"a.toml: was given twice"):
        measured.target_names([one, one], [])


def test_a_measurement_never_changes_the_estimate():
    rows = energy.Range(1.0, 2.0, 4.0)
    beside = measured.Beside("dynamic_uJ", 5.0, rows).to_json()
    assert (beside["ratio"], beside["inside"], beside["estimate"]["typical"]) == (2.5, False, 2.0)
    unknown = measured.Beside("total_uJ", 5.0, None).to_json()
    assert (unknown["ratio"], unknown["inside"]) == (None, None)
