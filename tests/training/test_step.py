"""A batch in parts: the same loss and gradients as in one piece, and the same bits on any number of cores."""

import pytest
import torch

from snnkd.recipe.architecture import Architecture, Conv, Dense
from snnkd.recipe.tables import Neuron
from snnkd.training.loop import step
from snnkd.training.losses import SatSettings, cross_entropy, full_l2
from snnkd.training.network import Network

pytestmark = pytest.mark.training


@pytest.fixture
def case(monkeypatch):
    """(network, events, loss) of 21 samples, in parts of 5 or 6."""
    monkeypatch.setattr(step, "LEAST", 6)
    monkeypatch.setattr(step, "WORTH", 1)
    torch.manual_seed(0)
    layers = (Conv(channels=4, kernel=(3, 3), stride=(2, 2)), Conv(channels=6, kernel=(2, 2)), Dense(neurons=5))
    network = Network(Architecture(name="tiny", input=(2, 9, 9), layers=layers), Neuron(voltage_decay=0.1), event_max=1)
    events = (torch.rand(21, 7, 2, 9, 9) < 0.3).float()
    network.calibrate(events)
    labels = torch.randint(0, 5, (21,))
    teacher = (torch.rand(7, 5, 21) < 0.4).float()

    def loss(sat):
        settings = SatSettings("norm", 2, 1.0, "counts")  # a norm over the whole batch: no sum over samples
        return {"label": cross_entropy(sat, labels), "l2": 0.5 * full_l2(sat, teacher, settings)}

    return network, events, loss


def gradients(network):
    grads = [block.synapse.weight.grad.clone() for block in network.layers]
    network.zero_grad()
    return grads


def test_parts_add_up_to_the_batch(case):
    network, events, loss = case
    before = torch.get_num_threads()
    sat, terms = step.backward(network, events, loss)
    in_parts = gradients(network)
    output = network(events)
    expected = loss(output.sat)
    sum(expected.values()).backward()
    assert torch.equal(sat, output.sat)
    assert not sat.requires_grad
    assert torch.get_num_threads() == before
    assert all(torch.equal(terms[name], value.detach()) for name, value in expected.items())
    for split, whole in zip(in_parts, gradients(network), strict=True):
        assert whole.abs().max() > 0
        torch.testing.assert_close(split, whole, rtol=1e-4, atol=1e-6)


def test_every_bit_is_the_same_on_any_number_of_cores(case):
    network, events, loss = case
    by_threads = []
    for threads in (1, 2, 3):
        step.backward(network, events, loss, threads)
        by_threads.append(gradients(network))
    for grads in by_threads[1:]:
        assert all(map(torch.equal, by_threads[0], grads))


def test_the_rate_of_a_batch_in_parts_is_that_of_the_whole(case):
    """Against autograd of the plain formula; with one layer below the rate that is asked for and one above."""
    network, events, loss = case
    rates = torch.stack([spikes.mean() for spikes in network(events).layers[:-1]]).detach()
    goal = float(rates.mean())
    assert 0 < rates.min() < goal < rates.max()

    def term(rates):
        return 30 * (rates - goal).relu().square().sum()

    for threads in (1, 3):
        _, terms = step.backward(network, events, loss, threads, term)
        assert list(terms) == ["label", "l2", "rate"] and not terms["rate"].requires_grad
        in_parts = gradients(network)
        output = network(events)
        plain = 30 * torch.stack([(spikes.mean() - goal).relu() ** 2 for spikes in output.layers[:-1]]).sum()
        torch.stack([*loss(output.sat).values(), plain]).sum().backward()
        torch.testing.assert_close(terms["rate"], plain.detach())
        expected = gradients(network)
        for split, whole in zip(in_parts, expected, strict=True):
            torch.testing.assert_close(split, whole, rtol=1e-4, atol=1e-6)
    step.backward(network, events, loss)
    above = int(rates.argmax())
    assert not torch.allclose(gradients(network)[above], expected[above], rtol=1e-2)


def test_gradients_are_added_to_those_that_are_there(case):
    network, events, loss = case
    step.backward(network, events, loss)
    once = [block.synapse.weight.grad.clone() for block in network.layers]
    step.backward(network, events, loss)
    for first, block in zip(once, network.layers, strict=True):
        assert torch.equal(2 * first, block.synapse.weight.grad)
