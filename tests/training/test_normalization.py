"""Sigma-delta networks, biases and folded normalization: what is trained is what is deployed, in every message."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from snnkd.base.errors import QuantizationError
from snnkd.engines.reference import definition
from snnkd.ir.network import IntNet
from snnkd.ir.readout import Readout
from snnkd.recipe.architecture import Architecture, Conv, Dense
from snnkd.recipe.tables import Neuron, Quantization
from snnkd.training.deploy import to_intnet
from snnkd.training.loop.step import backward
from snnkd.training.network import Kind, Network

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


def test_large_messages_are_summed_exactly() -> None:
    """Sums beyond what float32 holds: messages of up to 24 bits on weights of 8."""
    from snnkd.training.products import sums_of_messages, weight_of

    network = _trained("sigma-delta", 1)
    network.fold()
    block, messages = network.layers[2], torch.randint(0, 1 << 23, (1, 3, 8, 5, 5)) / 64
    network.layers[2].synapse.weight.data.uniform_(-4, 4)
    weight = weight_of(block)
    expected = messages.double().flatten(2) @ weight.double().flatten(1).T
    found = sums_of_messages(block, messages, weight)
    assert not torch.equal(expected, (messages.flatten(2) @ weight.flatten(1).T).double())
    assert torch.equal(found, expected)
