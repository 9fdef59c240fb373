"""Sigma-delta networks from files: as teachers and as what a training starts from, message by message."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snnkd import recipe
from snnkd.data import datasets
from snnkd.engines.reference import definition
from snnkd.formats import netx
from snnkd.ir.network import Conv, Dense, IntNet, Sigma, SigmaDelta
from snnkd.ir.readout import Readout
from snnkd.training.chain import Chain
from snnkd.training.deploy import to_intnet
from snnkd.training.measuring import measure, measure_training
from snnkd.training.network import Network

pytestmark = pytest.mark.training

_MEMBRANE = Readout("membrane", "first")
_NETWORK = {
    "input": [1, 8, 8],
    "layers": [
        {"kind": "conv", "channels": 4, "kernel": 3, "stride": 2, "padding": 1},
        {"kind": "dense", "neurons": 12},
        {"kind": "dense", "neurons": 10},
    ],
}


@pytest.fixture(scope="module")
def digits() -> datasets.DataSet:
    whole = datasets.load("digits", validation=0.1, seed=1)
    return replace(whole, train=whole.train.take(np.arange(200)), validation=whole.validation.take(np.arange(60)))


def _net(**changes: Any) -> IntNet:
    """A network that fits _NETWORK, with thresholds and biases, and weights of which none is at an end of the range."""
    random = np.random.default_rng(5)
    shapes = ((4, 1, 3, 3), 100), ((12, 64), 50), ((10, 12), 100)
    first, second, last = ((random.integers(-top, top, shape) * 2).astype(np.int32) for shape, top in shapes)
    hidden = [SigmaDelta(vth, random.integers(-20, 60, n).astype(np.int32)) for vth, n in ((3, 4), (0, 12))]
    conv = Conv(first, hidden[0], (4, 4, 4), (2, 2), (1, 1))
    layers = (conv, Dense(second, hidden[1]), Dense(last, Sigma()))
    return IntNet(**{"input_shape": (1, 8, 8), "layers": layers, "message_bits": 8, "readout": _MEMBRANE, **changes})


def _saved(net: IntNet, folder: Path) -> str:
    netx.save(net, folder / "old.net")
    return str(folder / "old.net")


def _chain(folder: Path, data: datasets.DataSet, kind: str, chain: dict[str, Any], **tables: Any) -> Chain:
    table = {
        "name": "files",
        "encoding": {"steps": 1 if kind == "sigma-delta" else 4, "bits": 8},
        "neuron": {"kind": kind},
        "readout": {"kind": "membrane"},
        "networks": {"small": _NETWORK},
        "chain": chain,
        **tables,
    }
    return Chain(recipe.parse(table), data, folder / "run")


@pytest.mark.parametrize("kind", ["cuba", "sigma-delta"])
@pytest.mark.parametrize("readout", [_MEMBRANE, Readout()], ids=["membrane", "count"])
def test_a_file_teaches_what_its_integer_network_says(
    tmp_path: Path, digits: datasets.DataSet, kind: str, readout: Readout
) -> None:
    """It is told the image once, whatever steps the student has; each of these gets an equal share."""
    net, images = _net(readout=readout), np.arange(50)
    taught = {"network": "small", "epochs": 1, "distil": {"losses": {"kl": 1.0}}, "features": {"maps": "rate"}}
    chain = _chain(tmp_path, digits, kind, {"teacher": {"net": _saved(net, tmp_path)}, "student": taught})
    trace = definition.simulate(net, digits.train.images[images][:, None])
    teacher = chain._training("student", {"teacher": chain.net("teacher")}).teacher  # pyright: ignore
    sat = teacher.sat(images, 0)
    assert len(sat) == chain.recipe.encoding.steps and torch.equal(sat[0], sat[-1])
    _assert_in_units_of(sat.sum(dim=0).T.numpy(), trace.layers[-1].v_last)
    for name, maps in teacher.features(images, 0, ["layer0", "layer1"], "rate").items():
        _assert_in_units_of(maps.numpy(), trace.layers[net.names.index(name)].spikes[:, 0])
    rows: list[dict[str, Any]] = []
    chain.train(["teacher", "student"], resume=False, on_epoch=rows.append)
    assert rows[-1]["loss.kl"] > 0 and rows[-1]["loss.features"] > 0


def _assert_in_units_of(values: np.ndarray, integers: np.ndarray) -> None:
    """That values are these integers, in a unit of which nothing else is known."""
    assert integers.any()
    unit = integers.flat[np.abs(integers).argmax()] / values.flat[np.abs(integers).argmax()].astype(np.float64)
    np.testing.assert_array_equal(np.rint(values * unit), integers)


def _started(folder: Path, data: datasets.DataSet, net: IntNet, bits: int = 8) -> Chain:
    stage = {"network": "small", "start": _saved(net, folder), "epochs": 3, "batch": 32}
    neuron = {"kind": "sigma-delta", "message_threshold": 0.4}  # of which the file knows nothing
    return _chain(folder, data, "sigma-delta", {"student": stage}, neuron=neuron, quantization={"weight_bits": bits})


def _deployed(network: Network) -> IntNet:
    return to_intnet(network.blocks, network.input_shape, message_bits=8, readout=_MEMBRANE)


@pytest.mark.parametrize(("bits", "steps"), [(8, (2, 2, 2)), (4, (32, 16, 32))])
def test_a_stage_starts_as_the_network_of_a_file(
    tmp_path: Path, digits: datasets.DataSet, bits: int, steps: tuple[int, ...]
) -> None:
    """steps: the finest in which a layer's largest weight has these bits."""
    net = _net()
    nearest = [
        replace(layer, weight=(np.rint(layer.weight / step) * step).astype(np.int32))
        for layer, step in zip(net.layers, steps, strict=True)
    ]
    chain = _started(tmp_path, digits, net, bits)
    network, feed = chain.network("student").eval(), chain.feed(digits.train)
    events = feed.events(np.arange(100))
    expected = definition.simulate(replace(net, layers=tuple(nearest)), events)
    for _ in range(2):
        for layer, rounded in zip(_deployed(network).layers, nearest, strict=True):
            np.testing.assert_array_equal(layer.weight, rounded.weight)
            if rounded.neuron.kind == "sigma-delta":
                assert layer.neuron.threshold == rounded.neuron.threshold
                np.testing.assert_array_equal(layer.neuron.bias, rounded.neuron.bias)
        for ours, theirs in zip(network.trace(events, net.names).layers, expected.layers, strict=True):
            assert theirs.spikes.any()
            np.testing.assert_array_equal(ours.spikes, theirs.spikes, theirs.name)
        network.calibrate(feed.batch(np.arange(100))[0])  # finds units, and changes no integer
        assert all(float(block.neuron.scale) != 1 for block in network.layers[:-1])


def test_a_training_from_a_file_goes_on_and_keeps_the_thresholds(
    tmp_path: Path, digits: datasets.DataSet, weights, equal
) -> None:
    chain = _started(tmp_path, digits, _net())

    def stop(row: dict[str, Any]) -> None:
        if row["epoch"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        chain.train(["student"], resume=False, on_epoch=stop)
    chain.train(["student"], resume=True)
    resumed = weights(chain.load("student"))
    chain.train(["student"], resume=False)
    Path(chain.recipe.chain["student"].start or "").unlink()
    trained = chain.load("student")  # needs the file no longer
    assert equal(weights(trained), resumed) and not equal(resumed, weights(chain.network("student")))
    feed = chain.feed(digits.test)
    assert [block.neuron.threshold for block in trained.layers[:-1]] == [3, 0]
    net = chain.deployed("student", trained, {})
    assert measure_training(trained, feed, net.readout) == replace(measure(net, feed), course=None)
