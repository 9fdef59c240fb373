"""The terminal shows what `--json` says."""

import copy
import csv
import io
import re

import numpy as np
import pytest
from rich.console import Console

from snnkd import targets
from snnkd.analysis import energy, processor, real_time, teachers
from snnkd.ir.network import Cuba, Dense, IntNet
from snnkd.ir.trace import LayerCount
from snnkd.report import profiles, terminal

NEURON = Cuba(*(np.array(value, np.int32) for value in (1024, 128, 80)))
NET = IntNet((20,), (Dense(np.ones((10, 20), np.int32), NEURON), Dense(np.ones((4, 10), np.int32), NEURON)))
COUNTS = [
    LayerCount("input", "input", 20, 300, 0, 0, 0),
    LayerCount("layer0", "dense", 10, 40, 123_000, 122_000, 10 * 2 * 50),
    LayerCount("layer1", "dense", 4, 8, 400, 200, 4 * 2 * 50),
]


def profile(*names):
    chips = [targets.load(name) for name in names]
    return energy.profile(NET, COUNTS, samples=2, steps=50, data="seeded random events", targets=chips).to_json()


def render(shown, title="", width=200, sources=True):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(terminal.profile_table(shown, title, sources))
    return console.export_text()


def cells(text, first):
    return next(line.split() for line in text.splitlines() if line.split()[: len(first)] == first)


def test_layers_per_inference():
    text = render(profile(), "student.net")
    assert "student.net" in text
    assert cells(text, ["input"]) == ["input", "20", "150", "0.150", "0", "0", "0", "0"]
    assert cells(text, ["layer0"]) == ["layer0", "dense", "10", "20.0", "0.0400", "61,500", "61,000", "500", "200"]
    assert cells(text, ["sum"])[3:] == ["14", "24.0", "0.0343", "61,700", "61,100", "700", "240"]
    assert "Per inference of 50 steps: integer network, 2 samples, seeded random events" in text
    assert "Energy" not in text


def test_energy_of_each_target_with_its_constants():
    shown = profile("loihi1", "loihi2")
    text = render(shown)
    for name, found in shown["energy"].items():
        bounds = [terminal.number(found["dynamic_uJ"][key]) for key in ("low", "typical", "high")]
        assert cells(text, [name, "dynamic"]) == [name, "dynamic", *bounds]
        for cost in found["costs"]:
            assert cells(text, [name, cost["name"]])[2] == f"{cost['low']:g}"
    assert "most: synops of layer0" in text
    assert cells(text, ["static"]) == ["static", *["not", "known"] * 3]
    assert cells(text, ["total"]) == ["total", *["not", "known"] * 3]
    flat = " ".join(text.split())
    assert flat.count("estimate, not a measurement") == 1
    assert "loihi1: measured / estimate was 4.3 to 41" in flat
    assert "Davies 2018, Table 2" in flat


def test_energy_at_real_time_is_per_inference_and_per_second():
    shown = profile("loihi1", "loihi2")
    assert "recording's real time" not in render(shown)
    chips = {name: targets.load(name) for name in shown["energy"]}
    for name, found in shown["energy"].items():
        found["real_time"] = real_time.at(0.32, energy.Range(1.0, 2.0, 3.0), chips[name]).to_json()
    text = render(shown)
    assert "Energy at the recording's real time, 0.320 s an inference (estimate)" in text
    assert cells(text.split("recording's real time")[1], ["loihi1", "dynamic"])[2:] == [
        "1.00",
        "2.00",
        "3.00",
        "3.12",
        "6.25",
        "9.38",
    ]
    assert text.count("real time: static power of one chip") == 1


def test_teachers_stand_beside_the_network():
    shown = profile("loihi1")
    target = targets.load("loihi1")
    shown["energy"]["loihi1"]["ann"] = {"snn_energy_uJ": energy.as_json(energy.Range(1, 2, 3))} | dict.fromkeys(
        ("energy_uJ", "break_even_activity", "activity")
    )
    shown["in_memory"] = shown["energy"]["loihi1"]["ann"]
    unknown = teachers.Teacher("far", "logits", "outside", reason="of which nothing is counted")
    shown["teachers"] = [teachers.ann("big", "ann", NET, [target]).to_json(), unknown.to_json()]
    text = render(shown)
    beside = text.split("Beside its teachers")[1]
    own = shown["teachers"][0]["energy_uJ"]["loihi1"]
    bounds = [terminal.number(own[key]) for key in ("low", "typical", "high")]
    assert cells(beside, ["big,", "ann"])[2:] == [*bounds, terminal.number(own["typical"] / 2)]
    assert cells(beside, ["far,", "outside"])[2:] == ["not", "known"] * 3
    assert "not known: energy of far: of which nothing is counted" in text


def test_a_processor_shows_its_instructions():
    shown = profile("cortex-m4")
    counted = processor.ProcessorEnergy(targets.load("cortex-m4"), 12_345, 16)
    shown["energy"]["cortex-m4"] |= counted.to_json()
    text = render(shown)
    assert cells(text, ["cortex-m4", "instructions,"])[-1] == "12,345"
    assert cells(text, ["total"])[2] == terminal.number(counted.total.typical)
    shown["energy"]["cortex-m4"]["instructions"] = None
    assert cells(render(shown), ["cortex-m4", "instructions,"])[-2:] == ["not", "known"]


def test_sources_are_shown_on_demand():
    text = render(profile("loihi1"), sources=False)
    assert "synop_dense" not in text and "Davies" not in text
    assert "snnkd profile --energy --sources" in text


def test_a_network_that_does_not_fit_is_named():
    graded = IntNet(NET.input_shape, NET.layers, message_bits=8)
    shown = energy.profile(
        graded, COUNTS, samples=2, steps=50, data="seeded random events", targets=[targets.load("loihi1")]
    ).to_json()
    assert shown["energy"]["loihi1"]["verdict"] == "refused"
    assert "this network does not fit (see snnkd check --target loihi1)" in " ".join(render(shown).split())
    assert "does not fit" not in render(profile("loihi1"))


def test_what_is_not_known_is_said():
    text = render(profile("loihi2-sim"))
    assert cells(text, ["loihi2-sim", "dynamic"]) == ["loihi2-sim", "dynamic", *["not", "known"] * 3]
    assert "loihi2-sim has no cost of synop, neuron_update, spike" in " ".join(text.split())


@pytest.mark.parametrize("width", [80, 300])
def test_figures_are_whole_at_any_width(width):
    text = render(profile("loihi1"), width=width)
    for figure in ("61,500", "0.0400", "61,700", "not known", "synop_dense"):
        assert figure in text


def test_names_are_not_taken_for_markup():
    shown = copy.deepcopy(profile("loihi1"))
    shown["energy"]["[red]mine[/red]"] = shown["energy"].pop("loihi1")
    text = render(shown, "[bold]a.net")
    assert "[red]mine[/red]" in text
    assert "[bold]a.net" in text


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (0.0012, "0.00120"), (12, "12.0"), (99.96, "100"), (12345.6, "12,346")]
)
def test_number(value, shown):
    assert terminal.number(value) == shown


def test_profiles_side_by_side_and_as_a_table(tmp_path):
    def made(name, factor):
        row = {"name": "layer0", "spikes": 40 * factor, "synops": 300, "synops_effective": 200, "updates": 80}
        first = {"name": "input", "spikes": 999, "synops": 0, "synops_effective": 0, "updates": 0}
        band = {"low": 1.0, "typical": 2.0 * factor, "high": 3.0}
        energy = {"chip": {"dynamic_uJ": band, "static_uJ": None, "total_uJ": None, "latency_us": None}}
        return {"name": name, "samples": 4, "layers": [first, row], "energy": energy if name == "a" else {}}

    both = [made("a", 1), made("b", 3)]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(profiles.side_by_side(both))
    shown = console.export_text()
    assert re.search(r"^ spikes +10\.0 +30\.0 \+200%", shown, re.M)
    assert re.search(r"^ synops +75\.0 +75\.0 *$", shown, re.M)
    assert re.search(r"^ dynamic energy, uJ, chip +2\.00 +not known", shown, re.M)
    profiles.write_csv(both, tmp_path / "figures.csv")
    with (tmp_path / "figures.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {"network": "b", "layer": "all", "quantity": "spikes", "typical": "30.0"}.items() <= rows[-4].items()
    assert [row["high"] for row in rows if row["target"] == "chip"] == ["3.0"]
    assert [row["typical"] for row in rows if row["layer"] == "input" and row["quantity"] == "spikes"] == ["249.75"] * 2
