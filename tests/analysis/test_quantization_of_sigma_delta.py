"""`snnkd quantize` of sigma-delta networks: messages grow and shrink with the weights, and nothing else changes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from snnkd.analysis import evaluation, headroom, quantization
from snnkd.analysis.fit import weight_bits
from snnkd.engines import conformance
from snnkd.formats import netx
from snnkd.ir.network import Conv, Dense, IntNet, Sigma, SigmaDelta
from snnkd.ir.readout import Readout

_OWN: dict[str, Any] = {"spike_exp": 4, "state_exp": 3, "activation": "unit", "cumulative": True}


def _net(**neuron: Any) -> IntNet:
    random = np.random.default_rng(11)

    def neurons(count: int) -> SigmaDelta:
        return SigmaDelta(5, random.integers(-50, 90, count).astype(np.int32), **neuron)

    conv = conformance.random_conv(random, (2, 6, 5), 4, (3, 2), largest=254)
    hidden = conformance.random_dense(random, conv.shape, 12, largest=254)
    output = conformance.random_dense(random, (12,), 5, largest=254)
    layers = (replace(conv, neuron=neurons(4)), replace(hidden, neuron=neurons(12)), replace(output, neuron=Sigma()))
    return IntNet((2, 6, 5), layers, steps=4, message_bits=8, readout=Readout("membrane"))


def _file(net: IntNet, path: Path, factors: Sequence[float] = (), follows: bool = True) -> Path:
    """Writes the network with the weights of each layer times its factor, and, where it `follows`, all that this
    changes: thresholds and biases, of the layers behind too."""
    netx.save(net, path)
    sums = 1.0
    with h5py.File(path, "r+") as file:
        groups = [file["layer"][key] for key in sorted(file["layer"], key=int) if "weight" in file["layer"][key]]
        for group, factor in zip(groups, factors, strict=False):
            sums *= factor if follows else 1
            _replace(group, "weight", group["weight"][()] * np.float32(factor))
            if "bias" in group:
                _replace(group, "bias", group["bias"][()] * sums)
                _replace(group, "neuron/vThMant", round(group["neuron/vThMant"][()] * sums))
    return path


def _replace(group: h5py.Group, name: str, values: Any) -> None:
    del group[name]
    group[name] = values


_OWN_NET = _net(**_OWN)


@pytest.mark.parametrize(
    ("net", "events"),
    [
        *(conformance.networks()[f"sigma delta {name}"] for name in ("conv", "once", "delays")),
        (_OWN_NET, conformance.random_events(np.random.default_rng(2), _OWN_NET, 6, 5) >> 6),
    ],
    ids=["conv", "once", "delays", "own"],
)
def test_the_float_run_is_the_definition_where_nothing_is_rounded(tmp_path, same_net, net, events):
    quantized = quantization.quantize(_file(net, tmp_path / "x.net"), 8)
    same_net(quantized.net, net)
    effect, expected = quantization.effect(quantized, events, None, "events"), evaluation.simulate(net, events)
    assert not sum(layer.overflows for layer in expected.layers) and all(expected.events)
    assert [row["before"] for row in effect.spikes] == [row["after"] for row in effect.spikes] == expected.events[1:]
    assert effect.classes_equal == 1


@pytest.mark.parametrize("own", [{}, _OWN], ids=["netx", "own"])
def test_weights_of_more_bits_come_back_with_smaller_messages(tmp_path, same_net, own):
    """The file says the same with messages 8, 64 and 512 times as large."""
    net = _net(**own)
    path = _file(net, tmp_path / "x.net", (8, 8, 8))
    quantized = quantization.quantize(path, 8)
    same_net(quantized.net, net)
    assert [(row.scale, row.sums, row.error) for row in quantized.layers] == [(1 / 8, 8.0**-k, 0) for k in (1, 2, 3)]
    assert quantized.layers[1].threshold == (5 * 64, 5) and quantized.layers[2].threshold == (None, None)


@pytest.mark.parametrize("bits", [2, 4, 6])
def test_sums_stay_as_large_and_thresholds_and_biases_follow(tmp_path, bits):
    net = _net()
    quantized = quantization.quantize(_file(net, tmp_path / "x.net", (2.3, 0.4, 1)), bits)
    for row, layer, fit in zip(quantized.layers, quantized.net.layers, quantized.biases, strict=True):
        assert isinstance(layer, Conv | Dense)
        assert weight_bits(layer.weight) <= bits and 0.3 < row.sums <= 1
        if layer.neuron.kind == "sigma-delta":
            before, after = row.threshold
            assert before is not None and after == layer.neuron.threshold == round(before * row.sums)
            np.testing.assert_array_equal(layer.neuron.bias, np.rint(fit * row.sums))


def test_eight_bits_give_the_sums_of_real_weights(tmp_path):
    """Weights that are no integers, of more bits and of fewer; outputs are compared by what they add up."""
    net, random = _net(), np.random.default_rng(3)
    quantized = quantization.quantize(_file(net, tmp_path / "x.net", (3.7, 0.61, 1.9)), 8)
    events = conformance.random_events(random, net, 200, 4, activity=0.5)
    before, after = (evaluation.simulate(each, events).layers[-1].v_last for each in (net, quantized.net))
    assert before is not None and after is not None
    times = 3.7 * 0.61 * 1.9 * quantized.layers[-1].sums
    np.testing.assert_allclose(after / times, before, atol=0.02 * np.abs(before).max())
    uses = [use for row in headroom.measure(quantized.net, events).layers for use in row.uses.values()]
    assert max(use.used for use in uses) < 1


def test_slayers_weights_come_back_to_the_integers_that_they_were(tmp_path, same_net):
    """Beside thresholds and biases as the hardware holds them, as lava-dl writes them."""
    net = _net()
    quantized = quantization.quantize(_file(net, tmp_path / "x.net", [1 / 64] * 3, follows=False), 8)
    assert quantized.unit == 64
    same_net(quantized.net, net)


def test_the_command_says_what_became_of_the_sums(tmp_path, call):
    path = _file(_net(), tmp_path / "x.net", (8, 8, 8))
    status, output, _ = call("quantize", path, "--bits", "8", "--out", tmp_path / "small.net")
    assert status == 0 and "all that the layers add up is multiplied by 0.125, 0.01562, 0.001953" in output
    assert weight_bits(netx.load(tmp_path / "small.net").layers[0].weight) <= 8
    output = call("quantize", tmp_path / "small.net", "--bits", "8", "--out", tmp_path / "same.net")[1]
    assert "add up" not in output and "5 -> 5" in output
    assert (tmp_path / "same.net").read_bytes() == (tmp_path / "small.net").read_bytes()
