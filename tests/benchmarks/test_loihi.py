"""What a Loihi chip recorded is what the integer network gives, by every engine that stands in for a chip."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "toolchain/benchmarks"))

import loihi


@pytest.fixture(scope="module")
def recording(public_data):
    if not (public_data / loihi.FILE).is_file():
        pytest.skip(f"no {loihi.FILE} in {public_data}")
    return loihi.Recording.load(public_data)


ENGINES = [
    "reference",
    "fast",
    pytest.param("c99", marks=pytest.mark.compiler),
    pytest.param("lava", marks=pytest.mark.lava),
]


@pytest.mark.parametrize("engine", ENGINES)
def test_equals_the_chip(recording, engine):
    """639 hidden spikes and both of the output, and three voltages; those that the chip writes after a spike apart."""
    rows = {row.record: row for row in recording.compare(recording.net, engine)}
    assert {name: row.values for name, row in rows.items()} == {
        "hidden_spikes": 639,
        "output_spikes": 2,
        "hidden23_voltage": 499,
        "hidden24_voltage": 499,
        "output_voltage": 498,
    }
    assert not any(row.differ for row in rows.values())
    assert [row.after_a_spike for row in rows.values()] == [0, 0, 13, 18, 2]


def test_another_network_differs(recording):
    """One weight, one step apart in 8 bits, is seen."""
    hidden, output = recording.net.layers
    weight = hidden.weight.copy()
    synapse = recording.events[0].sum(axis=0).argmax()
    weight[23, synapse] += 2
    changed = replace(recording.net, layers=(replace(hidden, weight=weight), output))
    differ = {row.record: row.differ for row in recording.compare(changed)}
    assert differ["hidden23_voltage"] > 0 and differ["hidden24_voltage"] == 0


def test_a_missing_recording_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["loihi.py", "--data-root", str(tmp_path)])
    with pytest.raises(SystemExit, match=rf"no {loihi.FILE} in {tmp_path}"):
        loihi.main()
