"""Cached teacher spikes: the same as fresh ones, for every variant and encoding, in whatever order they are asked."""

import numpy as np
import pytest
import torch

from snnkd import recipe_tables
from snnkd.architecture import Architecture, Dense
from snnkd.datasets import Split
from snnkd.encoding import Encoding
from snnkd.training.blocks import Network
from snnkd.training.feed import Feed
from snnkd.training.teachers import Teacher

IMAGES, STEPS, CLASSES, VARIANTS = 23, 5, 3, 3  # 15 bits per image: no whole number of bytes


def make_feed(kind: str) -> Feed:
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (IMAGES, 1, 6, 6)).astype(np.uint8)
    split = Split(images, random.integers(0, CLASSES, IMAGES))
    augment = recipe_tables.Data(shift=2, flip=True, variants=VARIANTS)
    return Feed(split, Encoding(kind, STEPS, seed=4), torch.device("cpu"), augment, seed=9)


def make_network(feed: Feed) -> Network:
    torch.manual_seed(3)
    plan = Architecture(name="teacher", input=(1, 6, 6), layers=(Dense(neurons=8), Dense(neurons=CLASSES)))
    network = Network(plan, recipe_tables.Neuron(), event_max=15)
    network.calibrate(feed.batch(np.arange(IMAGES))[0])
    return network


@pytest.fixture(params=["direct", "poisson", "rate", "latency"])
def feed(request) -> Feed:
    return make_feed(request.param)


@torch.no_grad()
def fresh(network: Network, feed: Feed, indices: np.ndarray, variant: int) -> torch.Tensor:
    return network(feed.batch(indices, variant)[0]).sat


def check(teacher: Teacher, network: Network, feed: Feed, indices: np.ndarray, variant: int) -> None:
    sat = teacher.sat(feed.batch(indices, variant)[0], indices, variant)
    expected = fresh(network, feed, indices, variant)
    assert sat.shape == (STEPS, CLASSES, len(indices)) and sat.dtype == torch.float32
    assert torch.equal(sat, expected)


def test_cached_spikes_equal_fresh_ones_in_any_order(feed):
    network = make_network(feed)
    teacher = Teacher(network, IMAGES, VARIANTS, STEPS, CLASSES)
    random = np.random.default_rng(5)
    for _ in range(30):  # partly known, partly new, of any size and variant
        indices = random.permutation(IMAGES)[: random.integers(1, IMAGES + 1)]
        check(teacher, network, feed, indices, int(random.integers(0, VARIANTS)))
    everything = fresh(network, feed, np.arange(IMAGES), 0)
    assert 0 < everything.mean() < 1
    assert any(not torch.equal(everything, fresh(network, feed, np.arange(IMAGES), v)) for v in range(1, VARIANTS))


def test_what_was_computed_once_is_read_from_the_cache(feed):
    network = make_network(feed)
    teacher = Teacher(network, IMAGES, VARIANTS, STEPS, CLASSES)
    half = np.arange(0, IMAGES, 2)
    expected = teacher.sat(feed.batch(half, 1)[0], half, 1)
    assert expected.any()
    for block in network.layers:  # whoever changes a teacher behind its back sees what it spiked before
        block.synapse.weight.zero_()
    events, _ = feed.batch(np.arange(IMAGES), 1)
    sat = teacher.sat(events, np.arange(IMAGES), 1)
    assert torch.equal(sat[..., half], expected)
    assert not sat[..., 1::2].any()


def test_spikes_are_kept_as_bits():
    network = make_network(make_feed("direct"))
    images, variants, steps, classes = 1000, 4, 25, 10
    teacher = Teacher(network, images, variants, steps, classes)
    held = sum(value.nbytes for value in vars(teacher).values() if isinstance(value, np.ndarray))
    assert held <= images * variants * (-(-steps * classes // 8) + 1)


def test_the_network_is_frozen():
    network = make_network(make_feed("rate")).train()
    teacher = Teacher(network, IMAGES, VARIANTS, STEPS, CLASSES)
    assert not teacher.network.training
    assert not any(parameter.requires_grad for parameter in teacher.network.parameters())
    indices = np.arange(4)
    assert not teacher.sat(make_feed("rate").batch(indices)[0], indices, 0).requires_grad
