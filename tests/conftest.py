"""Random networks and inputs for every test that needs an IntNet: `build` has the makers, `same_net` compares two."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from snnkd.engines import conformance
from snnkd.ir.network import Dense, Input, per_neuron


@pytest.fixture(scope="session")
def build():
    """The makers of `snnkd.engines.conformance` under short names."""
    return SimpleNamespace(
        neuron=conformance.random_neuron,
        weight=conformance.random_weight,
        dense=conformance.random_dense,
        conv=conformance.random_conv,
        net=conformance.small_net,
        events=conformance.random_events,
    )


def _parameters(neuron, shape):
    for name in ("current_decay", "voltage_decay", "threshold", "bias"):
        values = getattr(neuron, name)
        yield name, np.zeros(shape, np.int64) if values is None else np.broadcast_to(per_neuron(values, shape), shape)


@pytest.fixture(scope="session")
def same_net():
    """Asserts that two networks are the same: structure, weights, parameters of each neuron and what is attached."""

    def check(left, right):
        attached = ("encoding", "readout", "early_exit", "provenance")
        for name in ("input_shape", "steps", "message_bits", *attached, "names"):
            assert getattr(left, name) == getattr(right, name), name
        for one, other in zip(left.layers, right.layers, strict=True):
            assert type(one) is type(other)
            assert one.shape == other.shape
            for (name, a), (_, b) in zip(
                _parameters(one.neuron, one.shape), _parameters(other.neuron, other.shape), strict=True
            ):
                np.testing.assert_array_equal(a, b, err_msg=name)
            if isinstance(one, Input):
                continue
            np.testing.assert_array_equal(one.weight, other.weight)
            fields = ("weight_exp",) if isinstance(one, Dense) else ("stride", "padding", "dilation", "groups")
            assert [getattr(one, f) for f in fields] == [getattr(other, f) for f in fields]
            if isinstance(one, Dense):
                assert (one.delay is None) == (other.delay is None)
                if one.delay is not None:
                    np.testing.assert_array_equal(one.delay, other.delay)

    return check
