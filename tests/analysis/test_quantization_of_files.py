"""`snnkd quantize`: networks with real weights or too many bits, rounded layer by layer."""

import warnings
from dataclasses import replace

import h5py
import numpy as np
import pytest

from snnkd.analysis import evaluation, quantization
from snnkd.analysis.fit import weight_bits
from snnkd.base.errors import LimitError, SnnkdWarning
from snnkd.engines import conformance
from snnkd.engines.reference import definition
from snnkd.formats import netx
from snnkd.ir.network import Dense, IntNet
from snnkd.ir.readout import EarlyExit


@pytest.fixture
def real(tmp_path):
    """Writes a network and gives it other, real weights: `change(name of the layer, integers)`."""

    def write(net, change, name="real.net"):
        path = tmp_path / name
        netx.save(net, path)
        with h5py.File(path, "r+") as file:
            for key, group in file["layer"].items():
                if "weight" in group:
                    values = change(key, group["weight"][()].astype(np.float64))
                    del group["weight"]
                    group["weight"] = values.astype(np.float32)
        return path

    return write


@pytest.fixture
def net():
    random = np.random.default_rng(3)
    conv = conformance.random_conv(random, (2, 6, 5), 4, (3, 2), thresholds=(90, 90), decays=(1000, 4096))
    hidden = conformance.random_dense(random, conv.shape, 12, thresholds=(120, 120), decays=(1000, 4096), delays=3)
    output = conformance.random_dense(random, (12,), 5, thresholds=(80, 80), decays=(1000, 4096), bias=True)
    return IntNet((2, 6, 5), (conv, hidden, output), steps=12)


def test_slayers_weights_come_back_to_the_integers_that_they_were(real, net, same_net):
    quantized = quantization.quantize(real(net, lambda _, weight: weight / 64), 8)
    assert quantized.unit == 64
    same_net(quantized.net, net)
    assert all((row.scale, row.step, row.error, row.clipped) == (64, 2, 0, 0) for row in quantized.layers)


def test_a_network_that_needs_nothing_stays_as_it_is(real, net, same_net):
    quantized = quantization.quantize(real(net, lambda _, weight: weight), 8)
    same_net(quantized.net, net)
    assert quantized.unit == 1 and all(row.error == 0 for row in quantized.layers)


@pytest.mark.parametrize("bits", range(2, 9))
def test_no_weight_has_more_bits_and_the_file_holds_them(real, net, tmp_path, bits):
    quantized = quantization.quantize(real(net, lambda _, weight: weight * 0.37 + 0.01), bits)
    for layer in quantized.net.layers:
        assert weight_bits(layer.weight) <= bits and layer.weight.any()
    netx.save(quantized.net, tmp_path / "out.net")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = netx.load(tmp_path / "out.net")
    for left, right in zip(again.layers, quantized.net.layers, strict=True):
        np.testing.assert_array_equal(left.weight, right.weight)


def test_thresholds_and_biases_follow_the_scale_of_their_layer(real, net):
    path = real(net, lambda key, weight: weight * (0.3 if key == "1" else 1))
    quantized = quantization.quantize(path, 8)
    for row, layer, before in zip(quantized.layers, quantized.net.layers, net.layers, strict=True):
        np.testing.assert_array_equal(layer.neuron.threshold, np.rint(before.neuron.threshold * row.scale))
        assert row.error < 0.01
    assert quantized.layers[0].scale != 1 and quantized.layers[2].scale == 1
    bias = quantized.net.layers[2].neuron.bias
    assert bias is not None
    np.testing.assert_array_equal(bias, net.layers[2].neuron.bias)


def test_a_scale_of_ones_own_keeps_the_thresholds(real, net):
    quantized = quantization.quantize(real(net, lambda _, weight: weight / 10), 8, scale=10.0)
    assert [row.threshold for row in quantized.layers] == [(90, 90), (120, 120), (80, 80)]
    for layer, before in zip(quantized.net.layers, net.layers, strict=True):
        np.testing.assert_array_equal(layer.weight, before.weight)
    far = quantization.quantize(real(net, lambda _, weight: weight / 10), 8, scale=100.0)
    assert all(row.clipped for row in far.layers)


def test_the_float_run_is_the_definition_where_nothing_is_rounded(real):
    """Decays of 0, 1/2 and 1, and states that stay integers: both must spike alike."""
    random = np.random.default_rng(4)
    conv = conformance.random_conv(
        random, (2, 6, 5), 4, (3, 2), thresholds=(90, 90), decays=(4096, 4096), padding=(1, 0)
    )
    hidden = conformance.random_dense(random, conv.shape, 12, thresholds=(120, 120), decays=(4096, 4096), delays=3)
    output = conformance.random_dense(random, (12,), 5, thresholds=(80, 80), decays=(0, 0), bias=True)
    net = IntNet((2, 6, 5), (conv, hidden, output), steps=12)
    quantized = quantization.quantize(real(net, lambda _, weight: weight), 8)
    events = conformance.random_events(random, net, 5, 12)
    effect = quantization.effect(quantized, events, None, "events")
    expected = definition.simulate(net, events)
    assert [row["before"] for row in effect.spikes] == expected.events[1:]
    assert [row["after"] for row in effect.spikes] == expected.events[1:]
    assert effect.classes_equal == 1 and effect.accuracy is None


def test_no_sum_of_the_float_run_is_cut_off(real):
    """One network in two units: thresholds are multiplied as weights are, so both spike alike."""
    random, spikes = np.random.default_rng(4), []
    conv = conformance.random_conv(random, (2, 6, 5), 4, (3, 2), thresholds=(96, 96))
    output = conformance.random_dense(random, conv.shape, 5, thresholds=(128, 128))
    for unit in (1, 32):
        layers = [
            replace(layer, neuron=replace(layer.neuron, threshold=layer.neuron.threshold // unit))
            for layer in (conv, output)
        ]
        net = IntNet((2, 6, 5), tuple(layers), steps=12)
        events = conformance.random_events(np.random.default_rng(5), net, 20, 12)
        quantized = quantization.quantize(real(net, lambda _, weight, unit=unit: weight / unit), 8, scale=1.0)
        spikes.append([row["before"] for row in quantization.effect(quantized, events, None, "events").spikes])
    assert spikes[0] == spikes[1] and all(spikes[0])


def test_what_is_delayed_beyond_the_last_step_never_arrives(real):
    random = np.random.default_rng(8)
    net = IntNet((6,), (conformance.random_dense(random, (6,), 5, delays=4, thresholds=(60, 60)),), steps=3)
    events = conformance.random_events(random, net, 20, 3)
    effect = quantization.effect(quantization.quantize(real(net, lambda _, weight: weight), 8), events, None, "events")
    assert effect.spikes[0]["before"] == definition.simulate(net, events).events[1] > 0


def test_accuracy_before_and_after(real, net):
    quantized = quantization.quantize(real(net, lambda _, weight: weight * 0.37), 2)
    events = conformance.random_events(np.random.default_rng(5), net, 40, 12)
    labels = evaluation.simulate(net, events).classes(net)
    effect = quantization.effect(quantized, events, labels, "events")
    assert effect.accuracy is not None
    after = evaluation.simulate(quantized.net, events).classes(quantized.net)
    assert effect.accuracy["after"] == float((after == labels).mean())
    assert effect.accuracy["before"] >= effect.accuracy["after"]


def test_thresholds_out_of_reach_stay_there_and_others_stay_within_their_bits(real):
    random = np.random.default_rng(6)
    hidden = conformance.random_dense(random, (9,), 7, thresholds=(100_000, 100_000))
    output = conformance.random_dense(random, (7,), 3, thresholds=(1 << 17, 1 << 17))
    path = real(IntNet((9,), (hidden, output)), lambda _, weight: weight * 0.01)
    quantized = quantization.quantize(path, 8)
    assert 0 < int(quantized.net.layers[0].neuron.threshold) <= (1 << 17) - 1
    assert int(quantized.net.layers[1].neuron.threshold) == 1 << 17
    assert quantized.net.layers[0].weight.any()


@pytest.mark.parametrize(("bits", "scale"), [(1, None), (9, None), (8, 0.0), (8, float("nan")), (8, float("inf"))])
def test_unusable_options(real, net, bits, scale):
    with pytest.raises(LimitError, match=r"--bits|--scale"):
        quantization.quantize(real(net, lambda _, weight: weight), bits, scale)


def test_the_rule_for_early_exit_goes(real, net):
    path = real(replace(net, early_exit=EarlyExit(2, 1)), lambda _, weight: weight * 0.3)
    with pytest.warns(SnnkdWarning, match="its rule for early exit is left out"):
        assert quantization.quantize(path, 8).net.early_exit is None


def test_a_dense_layer_keeps_its_delays(real, net):
    quantized = quantization.quantize(real(net, lambda _, weight: weight * 0.3), 8)
    layer, before = quantized.net.layers[1], net.layers[1]
    assert isinstance(layer, Dense) and isinstance(before, Dense)
    np.testing.assert_array_equal(layer.delay, before.delay)
