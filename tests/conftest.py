"""Random networks and inputs for every test that needs an IntNet: `build` has the makers, `same_net` compares two."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import pytest

from snnkd.network import Conv, Dense, Input, IntNet, Neuron, conv_shape, per_neuron


class Build:
    """Makers of small random networks. `random` is a numpy Generator; shapes are (C, H, W) or (features,)."""

    def neuron(self, random, shape=(), *, vary=False, bias=False, decays=(0, 4096), thresholds=(0, 400)):
        """One value for all neurons, or with `vary` for each neuron or channel."""

        def draw(low, high):
            form = [(), shape[:1], shape][random.integers(0, 3)] if vary else ()
            return random.integers(low, high + 1, form).astype(np.int32)

        return Neuron(draw(*decays), draw(*decays), draw(*thresholds), draw(-200, 300) if bias else None)

    def weight(self, random, *shape, largest=60):
        """Even integers, mixed in sign as trained ones are."""
        weight = random.integers(-largest // 2, largest // 2 + 1, shape).astype(np.int32) * 2
        weight.flat[:2] = (-2, 2)
        return weight

    def dense(self, random, shape, outputs, *, delays=0, largest=60, **neuron):
        weight = self.weight(random, outputs, prod(shape), largest=largest)
        delay = random.integers(0, delays + 1, weight.shape).astype(np.int32) if delays else None
        return Dense(weight, self.neuron(random, (outputs,), **neuron), 0, delay)

    def conv(
        self, random, shape, out, kernel=(3, 3), *, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, **rest
    ):
        largest = rest.pop("largest", 60)
        weight = self.weight(random, out, shape[0] // groups, *kernel, largest=largest)
        layer = Conv(weight, self.neuron(random), (), stride, padding, dilation, groups)
        layer = replace(layer, shape=conv_shape(shape, layer))
        return replace(layer, neuron=self.neuron(random, layer.shape, **rest))

    def net(self, seed):
        """Some network of one to three tiny layers, of any kind that the definition covers."""
        random = np.random.default_rng(seed)
        shape = (2, 4, 5) if random.random() < 0.6 else (4,)
        first, layers = shape, []
        options = {"vary": bool(random.random() < 0.5), "bias": bool(random.random() < 0.4)}
        if random.random() < 0.2:
            layers.append(Input(shape, self.neuron(random, shape, vary=options["vary"])))
        if len(shape) == 3:
            stride, padding = random.integers(1, 3, 2), random.integers(0, 2, 2)
            kind = {"stride": tuple(map(int, stride)), "padding": tuple(map(int, padding))}
            groups = int(random.integers(1, 3))
            layers.append(self.conv(random, shape, 2 * groups, (2, 3), groups=groups, **kind, **options))
            shape = layers[-1].shape
        for outputs in random.integers(2, 5, 2):
            delays = int(random.integers(1, 9)) if random.random() < 0.3 else 0
            layers.append(self.dense(random, shape, int(outputs), delays=delays, **options))
            shape = layers[-1].shape
        bits = int(random.choice([0, 0, 4, 14])) if not isinstance(layers[0], Input) else 0
        return IntNet(first, tuple(layers), message_bits=bits)

    def events(self, random, net, samples, steps, activity=0.3):
        """Input for `net`: (N, T, *input_shape), images constant over T where it has an input layer."""
        if isinstance(net.layers[0], Input):
            image = random.integers(-300, 600, (samples, 1, *net.input_shape)).astype(np.int32)
            return np.broadcast_to(image, (samples, steps, *net.input_shape))
        shape = (samples, steps, *net.input_shape)
        events = random.random(shape) < activity
        if not net.message_bits:
            return events.astype(np.uint8)
        return (events * random.integers(0, 1 << net.message_bits, shape)).astype(np.int32)


@pytest.fixture(scope="session")
def build():
    return Build()


def _parameters(neuron, shape):
    for name in ("current_decay", "voltage_decay", "threshold", "bias"):
        values = getattr(neuron, name)
        yield name, np.zeros(shape, np.int64) if values is None else np.broadcast_to(per_neuron(values, shape), shape)


@pytest.fixture(scope="session")
def same_net():
    """Asserts that two networks are the same: structure, weights, parameters of each neuron and what is attached."""

    def check(left, right):
        for name in ("input_shape", "steps", "message_bits", "encoding", "readout", "provenance", "names"):
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
