"""Networks that the C99 tests share, and what they need of the machine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snnkd.analysis.verification import compare
from snnkd.engines import c99, conformance
from snnkd.engines.c99 import harness
from snnkd.engines.reference import definition
from snnkd.ir.events import check_input
from snnkd.ir.network import Cuba, Dense, Input, IntNet

CHECKED = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-O1")


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.compiler(name)) for name in c99.COMPILERS])
def compiler(request):
    """The name of each compiler."""
    return request.param


@pytest.fixture(params=[pytest.param("gcc", marks=pytest.mark.compiler("gcc"))])
def gcc(request):
    return request.param


@pytest.fixture(scope="session")
def equals_definition():
    """Asserts that the compiled network gives every spike, u, v and count of the definition; gives what it recorded."""

    def check(net, events, compiler, *flags):
        expected = definition.simulate(net, events, states=True)
        recorded = harness.record(net, check_input(net, events), compiler, (*CHECKED, *flags))
        found = compare(net, expected, recorded.trace)
        assert found.first_difference is None, found.first_difference
        assert found.compared["states"] > 0
        np.testing.assert_array_equal(recorded.counts, expected.counts)
        return recorded

    return check


@pytest.fixture(scope="session")
def four_bits():
    """The network with other weights: all that fit 4 bits and a common power of two."""

    def make(net, seed):
        random = np.random.default_rng(seed)

        def packed(layer):
            if isinstance(layer, Input):
                return layer
            return replace(layer, weight=(random.integers(-8, 8, layer.weight.shape) * 32).astype(np.int32))

        return replace(net, layers=tuple(map(packed, net.layers)))

    return make


@pytest.fixture(scope="session")
def classifier():
    """784-128-10, as large as the MNIST students: direct encoding, membrane readout, early exit."""
    random = np.random.default_rng(5)
    fast = Cuba(*(np.array(value, np.int32) for value in (4096, 128, 400)))
    layers = (
        Dense(conformance.random_weight(random, 128, 784), fast),
        Dense(conformance.random_weight(random, 10, 128), fast),
    )
    return IntNet((1, 28, 28), layers, 4, 8, {"kind": "direct", "steps": 4, "bits": 4, "seed": 0})
