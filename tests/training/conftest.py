"""What the tests of trainings share: one thread, since two are several times slower for networks so small, and all that
is in a network."""

from __future__ import annotations

import pytest
import torch

from snnkd.training.tuning import torch_threads


@pytest.fixture(scope="module")
def one_thread():
    with torch_threads(1):
        yield


@pytest.fixture(scope="session")
def weights():
    """A copy of all that a network has, by name."""

    def copied(network):
        return {name: value.clone() for name, value in network.state_dict().items()}

    return copied


@pytest.fixture(scope="session")
def equal():
    """Whether two networks' `weights` are the same, bit for bit."""

    def same(left, right):
        return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)

    return same
