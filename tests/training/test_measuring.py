"""What is measured of a network, in which the integer and the training network agree, and what is warned of."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snnkd.analysis import early_exit, evaluation
from snnkd.analysis.early_exit import Course
from snnkd.data.datasets import Split
from snnkd.data.encoding import Encoding
from snnkd.ir.network import IntNet
from snnkd.ir.readout import EarlyExit, Readout
from snnkd.ir.trace import SpikeTrace
from snnkd.recipe import tables
from snnkd.recipe.architecture import Architecture, Conv, Dense
from snnkd.training.deploy import to_intnet
from snnkd.training.feed import Feed
from snnkd.training.measuring import by_step, chosen_exit, measure, measure_training, warnings
from snnkd.training.network import Network

pytestmark = pytest.mark.training

IMAGES = evaluation.BLOCK + 20  # a second, smaller block
PLANS = {
    "dense": (Dense(neurons=7), Dense(neurons=4)),
    "conv": (Conv(channels=3, kernel=3, stride=2, padding=1), Conv(channels=4, kernel=2), Dense(neurons=4)),
}
ENCODINGS = {
    "direct": Encoding("direct", 4),
    "poisson": Encoding("poisson", 5, seed=3),
    "beyond 24 bits": Encoding("direct", 12, bits=8),
}


def feed(encoding: Encoding, count: int = IMAGES) -> Feed:
    random = np.random.default_rng(4)
    images = random.integers(0, 256, (count, 1, 6, 6)).astype(np.uint8)
    return Feed(Split(images, random.integers(0, 4, count)), encoding, torch.device("cpu"))


def networks(plan: str, on: Feed, readout: Readout) -> tuple[Network, IntNet]:
    torch.manual_seed(6)
    description = Architecture(name=plan, input=(1, 6, 6), layers=PLANS[plan])
    network = Network(description, tables.Neuron(voltage_decay=0.01), event_max=(1 << on.encoding.bits) - 1)
    network.calibrate(on.batch(np.arange(20))[0])
    metadata = {"steps": on.encoding.steps, "message_bits": on.encoding.message_bits, "readout": readout}
    return network, to_intnet(network.blocks, network.input_shape, **metadata)


@pytest.mark.parametrize("ties", ["membrane", "first"])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("plan", PLANS)
def test_the_integer_network_does_what_the_training_network_does(plan: str, encoding: str, ties: str) -> None:
    validation, readout = feed(ENCODINGS[encoding]), Readout(ties=ties)
    network, net = networks(plan, validation, readout)
    measured = measure(net, validation)
    assert measured == measure_training(network, validation, readout)
    with torch.no_grad():
        layers = network(validation.batch(np.arange(IMAGES))[0]).layers
    for k, (spikes, block) in enumerate(zip(layers, network.layers, strict=True)):
        per_neuron = spikes.sum(dim=(0, 1)).long().flatten()
        opportunities = IMAGES * validation.encoding.steps
        assert round(measured.rate[k] * opportunities * len(per_neuron)) == per_neuron.sum() > 0
        assert measured.silent[k] == (per_neuron == 0).double().mean()
        assert measured.saturated[k] == (per_neuron == opportunities).double().mean()
        assert measured.overflows[k] == block.neuron.overflows + block.neuron.saturations
    assert (measured.overflows[0] > 0) == (encoding == "beyond 24 bits")


@pytest.mark.parametrize("readout", [Readout(), Readout(ties="membrane"), Readout("membrane")], ids=str)
def test_one_run_gives_accuracy_and_course(readout: Readout, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing else is changed by it. What runs a second time is the output layer at most, where v is read."""
    test = feed(ENCODINGS["poisson"])
    net = networks("conv", test, readout)[1]
    plain, simulated = measure(net, test), []
    expected = evaluation.course(net, evaluation.simulate(net, test.events(np.arange(IMAGES))))
    simulate = evaluation.simulate

    def counted(network: IntNet, *arguments: Any, **options: Any) -> SpikeTrace:
        simulated.append(len(network.layers))
        return simulate(network, *arguments, **options)

    monkeypatch.setattr(evaluation, "simulate", counted)
    measured = measure(net, test, course=True)
    assert simulated == ([3, 1] if readout.reads_v else [3]) * 2, "once in each of two blocks"
    assert measured.course is not None
    np.testing.assert_array_equal(measured.course.classes, expected.classes)
    np.testing.assert_array_equal(measured.course.lead, expected.lead)
    assert (measured.course.classes[:, -1] == test.split.labels).mean() == measured.accuracy
    assert dataclasses.replace(measured, course=None) == plain


def test_what_a_run_gives_that_ends_early() -> None:
    labels = np.array([0, 1, 1])
    course = Course(np.array([[0, 1], [0, 1], [1, 1]]), np.array([[5, 1], [1, 9], [4, 4]]))
    assert by_step(course, labels, None) == {"by_step": [2 / 3, 2 / 3], "early_exit": None}
    ends = by_step(course, labels, EarlyExit(4, 1))["early_exit"]  # the second sample alone goes on
    assert ends == {"margin": 4, "first": 1, "accuracy": 1.0, "steps": 4 / 3}
    validation = feed(ENCODINGS["direct"])
    net = networks("dense", validation, Readout())[1]
    whole = measure(net, validation, course=True).course
    assert whole is not None
    rule = chosen_exit(net, validation, 0.2)
    assert rule is not None and rule == early_exit.choose(whole, validation.split.labels, 0.2)


def test_nothing_is_known_of_an_empty_split() -> None:
    nothing = feed(ENCODINGS["direct"], 0)
    net = networks("dense", feed(ENCODINGS["direct"]), Readout())[1]
    measured = measure(net, nothing, course=True)
    assert measured.accuracy == 0 and measured.activity == {} and measured.course is None
    assert by_step(measured.course, nothing.split.labels, EarlyExit(1, 1)) == {"by_step": [], "early_exit": None}
    assert chosen_exit(net, nothing, 1.0) is None


def test_warnings_name_the_layer_and_what_to_change() -> None:
    row = {"stage": "ta", "epoch": 3, "loss": 2.0, "rate.layer0": 0.0, "silent.layer0": 1.0, "silent.layer1": 0.9}
    row |= {"saturated.layer1": 0.6, "saturated.layer2": 0.5, "overflows.layer0": 0, "overflows.layer2": 1200}
    texts = dict(warnings(row, "validation data"))
    assert texts.keys() == {"silent.layer0", "saturated.layer1", "overflows.layer2"}
    assert texts["silent.layer0"].startswith("layer0 is silent") and "neuron.threshold_gain" in texts["silent.layer0"]
    assert texts["saturated.layer1"].startswith("layer1 is saturated: 60%")
    overflow = texts["overflows.layer2"]
    assert overflow.startswith("layer2 overflows") and "1,200 times on validation data" in overflow
    assert "optimizer.weight_decay" in overflow and "encoding.bits" not in overflow  # it reads spikes


OVERFLOWING = ["encoding.bits=8", "encoding.steps=16", "neuron.voltage_decay=0", "data.train_limit=60"]
STAGES = ("teacher", "ta", "student")
TINY = [f"chain.{stage}.{value}" for stage in STAGES for value in ("epochs=2", "network=tiny.toml")]


def test_a_training_that_overflows_says_so_and_its_advice_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call
) -> None:
    def train(*changes: str) -> tuple[dict, list[str]]:
        """JSON and lines on stderr of `snnkd train`."""
        words = [word for change in (*TINY, *OVERFLOWING, *changes) for word in ("--set", change)]
        status, output, errors = call("train", "digits", "--device", "cpu", "--json", *words)
        assert status == 0, errors
        return json.loads(output), errors.splitlines()

    monkeypatch.chdir(tmp_path)
    dense = "[[layers]]\nkind = 'dense'\nneurons = {}\n"
    Path("tiny.toml").write_text("input = [1, 8, 8]\n" + dense.format(12) + dense.format(10))

    result, lines = train()
    told = [line for line in lines if "overflows" in line]
    assert len(told) == 3  # once per stage, not once per epoch
    for stage, line in zip(STAGES, told, strict=True):
        assert line.startswith(f"warning: {stage}, epoch 1: layer0 overflows: ")
        assert "on validation data; use fewer encoding.bits" in line and "neuron.voltage_decay" in line
    kept = [text for text in result["warnings"] if "overflows" in text]
    assert [text.split(" overflows: ")[0] for text in kept] == [f"{stage}: layer0" for stage in STAGES]
    assert json.loads((Path(result["run"]) / "summary.json").read_text())["warnings"] == result["warnings"]

    result, lines = train("encoding.bits=4", "neuron.voltage_decay=0.3")
    assert not [text for text in [*lines, *result["warnings"]] if "overflows" in text]
