"""Graphs with real numbers as integer networks: scales chosen on events, and what is said of the difference."""

import sys
from pathlib import Path

import numpy as np
import pytest

from snnkd import formats
from snnkd.analysis import conversion
from snnkd.base.errors import FormatError
from snnkd.engines import conformance
from snnkd.formats import netx

sys.path.insert(0, str(Path(__file__).parents[2] / "toolchain/benchmarks"))

from nir_graphs import affine, between, graphs, lif, node, write

EVENTS = (np.random.default_rng(2).random((24, 40, 20)) < 0.25).astype(np.uint8)


@pytest.fixture
def path(tmp_path):
    found = between((20,), affine("fc", 16, 20), lif("lif0", (16,)), affine("fc1", 4, 16), lif("lif1", (4,)))
    return write(found, tmp_path / "x.nir")


def test_scales_chosen_on_events_are_no_worse_there(path):
    for bits in (8, 4):
        chosen = conversion.convert(path, bits, events=EVENTS).effect
        _, real = formats.load(path), conversion.nir.real_network(path)
        by_numbers, _ = conversion.rounded(real, bits)
        plain = conversion.effect(conversion.nir.opened(path), real, by_numbers, EVENTS, None, "events")
        assert chosen.layers[0].differ <= plain.layers[0].differ
        assert chosen.layers[0].float64 == plain.layers[0].float64 > 1000
    assert chosen.layers[0].differ > 0, "4 bits change nothing here: the comparison shows nothing"


def test_accuracy_and_classes(path):
    labels = np.arange(24) % 4
    effect = conversion.convert(path, events=EVENTS, labels=labels).effect
    assert effect.samples == 24 and effect.steps == 40
    assert effect.classes_equal > 0.8
    assert 0 <= effect.accuracy["float64"] <= 1
    with pytest.raises(FormatError, match=r"labels of the given samples: expected \(24,\) integers"):
        conversion.convert(path, events=EVENTS, labels=labels[:5])
    with pytest.raises(FormatError, match="the given samples: expected integers"):
        conversion.convert(path, events=EVENTS[:, :, :7])


def test_graded_events_tell_their_bits(path):
    assert conversion.convert(path, events=EVENTS * 5).net.message_bits == 3


def test_a_network_of_snnkd_is_taken_as_it_is(tmp_path):
    net, events = conformance.networks()["dense"]
    formats.save(net, tmp_path / "x.nir")
    done = conversion.convert(tmp_path / "x.nir", events=events)
    assert netx.to_bytes(done.net) == netx.to_bytes(net)
    assert done.effect is None and done.layers == []


def test_each_layer_says_what_it_was_made_of(tmp_path):
    done = conversion.convert(write(graphs()["SumPool2d, Conv2d"], tmp_path / "x.nir"))
    assert done.layers[0].nodes == ["SumPool2d pool", "Conv2d conv", "LIF lif"]
    assert done.layers[0].becomes == "conv 6x6, stride (2, 2), padding (2, 2)"


def test_a_bias_behind_a_slow_current_is_said_to_be_settled(tmp_path):
    from nir_graphs import cuba

    done = conversion.convert(write(between((5,), affine(bias=0.2), cuba()), tmp_path / "x.nir"))
    assert any("taken as settled" in note for note in done.layers[0].notes) and not done.layers[0].exact


def test_membrane_readout_of_a_silent_last_layer(tmp_path):
    values = {key: np.full(4, value) for key, value in {"tau": 2e-3, "r": 20.0, "v_leak": 0.0}.items()}
    found = between((20,), affine("fc", 16, 20), lif("lif0", (16,)), affine("fc1", 4, 16), node("li", "LI", **values))
    done = conversion.convert(write(found, tmp_path / "x.nir"), events=EVENTS)
    assert done.net.readout.kind == "membrane" and not done.net.layers[-1].neuron.can_fire
    assert done.effect.classes_equal > 0.8
