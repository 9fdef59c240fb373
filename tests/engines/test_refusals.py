"""What each engine refuses, by layer and with numbers, before anything is written or run."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from snnkd import engines
from snnkd.analysis import evaluation
from snnkd.base.errors import LimitError
from snnkd.engines import c99, conformance, lava
from snnkd.engines.lava import facts
from snnkd.ir.network import Conv, Cuba, Dense, Input, IntNet

NETS = conformance.networks()
SOURCES = [
    *(loaded.source for loaded in facts.LAYERS.values()),
    *facts.NEURONS.values(),
    *(feature.source for feature in facts.FEATURES.values()),
    *(source for limit in facts.LIMITS.values() for source in limit.sources),
]


def random():
    return np.random.default_rng(0)


def conv(**options):
    return conformance.random_conv(random(), (1, 3, 3), 1, **options)


def heavy():
    return IntNet((1, 3, 3), (replace(conv(), weight=np.full((1, 1, 3, 3), 1 << 29, np.int32)),))


def biased_before_delays():
    layers = (
        conformance.random_dense(random(), (3,), 4, bias=True),
        conformance.random_dense(random(), (4,), 2, delays=3),
    )
    return IntNet((3,), layers)


def two_biases():
    image = Input((3,), conformance.random_neuron(random(), bias=True))
    return IntNet((3,), (image, conformance.random_dense(random(), (3,), 2)))


def dense(weight, bits=0):
    return IntNet((2,), (Dense(np.array(weight, np.int32), conformance.random_neuron(random())),), message_bits=bits)


def wide():
    layer = Conv(np.ones((1, 1, 1, 1), np.int32), conformance.random_neuron(random()), (1, 1, 70000))
    return IntNet((1, 1, 70000), (layer,))


PADDED, HEAVY, DELAYED = IntNet((1, 3, 3), (conv(padding=(64, 0)),)), heavy(), biased_before_delays()
REFUSED = [
    ("lava", PADDED, "layer0: Lava holds stride, 2 * padding, kernel and groups in 8 bits, found 128"),
    ("lava", HEAVY, f"layer0: sums of up to {9 << 29} do not fit the 32 bits of Lava's convolution"),
    ("lava", DELAYED, "layer0: has a bias and a later layer has delays: Lava starts all layers at once"),
    ("lava", two_biases(), "layer0: the neurons of an input layer take the image as their bias"),
    ("lava", dense([[300, -2]]), "layer0: weights -2 to 300 with weight_exp 0 are none that Lava's synapses can hold"),
    (
        "onnx",
        dense([[1 << 30, (1 << 30) + 2]], 31),
        f"layer0: sums of up to {(1 << 62) + (1 << 31) - 2} do not fit the 64",
    ),
    ("c99", wide(), "layer0.input: expected sizes below 65536 for the C99 runtime, found (1, 1, 70000)"),
]


@pytest.fixture
def nothing_runs(monkeypatch):
    """Fails where a folder is made, a process started or a file written."""

    def forbidden(*_, **__):
        raise AssertionError("something was written or run")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", forbidden)
    monkeypatch.setattr(subprocess, "Popen", forbidden)
    monkeypatch.setattr(Path, "write_bytes", forbidden)


@pytest.fixture
def everything_installed(monkeypatch):
    for name in engines.ENGINES:
        monkeypatch.setattr(engines.get(name), "available", lambda: None)
    monkeypatch.setattr(c99.build, "find_compiler", lambda: "cc")


@pytest.mark.usefixtures("nothing_runs", "everything_installed")
@pytest.mark.parametrize(("name", "net", "says"), REFUSED, ids=[f"{name}: {says[:30]}" for name, _, says in REFUSED])
def test_refused_before_anything_runs(name, net, says):
    reason = engines.get(name).refuses(net)
    assert reason is not None and reason.startswith(says)
    events = np.zeros((1, 2, *net.input_shape), np.uint8)
    with pytest.raises(LimitError, match=re.escape(reason)):
        engines.get(name).run(net, events)
    sentence = f"engine '{name}' does not take this network: {reason}; engines that run it here: fast, reference"
    for call in (lambda: engines.usable(name, net), lambda: evaluation.simulate(net, events, name)):
        with pytest.raises(LimitError) as error:
            call()
        assert str(error.value).startswith(sentence)
        assert f", {name}" not in str(error.value).split("here: ")[1]


@pytest.mark.usefixtures("everything_installed")
def test_at_the_limit_nothing_is_refused():
    """A size, a sum or a weight less, and the same networks are taken."""
    assert lava.refuses(IntNet((1, 3, 3), (conv(padding=(63, 0)),))) is None
    (layer,) = HEAVY.layers
    assert isinstance(layer, Conv)
    taken = replace(layer, weight=layer.weight // 9 * 4)
    assert 3 << 29 < np.abs(taken.weight).sum() < 1 << 31
    assert lava.refuses(replace(HEAVY, layers=(taken,))) is None
    assert lava.refuses(replace(HEAVY, layers=(taken,), message_bits=2)) is not None
    assert lava.refuses(IntNet((4,), DELAYED.layers[1:])) is None
    assert lava.refuses(dense([[254, -2]])) is None
    assert engines.get("onnx").refuses(dense([[1 << 30, 1 << 30]], 31)) is None


@pytest.mark.parametrize("name", engines.ENGINES)
def test_conformance_networks_are_taken(name):
    for net in (*(net for net, _ in NETS.values()), *map(conformance.random_net, range(20))):
        reason = engines.get(name).refuses(net)
        assert reason is None or (name == "lava" and "has a bias and a later layer has delays" in reason)


@pytest.mark.parametrize("net", [net for _, net, _ in REFUSED])
def test_the_definition_takes_all_networks(net):
    assert engines.get("reference").refuses(net) is engines.get("fast").refuses(net) is None


def test_an_engine_that_cannot_run_here(monkeypatch):
    monkeypatch.setattr(lava, "available", lambda: "no Lava")
    with pytest.raises(
        LimitError, match="engine 'lava' cannot run here: no Lava; engines that run it here: fast, reference"
    ):
        engines.usable("lava", DELAYED)
    assert engines.usable("reference", DELAYED) is engines.get("reference")


def test_kinds_that_netx_does_not_load(monkeypatch):
    net, _ = NETS["conv"]
    assert lava.refuses(net) is None
    with monkeypatch.context() as changed:
        changed.delitem(facts.LAYERS, "dense")
        assert lava.refuses(net) == "layer3: NetX loads no layers of the kind 'dense'"
    monkeypatch.delitem(facts.NEURONS, Cuba.kind)
    assert lava.refuses(net) == "layer0: the engine records no neurons of the kind 'cuba'"


@pytest.mark.parametrize(
    ("name", "together", "reset", "shape"),
    [
        ("conv", True, True, (7, 9, 2)),
        ("delays", False, False, None),
        ("input", False, True, None),
        ("single", True, False, None),
    ],
)
def test_the_job_follows_from_the_facts(name, together, reset, shape):
    net, _ = NETS[name]
    job = lava.job(net, states=True)
    assert (job["together"], job["reset"], job["input_shape"]) == (together, reset, shape)
    assert (job["flat"], job["bias_input"]) == (name in ("delays", "single"), name == "input")


@pytest.mark.skipif(find_spec("lava") is None, reason="lava-nc is not installed")
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: f"{source.file}:{source.line}")
def test_the_sources_say_so(source):
    spec = find_spec("lava")
    assert spec is not None and spec.submodule_search_locations
    paths = [Path(place) / source.file for place in spec.submodule_search_locations]
    (text,) = [path.read_text() for path in paths if path.is_file()]
    assert source.text in text.splitlines()[source.line - 1]
