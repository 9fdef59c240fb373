"""Sigma-delta networks, biases and folded normalization: what is trained is what is deployed, in every message."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snnkd import recipe
from snnkd.base.errors import QuantizationError
from snnkd.data import datasets
from snnkd.engines.reference import definition
from snnkd.ir.network import IntNet
from snnkd.ir.readout import Readout
from snnkd.recipe.architecture import Architecture, Conv, Dense
from snnkd.recipe.tables import Neuron, Quantization
from snnkd.training.chain import Chain
from snnkd.training.deploy import to_intnet
from snnkd.training.loop.step import backward
from snnkd.training.measuring import measure, measure_training
from snnkd.training.network import Kind, Network
from snnkd.training.neuron import MANTISSAS
from snnkd.training.products import in_float64, sums, sums_of_messages, weight_of
from snnkd.training.start import start_from

pytestmark = pytest.mark.training

_LAYERS = (
    Conv(channels=6, kernel=(3, 3), stride=(2, 2), padding=(1, 1)),
    Conv(channels=8, kernel=(3, 3), padding=(2, 2), dilation=(2, 2), groups=2),
    Dense(neurons=12),
    Dense(neurons=4),
)
_MEMBRANE = Readout("membrane", "first")


def _trained(kind: Kind, steps: int, bits: int = 8, readout: Readout = _MEMBRANE, **settings: Any) -> Network:
    """A network with random weights, gains and shifts, whose statistics are those of random events."""
    torch.manual_seed(len(settings) + steps + bits)
    plan = Architecture(name="small", input=(2, 9, 9), layers=_LAYERS)
    network = Network(plan, Neuron(**settings), Quantization(weight_bits=bits), 255, readout, kind)
    network.calibrate(_events(kind, steps))
    for norm in network.norms:
        norm.gain.data.uniform_(0.5, 1.5)
    for bias in network.biases:
        bias.values.data.uniform_(-1, 1)
    for _ in range(30):
        backward(network, _events(kind, steps), lambda sat: {"loss": sat.square().mean()})
    return network


def _events(kind: Kind, steps: int) -> torch.Tensor:
    """Random events of 8 bits; for CUBA neurons of 4, whose u would wrap otherwise."""
    return torch.randint(0, 256 if kind == "sigma-delta" else 16, (40, steps, 2, 9, 9)).float()


def _deployed(network: Network, steps: int) -> IntNet:
    return to_intnet(network.blocks, network.input_shape, steps=steps, message_bits=8, readout=_MEMBRANE)


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("threshold", [0.0, 0.7])
def test_every_message_is_the_integer_networks(steps: int, bits: int, threshold: float) -> None:
    network = _trained("sigma-delta", steps, bits, message_threshold=threshold)
    network.fold()
    events = _events("sigma-delta", steps).numpy().astype(np.uint8)
    net = _deployed(network.eval(), steps)
    theirs, ours = definition.simulate(net, events), network.trace(events, net.names)
    for mine, of_net in zip(ours.layers, theirs.layers, strict=True):
        assert of_net.spikes.any()
        np.testing.assert_array_equal(mine.spikes, of_net.spikes, of_net.name)
    np.testing.assert_array_equal(ours.layers[-1].v_last, theirs.layers[-1].v_last)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_every_spike_with_a_bias_is_the_integer_networks(batch_norm: bool) -> None:
    network = _trained("cuba", 4, bias=True, batch_norm=batch_norm, voltage_decay=0.3)
    network.fold()
    events = _events("cuba", 4).numpy().astype(np.uint8)
    net = _deployed(network.eval(), 4)
    assert all(layer.neuron.bias is not None and layer.neuron.bias.any() for layer in net.layers)
    theirs, ours = definition.simulate(net, events), network.trace(events, net.names)
    for mine, of_net in zip(ours.layers[:-1], theirs.layers[:-1], strict=True):
        assert of_net.spikes.any()
        np.testing.assert_array_equal(mine.spikes, of_net.spikes, of_net.name)
    np.testing.assert_array_equal(ours.layers[-1].v_last, theirs.layers[-1].v_last)


@pytest.mark.parametrize("readout", [_MEMBRANE, Readout("count", "membrane")], ids=["membrane", "count"])
@pytest.mark.parametrize("biased", [False, True], ids=["", "biased"])
def test_every_spike_of_channels_that_differ_is_the_integer_networks(biased: bool, readout: Readout) -> None:
    names = ["threshold", "voltage_decay", *([] if biased else ["current_decay"])]
    settings = {"bias": biased, "voltage_decay": 0.3, "current_decay": 1.0 if biased else 0.7}
    network = _trained("cuba", 4, readout=readout, per_channel=names, **settings)
    for values in network.channels:
        assert values.grad is not None and values.grad.any(dim=1).all(), "all of them are trained"
        values.data += 0.2 * torch.randn_like(values)
    events = _events("cuba", 4).numpy().astype(np.uint8)
    net = to_intnet(network.eval().blocks, network.input_shape, steps=4, message_bits=8, readout=readout)
    for layer in net.layers:
        differ = [name for name in MANTISSAS if getattr(layer.neuron, name).ndim]
        silent = readout.kind == "membrane" and layer is net.layers[-1]
        assert differ == [name for name in MANTISSAS if name in names and not (silent and name == "threshold")]
    theirs, ours = definition.simulate(net, events), network.trace(events, net.names)
    for mine, of_net in zip(ours.layers, theirs.layers, strict=True):
        assert of_net.spikes.any() or mine is ours.layers[-1]
        np.testing.assert_array_equal(mine.spikes, of_net.spikes, of_net.name)
    np.testing.assert_array_equal(ours.layers[-1].v_last, theirs.layers[-1].v_last)


@pytest.mark.parametrize("names", [[], ["threshold"], ["voltage_decay", "threshold"]])
def test_a_training_starts_from_channels_that_differ(names: list[str], same_net: Any) -> None:
    network = _trained("cuba", 4, bias=True, voltage_decay=0.3, per_channel=names)
    for values in network.channels:
        values.data += 0.2 * torch.rand_like(values)
    net = _deployed(network, 4)
    other = _trained("cuba", 4, bias=True, per_channel=names)
    start_from(other, net)
    same_net(_deployed(other, 4), net)


@pytest.mark.parametrize("kind", ["cuba", "sigma-delta"])
def test_a_fold_changes_nothing_but_by_rounding(kind: Kind) -> None:
    network = _trained(kind, 1, batch_norm=True).eval()
    events = _events(kind, 1)
    with torch.no_grad():
        before = network(events).sat
        network.fold()
        after = network(events).sat
    assert not torch.equal(before, after)
    assert float((before - after).abs().mean()) < 0.3 * float(before.std())


def test_a_network_that_is_not_folded_is_refused() -> None:
    with pytest.raises(QuantizationError, match=r"block 0 \(Conv\): its normalization is not folded yet"):
        _deployed(_trained("sigma-delta", 1), 1)


@pytest.mark.parametrize("number", [1, 2], ids=["conv", "dense"])
def test_large_messages_are_summed_exactly(number: int) -> None:
    """Sums beyond what float32 holds: messages of up to 24 bits on weights of 8, by their digits and in float64."""
    network = _trained("sigma-delta", 1)
    network.fold()
    block = network.layers[number]
    block.synapse.weight.data.uniform_(-4, 4)
    messages, weight = torch.randint(0, 1 << 23, (1, 3, *((6, 5, 5), (8, 5, 5))[number - 1])) / 64, weight_of(block)
    expected = in_float64(block, messages, weight)
    assert not torch.equal(sums(block, messages, weight).double(), expected)
    assert torch.equal(sums_of_messages(block, messages, weight), expected)


@pytest.fixture(scope="module")
def digits() -> datasets.DataSet:
    whole = datasets.load("digits", validation=0.1, seed=1)
    few = np.arange(200)
    return replace(whole, train=whole.train.take(few), validation=whole.validation.take(few[:60]))


def _chain(folder: Path, data: datasets.DataSet, *changes: str) -> Chain:
    short = [f"chain.{stage}.epochs={epochs}" for stage, epochs in (("teacher", 2), ("ta", 2), ("student", 4))]
    return Chain(recipe.load("digits-sigma-delta", [*short, *changes]), data, folder)


def test_a_training_goes_on_before_and_behind_its_fold(
    tmp_path: Path, digits: datasets.DataSet, weights, equal
) -> None:
    names = ["teacher", "ta", "student"]
    whole = _chain(tmp_path / "whole", digits)
    whole.train(names, resume=False)
    for broken_off in (1, 3):  # the fold comes at the end of the second epoch
        chain = _chain(tmp_path / str(broken_off), digits)

        def stop(row: dict[str, Any], last: int = broken_off) -> None:
            if row["stage"] == "student" and row["epoch"] == last:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            chain.train(names, resume=False, on_epoch=stop)
        chain.train(names, resume=True)
        assert equal(weights(chain.load("student")), weights(whole.load("student")))


def test_only_what_is_folded_is_kept_and_both_accuracies_are_one(tmp_path: Path, digits: datasets.DataSet) -> None:
    chain, rows = _chain(tmp_path, digits, "chain.student.rate={max_rate = 0.0, weight = 1.0}"), []
    chain.train(["teacher", "ta", "student"], resume=False, on_epoch=rows.append)
    student = chain.load("student")
    assert student.norms == [] and all(bias.integers().any() for bias in student.biases)
    net = chain.deployed("student", student, {})
    assert net.is_sigma_delta and net.steps == 1 and net.layers[-1].neuron.kind == "sigma"
    feed = chain.feed(digits.test)
    assert measure_training(student, feed, net.readout) == replace(measure(net, feed), course=None)
    assert measure(net, feed).accuracy > 0.5 and "loss.rate" in rows[-1]


def test_sigma_delta_teaches_cuba_of_other_steps(tmp_path: Path, digits: datasets.DataSet) -> None:
    """By logits and by hidden layers; the teacher reads an image in one step, the student in four."""
    few = [f"chain.{stage}.epochs=2" for stage in ("teacher", "ta", "student")]
    features = 'chain.student.features={loss = "mse", pairs = [["layer0", "layer0"]]}'
    changes = [*few, "chain.teacher.neuron=sigma-delta", "chain.student.distil.teacher=teacher", features]
    chain = Chain(recipe.load("digits", changes), digits, tmp_path)
    rows: list[dict[str, Any]] = []
    chain.train(["teacher", "ta", "student"], resume=False, on_epoch=rows.append)
    assert rows[-1]["loss.features"] > 0 and rows[-1]["loss.kl"] > 0
    assert chain.deployed("teacher", chain.load("teacher"), {}).steps == 1
    assert chain.deployed("student", chain.load("student"), {}).steps == 4
