"""The readout 'membrane' in training: v at every step and its gradients, the unit, teachers, and a network that learns.

That kernels return the same gradients is tested in `test_dynamics.py`.
"""

import dataclasses

import numpy as np
import pytest
import torch

from snnkd import recipe
from snnkd.analysis import evaluation
from snnkd.data import datasets
from snnkd.data.datasets import Split
from snnkd.data.encoding import Encoding
from snnkd.engines.reference import definition
from snnkd.ir.arithmetic import THRESHOLD_LIMIT
from snnkd.ir.network import IntNet
from snnkd.ir.readout import Readout
from snnkd.recipe import tables
from snnkd.recipe.architecture import Architecture, Conv, Dense
from snnkd.training.chain import Chain
from snnkd.training.deploy import to_intnet
from snnkd.training.dynamics import S_SCALE
from snnkd.training.feed import Feed
from snnkd.training.loop import step
from snnkd.training.losses import cross_entropy
from snnkd.training.measuring import measure, measure_training, warnings
from snnkd.training.network import Network
from snnkd.training.neuron import Neuron
from snnkd.training.start import start_from
from snnkd.training.teachers.spiking import Teacher

pytestmark = pytest.mark.training

MEMBRANE = Readout("membrane")
IMAGES, CLASSES = 60, 4
LAYERS = {
    "dense": (Dense(neurons=9), Dense(neurons=CLASSES)),
    "conv": (Conv(channels=3, kernel=3, stride=2), Dense(neurons=CLASSES)),
}


def feed(kind: str = "direct", bits: int = 4, steps: int = 5) -> Feed:
    random = np.random.default_rng(2)
    split = Split(random.integers(0, 256, (IMAGES, 1, 6, 6)).astype(np.uint8), random.integers(0, CLASSES, IMAGES))
    return Feed(split, Encoding(kind, steps, bits), torch.device("cpu"))


def network(on: Feed, layers: str = "dense", readout: Readout = MEMBRANE, **neuron) -> Network:
    torch.manual_seed(4)
    settings = tables.Neuron(**{"voltage_decay": 0.1, "current_decay": 0.6, **neuron})
    plan = Architecture(name="tiny", input=(1, 6, 6), layers=LAYERS[layers])
    made = Network(plan, settings, event_max=(1 << on.encoding.bits) - 1, readout=readout)
    made.calibrate(on.batch(np.arange(20))[0])
    return made


def integer(made: Network, on: Feed, readout: Readout = MEMBRANE) -> IntNet:
    bits = on.encoding.message_bits
    return to_intnet(made.blocks, made.input_shape, message_bits=bits, readout=readout)


@pytest.mark.parametrize("reuse", [False, True])
@pytest.mark.parametrize("still", [False, True])
@pytest.mark.parametrize("threshold", [1.5, THRESHOLD_LIMIT / 64], ids=["resets", "never fires"])
def test_gradients_of_v_at_every_step(threshold, still, reuse):
    """Against torch's own of the leaks; where v was reset it passes none, and a reset stops none of a later v."""
    steps = 7
    model = Neuron(threshold, 0.4, 0.2)
    keep_current, keep_voltage = (1 - decay / 4096 for decay in model.mantissas()[1:])
    random = torch.Generator().manual_seed(1)
    leaf = (torch.randint(-40, 80, (1 if still else steps, 3, 2), generator=random) / 64).requires_grad_()
    direction = torch.randn(steps, 3, 2, generator=random)
    spikes, v = model.run(leaf * 1, steps, reuse, wanted="every")
    (v * direction).sum().backward()

    plain_leaf = leaf.detach().requires_grad_()
    current = voltage = torch.zeros(3, 2)
    total = torch.zeros(())
    for t in range(steps):
        current = keep_current * current + plain_leaf[0 if still else t]
        voltage = keep_voltage * voltage + current
        total = total + (voltage * direction[t])[spikes[t] == 0].sum()
    total.backward()
    assert spikes.any() == (threshold == 1.5) and not v[spikes > 0].any()
    torch.testing.assert_close(leaf.grad, plain_leaf.grad)

    plain, last = model.run(leaf.detach(), steps)
    assert torch.equal(plain, spikes) and torch.equal(last, v[-1])
    assert torch.equal(model.run(leaf.detach() * 1, steps, reuse, wanted="every")[1], v)


def test_spikes_and_v_are_trained_together():
    """Of both outputs, the gradients add up."""
    a = torch.randint(-40, 80, (6, 2, 3), generator=torch.Generator().manual_seed(3)) / 64
    grads = []
    for of_spikes, of_v in ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
        leaf = a.clone().requires_grad_()
        spikes, v = Neuron(1.2, 0.5, 0.1).run(leaf, wanted="every")
        (of_spikes * spikes.sum() + of_v * v.square().sum()).backward()
        grads.append(leaf.grad)
    assert grads[0].any() and grads[1].any()
    torch.testing.assert_close(grads[0] + grads[1], grads[2])


@pytest.mark.parametrize(("kind", "bits"), [("direct", 4), ("poisson", 4), ("direct", 8)])
@pytest.mark.parametrize("layers", LAYERS)
def test_the_integer_network_does_what_the_training_network_does(layers, kind, bits):
    on = feed(kind, bits)
    made = network(on, layers)
    net = integer(made, on)
    output = made(on.batch(np.arange(IMAGES))[0])
    last = definition.simulate(net, on.events(np.arange(IMAGES)), states=True).layers[-1]
    np.testing.assert_array_equal(output.v_last.detach().double().numpy() * S_SCALE, last.v_last)
    increments = np.diff(last.v, axis=1, prepend=0).transpose(1, 2, 0) / S_SCALE / float(made.readout_unit)
    np.testing.assert_allclose(output.sat.detach().numpy(), increments, rtol=1e-6)
    assert not output.layers[-1].any()
    assert measure(net, on).accuracy == measure_training(made, on, MEMBRANE).accuracy
    assert net.layers[-1].neuron.threshold == THRESHOLD_LIMIT


@pytest.mark.parametrize("over", ["max", "sum"])
def test_what_is_trained_over_the_steps_is_what_is_deployed(over):
    """Losses see, of the first t steps together, what the deployed network reads after them; accuracies agree."""
    on, readout = feed("poisson", steps=9), Readout("membrane", over=over)
    made = network(on, readout=readout)
    net = integer(made, on, readout)
    output = made(on.batch(np.arange(IMAGES))[0])
    v = definition.simulate(net, on.events(np.arange(IMAGES)), states=True).layers[-1].v
    np.testing.assert_array_equal(output.v_read.numpy() * S_SCALE, readout.read(v)[:, -1])
    so_far = output.sat.detach().double().cumsum(dim=0).permute(2, 0, 1).numpy()
    unit = float(made.readout_unit) * S_SCALE * (9 if over == "sum" else 1)
    np.testing.assert_allclose(so_far, readout.read(v) / unit, rtol=1e-5, atol=1e-6)
    assert measure(net, on) == measure_training(made, on, readout)
    assert torch.equal(Teacher(net, on, float(made.readout_unit)).sat(np.arange(9), 0), output.sat.detach()[..., :9])
    output.sat.sum(dim=0).square().sum().backward()
    assert all(block.synapse.weight.grad.any() for block in made.layers)


def test_outputs_whose_v_saturates_are_reset_alike_in_both_networks():
    on = feed(steps=300)
    made = network(on, voltage_decay=0.0, current_decay=0.0)
    net = integer(made, on)
    trace = made.trace(on.events(np.arange(8)), net.names)
    expected = evaluation.simulate(net, on.events(np.arange(8)), evaluation.DEFINITION)
    assert expected.layers[-1].spikes.any()
    for layer, wanted in zip(trace.layers, expected.layers, strict=True):
        np.testing.assert_array_equal(layer.spikes, wanted.spikes)
    np.testing.assert_array_equal(trace.layers[-1].v_last, expected.layers[-1].v_last)


def test_the_unit_is_the_threshold_that_the_layer_would_have():
    on = feed()
    made = network(on)
    torch.manual_seed(4)
    plan = Architecture(name="tiny", input=(1, 6, 6), layers=LAYERS["dense"])
    counting = Network(plan, tables.Neuron(voltage_decay=0.1, current_decay=0.6), event_max=15)
    counting.calibrate(on.batch(np.arange(20))[0])
    assert float(made.readout_unit) == counting.layers[-1].neuron.threshold > 1 / 64
    assert made.layers[0].neuron.threshold == counting.layers[0].neuron.threshold
    assert float(network(on, threshold=3.5).readout_unit) == 3.5
    fresh = network(on, threshold=2.0)
    fresh.load_state_dict(made.state_dict())
    assert fresh.readout_unit == made.readout_unit
    started = network(on, threshold_gain=2.0)
    start_from(started, integer(made, on))
    started.calibrate(on.batch(np.arange(20))[0])
    assert started.layers[0].neuron.threshold == made.layers[0].neuron.threshold
    assert float(started.readout_unit) == pytest.approx(2 * float(made.readout_unit), abs=1 / 64)


def test_a_batch_in_parts(monkeypatch):
    monkeypatch.setattr(step, "LEAST", 20)
    monkeypatch.setattr(step, "WORTH", 1)
    on = feed()
    made = network(on)
    events, labels = on.batch(np.arange(IMAGES))
    sat, terms = step.backward(made, events, lambda sat: {"label": cross_entropy(sat, labels)})
    in_parts = [block.synapse.weight.grad.clone() for block in made.layers]
    made.zero_grad()
    output = made(events)
    expected = cross_entropy(output.sat, labels)
    expected.backward()
    assert torch.equal(sat, output.sat) and torch.equal(terms["label"], expected.detach())
    for block, grad in zip(made.layers, in_parts, strict=True):
        assert grad.abs().max() > 0
        torch.testing.assert_close(grad, block.synapse.weight.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["direct", "poisson"])
def test_teachers_give_the_increments_of_v(kind):
    on = feed(kind)
    made = network(on)
    net = integer(made, on)
    indices = np.random.default_rng(0).permutation(IMAGES)[:50]
    with torch.no_grad():
        expected = made(on.batch(indices)[0]).sat
    sat = Teacher(net, on, float(made.readout_unit)).sat(indices, 0)
    assert sat.dtype == torch.float32
    assert torch.equal(sat, expected)
    of_file = Teacher(net, on).sat(indices, 0)
    ratio = of_file[expected != 0] / expected[expected != 0]
    assert 0.1 < ratio[0] < 10
    torch.testing.assert_close(ratio, ratio[0].expand_as(ratio))


def test_outputs_that_do_not_fire_are_nothing_to_warn_of():
    on = feed()
    measured = measure(integer(network(on), on), on)
    assert len(measured.rate) == len(measured.overflows) == 2 and len(measured.silent) == 1
    assert measured.rate[-1] == 0 and not list(warnings(measured.activity, "data"))
    counting = dataclasses.replace(integer(network(on), on), readout=Readout())
    assert "layer1 is silent" in next(warnings(measure(counting, on).activity, "data"))[1]


def test_a_chain_learns_digits(tmp_path):
    stage = {"network": "dense-8x8-student", "epochs": 4, "batch": 64, "optimizer": {"lr": 0.02}}
    chain = {"teacher": stage, "student": {**stage, "distil": {"losses": {"kl": 1.0, "sliding_l2": 0.01}}}}
    tables = {"name": "digits", "encoding": {"steps": 4}, "readout": {"kind": "membrane"}, "chain": chain}
    chain = Chain(recipe.parse(tables), datasets.load("digits"), tmp_path)
    rows = []
    chain.train(["teacher", "student"], resume=False, on_epoch=rows.append)
    assert rows[-1]["validation.integer"] > 0.9 and rows[-1]["train.float"] > 0.9
    assert rows[-1]["loss"] < 0.5 * rows[4]["loss"] and rows[-1]["rate.layer1"] == 0
    student = chain.load("student")
    assert student.readout_unit != 1 and student.layers[-1].neuron.v_th_mant == THRESHOLD_LIMIT
