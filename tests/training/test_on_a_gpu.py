"""Training on CUDA: the numbers of the CPU forward, and the same bits in every run."""

import numpy as np
import pytest
import torch

from snnkd.data.datasets import Split
from snnkd.data.encoding import Encoding
from snnkd.ir.readout import Readout
from snnkd.recipe.architecture import Architecture, Conv, Dense
from snnkd.recipe.tables import Data, Neuron, Optimizer, Stage
from snnkd.training.chain import repeatable
from snnkd.training.deploy import to_intnet
from snnkd.training.feed import Feed
from snnkd.training.loop.trainer import Training
from snnkd.training.measuring import measure, measure_training
from snnkd.training.network import Network

pytestmark = [pytest.mark.training, pytest.mark.gpu]

LAYERS = (
    Conv(channels=24, kernel=3, padding=1),
    Conv(channels=48, kernel=3, stride=2, padding=1),
    Conv(channels=48, kernel=3, padding=1),
    Dense(neurons=5),
)
READOUT = Readout("membrane", "first")


def feed(device: str, encoding: Encoding, augment: Data | None = None) -> Feed:
    random = np.random.default_rng(3)
    images = random.integers(0, 256, (300, 3, 16, 16)).astype(np.uint8)
    return Feed(Split(images, random.integers(0, 5, 300)), encoding, torch.device(device), augment, seed=7)


def network(device: str, bits: int) -> Network:
    torch.manual_seed(2)
    plan = Architecture(name="conv", input=(3, 16, 16), layers=LAYERS)
    return Network(plan, Neuron(), event_max=(1 << bits) - 1, readout=READOUT).to(device)


@pytest.mark.parametrize("encoding", [Encoding("direct", 4), Encoding("direct", 3, bits=8), Encoding("rate", 4)])
def test_every_spike_is_that_of_the_cpu(encoding):
    here, there = feed("cpu", encoding), feed("cuda", encoding)
    on_cpu, on_gpu = network("cpu", encoding.bits), network("cuda", encoding.bits)
    on_cpu.calibrate(here.batch(np.arange(200))[0])
    on_gpu.load_state_dict(on_cpu.state_dict())
    expected, of_gpu = (run(on.batch(np.arange(300))[0]) for run, on in ((on_cpu, here), (on_gpu, there)))
    assert all(float(spikes.detach().sum()) > 0 for spikes in expected.layers[:-1])
    for left, right in zip(expected.layers, of_gpu.layers, strict=True):
        assert torch.equal(left, right.cpu())
    assert torch.equal(expected.v_last, of_gpu.v_last.cpu())
    metadata = {"steps": encoding.steps, "message_bits": encoding.message_bits, "readout": READOUT}
    assert measure_training(on_gpu, there, READOUT) == measure(to_intnet(on_gpu.blocks, (3, 16, 16), **metadata), here)


@pytest.mark.parametrize("variant", [0, 1, 2, 1])
def test_batches_are_those_of_the_cpu(variant):
    augment = Data(shift=2, flip=True, variants=3)
    here, there = (feed(device, Encoding("direct", 4), augment) for device in ("cpu", "cuda"))
    indices = np.random.default_rng(1).permutation(300)[:77]
    for left, right in zip(here.batch(indices, variant), there.batch(indices, variant), strict=True):
        assert torch.equal(left, right.cpu()) and left.stride() == right.stride()
    assert torch.equal(here.pixels(indices, variant), there.pixels(indices, variant).cpu())


def test_two_trainings_have_the_same_bits(tmp_path):
    states = []
    for name in "ab":
        run = Training(
            name="student",
            stage=Stage(network="conv", epochs=3, optimizer=Optimizer(lr=0.01), batch=64),
            network=network("cuda", 4),
            train=feed("cuda", Encoding("direct", 4)),
            validation=feed("cuda", Encoding("direct", 4)),
            readout=READOUT,
            seed=1,
            key="key",
            path=tmp_path / f"{name}.safetensors",
        )
        with repeatable():
            states.append(run.run().state_dict())
        assert run.progress.history[-1]["loss"] < run.progress.history[0]["loss"]
    assert all(torch.equal(left, right) for left, right in zip(*(state.values() for state in states), strict=True))
