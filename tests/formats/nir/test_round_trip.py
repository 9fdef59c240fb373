"""Networks come back from a `.nir` file as they were, also when nir itself, or another tool, has written it again."""

import sys

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkd import formats
from snnkd.analysis import evaluation
from snnkd.base.errors import FormatError, SnnkdError, SnnkdWarning
from snnkd.engines import conformance
from snnkd.formats import netx
from snnkd.formats import nir as ours
from snnkd.formats.nir import assembly, export, graph, rounding
from snnkd.ir.readout import EarlyExit, Readout

NAMED = {name: net for name, (net, _) in conformance.networks().items() if not net.is_sigma_delta}
SEEDS = st.integers(0, 10_000)


def back(net, folder):
    formats.save(net, folder / "x.nir")
    return formats.load(folder / "x.nir")


@pytest.mark.parametrize("name", NAMED)
def test_the_same_file_bit_for_bit(name, tmp_path):
    net = back(NAMED[name], tmp_path)
    assert netx.to_bytes(net) == netx.to_bytes(NAMED[name])


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, small=st.booleans())
def test_random_networks_come_back(seed, small, tmp_path_factory):
    net = (conformance.small_net if small else conformance.random_net)(seed)
    again = back(net, tmp_path_factory.mktemp("nir"))
    assert ours.to_bytes(again) == ours.to_bytes(net)
    assert netx.to_bytes(again) == netx.to_bytes(net)


def test_what_a_file_says_beside_its_layers(tmp_path):
    from dataclasses import replace

    facts = {
        "steps": 16,
        "encoding": {"kind": "rate", "text": "\u00e9 \u4e2d"},
        "provenance": {"seed": 1, "list": [1.5, None]},
    }
    net = replace(NAMED["single"], readout=Readout(ties="membrane", population=2), early_exit=EarlyExit(2, 1), **facts)
    net = replace(net, class_names=tuple(f"class {k}" for k in range(net.layers[-1].shape[0] // 2)))
    again = back(net, tmp_path)
    assert (again.steps, again.encoding, again.provenance) == (16, facts["encoding"], facts["provenance"])
    assert (again.readout, again.early_exit, again.class_names) == (net.readout, net.early_exit, net.class_names)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_the_graph_alone_is_the_same_network(seed, tmp_path_factory):
    """Without the metadata: where weights are even, the rules find the integers, and every spike and state."""
    random = np.random.default_rng(seed)
    layers, shape = [], (2, 5, 5)
    for _ in range(random.integers(0, 3)):
        layers.append(conformance.random_conv(random, shape, 3, (2, 2), vary=True, bias=bool(random.integers(2))))
        shape = layers[-1].shape
    for _ in range(random.integers(1, 3)):
        delays = int(random.choice([0, 3, 62]))
        layers.append(conformance.random_dense(random, shape, int(random.integers(2, 7)), delays=delays, vary=True))
        shape = layers[-1].shape
    net = conformance.IntNet((2, 5, 5), tuple(layers))
    path = tmp_path_factory.mktemp("nir") / "x.nir"
    formats.save(net, path)
    found, choices = rounding.rounded(assembly.assembled(graph.read(path)))
    events = conformance.random_events(random, net, 2, 70)
    expected, actual = (evaluation.simulate(one, events, states=True) for one in (net, found))
    for mine, theirs in zip(expected.layers, actual.layers, strict=True):
        np.testing.assert_array_equal(mine.spikes.reshape(-1), theirs.spikes.reshape(-1))
        np.testing.assert_array_equal(mine.v.reshape(-1), theirs.v.reshape(-1))
    assert all(not choice.notes for choice in choices)


def test_nir_reads_it_and_what_it_writes_is_the_same_network(tmp_path):
    nir = pytest.importorskip("nir")
    for name, net in NAMED.items():
        square = all(layer.weight.shape[2] == layer.weight.shape[3] for layer in net.layers if layer.kind == "conv")
        formats.save(net, tmp_path / "x.nir")
        nir.write(tmp_path / "y.nir", nir.read(tmp_path / "x.nir", type_check=square))
        assert netx.to_bytes(formats.load(tmp_path / "y.nir")) == netx.to_bytes(net), name


def test_a_graph_that_was_changed_is_read_as_it_is_now(tmp_path):
    net = NAMED["single"]
    formats.save(net, tmp_path / "x.nir")
    with h5py.File(tmp_path / "x.nir", "r+") as file:
        file["node/nodes/layer0_linear/weight"][0, 0] += 20
    with pytest.warns(SnnkdWarning, match="has been changed since"):
        again = formats.load(tmp_path / "x.nir")
    assert again.layers[0].weight[0, 0] == net.layers[0].weight[0, 0] + 20


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("network", "{"),
        ("network", '{"layers": []}'),
        ("network", "[1]"),
        ("network", "[" * 90_000),
        ("layer0.weight", np.zeros((2, 2), np.int32)),
        ("layer0.weight", np.zeros((8, 12))),
        ("layer0.threshold", np.array(1 << 40)),
        ("layer1.current_decay", "text"),
    ],
)
def test_damaged_metadata(name, value, tmp_path):
    formats.save(NAMED["single"], tmp_path / "x.nir")
    with h5py.File(tmp_path / "x.nir", "r+") as file:
        del file[f"node/metadata/{name}"]
        file[f"node/metadata/{name}"] = value
    with pytest.raises(FormatError, match=r"x\.nir: metadata: not the network that snnkd writes there"):
        formats.load(tmp_path / "x.nir")


def test_what_nir_has_no_words_for_is_said(tmp_path):
    for name, part in {
        "graded dense": "8 bits",
        "delays": "Delay nodes",
        "input": "image",
        "dense": "v_leak",
        "conv": "not square",
    }.items():
        assert any(part in line for line in export.unsaid(NAMED[name])), name
    formats.save(NAMED["delays"], tmp_path / "x.nir")
    assert "Delay nodes" in str(graph.read(tmp_path / "x.nir").metadata["not_in_nir"])


def test_reading_and_writing_need_no_nir(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nir", None)
    assert back(NAMED["single"], tmp_path).input_shape == NAMED["single"].input_shape


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(SnnkdError, match=r"expected a name that ends with \.net or \.nir"):
        formats.save(NAMED["single"], tmp_path / "x.txt")
