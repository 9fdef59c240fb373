"""Delays that are trained: exact as deployed, with the gradients of lava-dl's, and learned where they are needed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snnkd.data.datasets import Split
from snnkd.data.encoding import Encoding
from snnkd.engines.reference import definition
from snnkd.ir.network import Dense as IntDense
from snnkd.ir.readout import Readout
from snnkd.recipe.architecture import Architecture, Conv, Dense
from snnkd.recipe.tables import Neuron, Optimizer, Stage
from snnkd.training.delays import UNIT, Delays, delayed
from snnkd.training.deploy import to_intnet
from snnkd.training.dynamics import S_SCALE
from snnkd.training.feed import Feed
from snnkd.training.loop import step
from snnkd.training.loop.trainer import Training
from snnkd.training.network import Network
from snnkd.training.start import start_from

pytestmark = [pytest.mark.training, pytest.mark.usefixtures("one_thread")]

STEPS, SAMPLES = 9, 4
PLANS = {
    "by input": ((2, 4, 3), (Dense(neurons=9, delays="input", max_delay=5), Dense(neurons=5))),
    "by output": ((2, 4, 3), (Dense(neurons=9), Dense(neurons=5, delays="output", max_delay=6))),
    "both, behind a convolution": (
        (2, 7, 6),
        (
            Conv(channels=3, kernel=(3, 2)),
            Dense(neurons=8, delays="input", max_delay=3),
            Dense(neurons=5, delays="output", max_delay=6),
        ),
    ),
    "by output of the first layer": ((11, 1, 1), (Dense(neurons=7, delays="output", max_delay=4),)),
}


def network(name: str, top: int = 1) -> Network:
    torch.manual_seed(len(name))
    shape, layers = PLANS[name]
    net = Network(
        Architecture(name="tiny", input=shape, layers=layers),
        Neuron(voltage_decay=0.1, threshold_gain=0.5),
        event_max=top,
    )
    for delays in net.delays:  # over the whole range, as after a training
        torch.nn.init.uniform_(delays.units, 0, delays.most / UNIT)
    net.calibrate(events(net, top))
    return net


def events(net: Network, top: int = 1, still: bool = False, samples: int = SAMPLES) -> torch.Tensor:
    random = np.random.default_rng(3)
    drawn = random.integers(0, top + 1, (samples, 1 if still else STEPS, *net.input_shape)).astype(np.float32)
    return torch.from_numpy(drawn).expand(samples, STEPS, *net.input_shape)


@pytest.mark.parametrize("still", [True, False], ids=["one image at all steps", "other events at each step"])
@pytest.mark.parametrize("name", PLANS)
def test_equals_the_definition(name, still):
    net = network(name, top=15)
    given = events(net, 15, still)
    integer = to_intnet(net.blocks, net.input_shape, message_bits=4)
    assert integer.longest_delay > 1
    expected = definition.simulate(integer, given.numpy().astype(np.uint8))
    output = net(given)
    for spikes, layer in zip(output.layers, expected.layers, strict=True):
        np.testing.assert_array_equal(spikes.detach().numpy().swapaxes(0, 1), layer.spikes, err_msg=layer.name)
    np.testing.assert_array_equal(output.v_last.detach().double().numpy() * S_SCALE, expected.layers[-1].v_last)
    assert all(0 < spikes.mean() < 1 for spikes in output.layers)


def test_the_delays_are_deployed_by_their_axis():
    net = network("both, behind a convolution")
    _, by_input, by_output = to_intnet(net.blocks, net.input_shape).layers
    assert isinstance(by_input, IntDense) and isinstance(by_output, IntDense)
    assert by_input.delay is not None and by_output.delay is not None
    steps = [delays.steps().detach().numpy() for delays in net.delays]
    assert (by_input.delay == steps[0]).all() and len(set(steps[0])) > 1
    assert (by_output.delay == steps[1][:, None]).all() and len(set(steps[1])) > 1


def test_delays_of_no_step_are_none():
    net = network("by input")
    with torch.no_grad():
        net.delays[0].units.fill_(0.45 / UNIT)
    layer = to_intnet(net.blocks, net.input_shape).layers[0]
    assert isinstance(layer, IntDense) and layer.delay is None


@pytest.mark.parametrize("name", PLANS)
def test_a_training_may_start_from_a_network_with_delays(name, same_net):
    trained, fresh = network(name), network(name)
    with torch.no_grad():
        for delays in fresh.delays:
            delays.units.fill_(0.5)
    net = to_intnet(trained.blocks, trained.input_shape)
    start_from(fresh, net)
    same_net(to_intnet(fresh.blocks, fresh.input_shape), net)


def test_delays_stay_in_range_and_can_come_back():
    delays = Delays("input", 5, 10)
    with torch.no_grad():
        delays.units.copy_(torch.tensor([-5, 1.49, 1.51, 9.6, 70]) / UNIT)
    steps = delays.steps()
    steps.sum().backward()
    assert steps.tolist() == [0, 1, 2, 10, 10]
    assert (delays.units.detach() * UNIT).tolist() == pytest.approx([0, 1.49, 1.51, 9.6, 10])
    assert delays.units.grad is not None and delays.units.grad.tolist() == [UNIT] * 5


@pytest.mark.lava
def test_signals_and_gradients_are_those_of_lava_dls_delay():
    from lava.lib.dl.slayer.axon import Delay

    torch.manual_seed(1)
    x, steps = torch.rand(STEPS, SAMPLES, 6, requires_grad=True), torch.tensor([0.0, 1, 2, 5, 8, 12]).requires_grad_()
    weight = torch.randn(STEPS, SAMPLES, 6)
    y = delayed(x, steps)
    (y * weight).sum().backward()
    theirs, given = Delay(), x.detach().movedim(0, -1).requires_grad_()
    theirs.delay.data, theirs.init = steps.detach().clone(), True
    expected = theirs(given)
    (expected * weight.movedim(0, -1)).sum().backward()
    assert torch.equal(y.detach().movedim(0, -1), expected.detach())
    assert x.grad is not None and given.grad is not None and steps.grad is not None
    assert torch.equal(x.grad.movedim(0, -1), given.grad)
    torch.testing.assert_close(steps.grad, theirs.delay.grad)
    assert steps.grad[:5].abs().min() > 0 and steps.grad[5] == 0, "an event that never comes"


@pytest.mark.parametrize("name", PLANS)
def test_gradients_reach_the_delays_with_the_same_bits_on_any_number_of_cores(name, monkeypatch):
    monkeypatch.setattr(step, "LEAST", 6)
    monkeypatch.setattr(step, "WORTH", 1)
    net = network(name)
    given = events(net, samples=21)
    by_threads = []
    for threads in (1, 3):
        net.zero_grad()
        step.backward(net, given, lambda sat: {"loss": sat.sum(dim=0).square().mean()}, threads)
        by_threads.append([parameter.grad.clone() for parameter in net.parameters() if parameter.grad is not None])
    assert all(map(torch.equal, *by_threads))
    for delays in net.delays:
        assert delays.units.grad is not None and delays.units.grad.abs().sum() > 0
    net.zero_grad()
    net(given).sat.sum(dim=0).square().mean().backward()
    for whole, parts in zip((p.grad for p in net.parameters() if p.grad is not None), by_threads[0], strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-3, atol=1e-5)


def test_weights_are_drawn_alike_with_delays_and_without():
    shape, layers = PLANS["by input"]
    plain = tuple(layer.model_copy(update={"delays": None, "max_delay": None}) for layer in layers)
    states = []
    for plan in (layers, plain):
        torch.manual_seed(1)
        states.append(Network(Architecture(name="tiny", input=shape, layers=plan), Neuron()).state_dict())
    assert states[0].keys() - states[1].keys() == {"blocks.1.synaptic_delays.units"}
    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())


def gaps(count: int) -> Split:
    """Two inputs that fire once each; the class is by how many steps the second one is late, 2 or 6. Latency encoding
    over 12 steps, brighter is earlier."""
    random = np.random.default_rng(count)
    labels = np.arange(count) % 2
    first = random.integers(0, 4, count)
    step_of = np.stack([first, first + np.where(labels == 1, 6, 2)], axis=1)
    return Split((255 - (step_of * 256 + 128) // 12).astype(np.uint8).reshape(count, 1, 1, 2), labels)


def gap_training(folder: Path, **delays: Any) -> Training:
    torch.manual_seed(2)
    layers = (Dense(neurons=12, **delays), Dense(neurons=2))
    device, encoding = torch.device("cpu"), Encoding("latency", 12)
    return Training(
        name="student",
        stage=Stage(network="gaps", epochs=12, batch=20, optimizer=Optimizer(lr=0.03)),
        network=Network(Architecture(name="gaps", input=(1, 1, 2), layers=layers), Neuron(voltage_decay=0.9)),
        train=Feed(gaps(200), encoding, device),
        validation=Feed(gaps(100), encoding, device),
        readout=Readout("count", "membrane"),
        seed=1,
        key="key",
        path=folder / "student.safetensors",
    )


def test_a_gap_that_neurons_forget_is_learned_by_delays_alone(tmp_path):
    without = gap_training(tmp_path)
    without.run()
    assert without.progress.best_accuracy == 0.5, "chance"
    given = gap_training(tmp_path, delays="input", max_delay=8)
    first, second = given.run().delays[0].steps().tolist()
    assert given.progress.best_accuracy == 1
    assert first - second in (2, 6), "one of the two gaps is closed"


def test_a_resumed_training_has_the_same_delays(tmp_path, weights, equal):
    straight = weights(gap_training(tmp_path / "straight", delays="input", max_delay=8).run())
    killed = gap_training(tmp_path, delays="input", max_delay=8)

    def end(_stage: str, epoch: int, _epochs: int, batch: int, _batches: int) -> None:
        if (epoch, batch) == (5, 3):
            raise KeyboardInterrupt

    killed.on_batch = end
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    assert equal(weights(gap_training(tmp_path, delays="input", max_delay=8).run(resume=True)), straight)
