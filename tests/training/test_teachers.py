"""Cached teacher spikes: the same as fresh ones, for every variant and encoding, in whatever order they are asked."""

import numpy as np
import pytest
import torch

from snnkd.analysis import evaluation
from snnkd.data.datasets import Split
from snnkd.data.encoding import Encoding
from snnkd.recipe import tables
from snnkd.recipe.architecture import Architecture, Dense
from snnkd.training.deploy import to_intnet
from snnkd.training.feed import Feed
from snnkd.training.network import Network
from snnkd.training.store import SpikeStore
from snnkd.training.teachers.spiking import Teacher

pytestmark = pytest.mark.training

IMAGES, STEPS, CLASSES, VARIANTS = 23, 5, 3, 3  # 15 bits per image: no whole number of bytes


def make_feed(kind: str) -> Feed:
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (IMAGES, 1, 6, 6)).astype(np.uint8)
    split = Split(images, random.integers(0, CLASSES, IMAGES))
    augment = tables.Data(shift=2, flip=True, variants=VARIANTS)
    return Feed(split, Encoding(kind, STEPS, seed=4), torch.device("cpu"), augment, seed=9)


def make_network(feed: Feed) -> Network:
    torch.manual_seed(3)
    plan = Architecture(name="teacher", input=(1, 6, 6), layers=(Dense(neurons=8), Dense(neurons=CLASSES)))
    network = Network(plan, tables.Neuron(), event_max=15)
    network.calibrate(feed.batch(np.arange(IMAGES))[0])
    return network


def make_teacher(network: Network, feed: Feed) -> Teacher:
    bits = feed.encoding.message_bits
    return Teacher(to_intnet(network.blocks, network.input_shape, message_bits=bits), feed)


@pytest.fixture(params=["direct", "poisson", "rate", "latency"])
def feed(request) -> Feed:
    return make_feed(request.param)


@torch.no_grad()
def fresh(network: Network, feed: Feed, indices: np.ndarray, variant: int) -> torch.Tensor:
    return network(feed.batch(indices, variant)[0]).sat


def check(teacher: Teacher, network: Network, feed: Feed, indices: np.ndarray, variant: int) -> None:
    sat = teacher.sat(indices, variant)
    expected = fresh(network, feed, indices, variant)
    assert sat.shape == (STEPS, CLASSES, len(indices)) and sat.dtype == torch.float32
    assert torch.equal(sat, expected)


def test_cached_spikes_equal_fresh_ones_in_any_order(feed):
    network = make_network(feed)
    teacher = make_teacher(network, feed)
    random = np.random.default_rng(5)
    for _ in range(30):  # partly known, partly new, of any size and variant
        indices = random.permutation(IMAGES)[: random.integers(1, IMAGES + 1)]
        check(teacher, network, feed, indices, int(random.integers(0, VARIANTS)))
    everything = fresh(network, feed, np.arange(IMAGES), 0)
    assert 0 < everything.mean() < 1
    assert any(not torch.equal(everything, fresh(network, feed, np.arange(IMAGES), v)) for v in range(1, VARIANTS))


def test_what_was_computed_once_is_read_from_the_store(feed, monkeypatch):
    asked = []
    simulate = evaluation.simulate

    def counted(net, events):
        asked.append(len(events))
        return simulate(net, events)

    monkeypatch.setattr(evaluation, "simulate", counted)
    teacher = make_teacher(make_network(feed), feed)
    half = np.arange(0, IMAGES, 2)
    expected = teacher.sat(half, 1)
    assert expected.any()
    assert torch.equal(teacher.sat(half[::-1].copy(), 1), expected.flip(2))
    teacher.sat(np.arange(IMAGES), 1)
    teacher.sat(half, 2)
    assert asked == [IMAGES, IMAGES]


def test_what_an_epoch_needs_is_computed_in_blocks(monkeypatch):
    monkeypatch.setattr("snnkd.training.store._AHEAD", 8)
    asked = []

    def make(indices, variant):
        asked.append(indices)
        return np.repeat(indices[:, None, None] % 2, 3, axis=1).astype(np.uint8)

    store = SpikeStore(21, 1, make)
    for batch in np.array_split(np.random.default_rng(0).permutation(21), 5):
        np.testing.assert_array_equal(store.read(batch, 0)[0, :, 0].numpy(), batch % 2)
    store.read(np.arange(21), 0)
    assert sorted(np.concatenate(asked)) == list(range(21)), "each once"
    assert len(asked) == 3


@pytest.mark.parametrize("count", [1, 8, 15, 24, 33])
def test_spikes_are_kept_as_bits(count):
    random = np.random.default_rng(0)
    spikes = random.integers(0, 2, (3, 50, 6, count), dtype=np.uint8)
    store = SpikeStore(50, 3, lambda indices, variant: spikes[variant, indices])
    for variant in (2, 0):
        indices = random.permutation(50)[:31]
        read = store.read(indices, variant)
        assert read.dtype == torch.float32
        np.testing.assert_array_equal(read.numpy(), spikes[variant, indices].transpose(1, 0, 2))
    held = [bits.nbytes for bits in store._rows if bits is not None]
    assert held == [50 * 6 * -(-count // 8)] * 2


@pytest.mark.parametrize("kind", ["direct", "rate", "poisson"])
@pytest.mark.parametrize("stored", [True, False])
def test_batches_are_the_events_of_the_encoder(kind, stored, monkeypatch):
    """From the store or not; channels last and time first in memory, so that no product has to copy them."""
    if not stored:
        monkeypatch.setattr("snnkd.training.feed._STORED", 0)
    random = np.random.default_rng(2)
    split = Split(random.integers(0, 256, (9, 3, 4, 5)).astype(np.uint8), random.integers(0, 4, 9))
    augment = tables.Data(shift=1, flip=True, variants=2)
    feed = Feed(split, Encoding(kind, 6), torch.device("cpu"), augment, seed=1)
    for variant in (0, 1, 0):
        indices = random.permutation(9)[:7]
        events, labels = feed.batch(indices, variant)
        np.testing.assert_array_equal(events.numpy(), feed.events(indices, variant))
        np.testing.assert_array_equal(labels.numpy(), split.labels[indices])
        assert events.transpose(0, 1).movedim(2, -1)[:1].is_contiguous()
        assert (events.stride(1) == 0) == (kind == "direct")
