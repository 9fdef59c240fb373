"""Headroom, profiles and fit of sigma-delta networks."""

import numpy as np
import pytest

from snnkd import targets
from snnkd.analysis import evaluation, fit, headroom
from snnkd.engines import conformance
from snnkd.ir.network import Delta, Dense, Input, IntNet, Sigma, SigmaDelta

ONE = np.array([[1]], np.int32)


def chain(*neurons, weight=ONE):
    """Delta encoders of one input, and dense layers of one neuron."""
    return IntNet((1,), (Input((1,), Delta(0)), *(Dense(weight, neuron) for neuron in neurons)))


def test_headroom_of_a_sigma_that_wraps():
    net = chain(SigmaDelta(0, None, 6, 0), Sigma(), weight=np.array([[100]], np.int32))
    events = np.broadcast_to(np.array([1 << 18, (1 << 19) - 1, (1 << 19) - 1], np.int32)[:, None], (2, 3, 1))
    found = headroom.measure(net, events)
    assert set(found.layers[0].uses) == {"change"} and set(found.layers[2].uses) == {"a", "sigma"}
    sigma = found.layers[1].uses["sigma"]
    assert (sigma.largest, sigma.beyond, sigma.samples) == (100 * ((1 << 25) - 64), 2, 2)
    assert found.layers[1].spikes_differing > 0


def test_nothing_is_near_a_limit():
    net, events = conformance.networks()["sigma delta conv"]
    found = headroom.measure(net, events)
    assert all(use.beyond == 0 for row in found.layers for use in row.uses.values())
    assert all(row.spikes_differing == 0 for row in found.layers) and found.classes_differing == 0


def test_a_profile_counts_messages_and_their_synops():
    """An input that changes once: one message at each layer, and nothing afterwards; Sigma sends at every step."""
    net = chain(SigmaDelta(0), SigmaDelta(0), Sigma(), weight=np.array([[64]], np.int32))
    events = np.zeros((1, 5, 1), np.int32)
    events[:, 2:] = 9
    seen = evaluation.profile(net, events, "loihi2")
    assert [row.spikes for row in seen.layers] == [3, 1, 1, 1, 3]
    assert [row.synops for row in seen.layers] == [0, 0, 1, 1, 1]
    assert seen.energy


@pytest.mark.parametrize("name", ["sigma delta", "sigma delta conv"])
def test_fit_of_messages(name):
    net, _ = conformance.networks()[name]
    assert fit.fit(net, targets.load("loihi2")).violations == []
