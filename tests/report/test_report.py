"""The terminal shows what `--json` says."""

import copy
import io

import numpy as np
import pytest
from rich.console import Console

from snnkd import targets
from snnkd.analysis import energy
from snnkd.ir.network import Cuba, Dense, IntNet
from snnkd.ir.trace import LayerCount
from snnkd.report import terminal

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
