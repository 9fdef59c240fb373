"""The networks that engines are compared on: what they reach, and that every one is the same each time."""

import numpy as np
import pytest

from snnkd import engines
from snnkd.analysis.verification import compare
from snnkd.engines import conformance
from snnkd.engines.reference import definition
from snnkd.formats import netx
from snnkd.ir.network import Conv, Dense, Input

NETS = [net for net, _ in conformance.networks().values()] + [conformance.random_net(seed) for seed in range(40)]
SIGMA_DELTA = [net for net in NETS if net.is_sigma_delta] + [conformance.random_sigma_delta_net(s) for s in range(30)]


def layers(kind):
    return [layer for net in NETS for layer in net.layers if isinstance(layer, kind) and layer.neuron.kind == "cuba"]


def test_every_kind_of_layer_is_reached():
    assert layers(Input)
    for name in ("stride", "padding", "dilation"):
        assert any(getattr(layer, name)[0] != getattr(layer, name)[1] for layer in layers(Conv)), name
        assert any(max(getattr(layer, name)) > 1 for layer in layers(Conv)), name
    assert any(1 < layer.groups < layer.weight.shape[0] for layer in layers(Conv))
    delays = [layer.delay for layer in layers(Dense) if layer.delay is not None]
    for equal in (lambda d: d[:, :1], lambda d: d[:1], lambda d: d):
        assert any(d.max() > 0 and d.min() != d.max() and (d == equal(d)).all() for d in delays)
    assert max(d.max() for d in delays) == 62
    signs = {(int(layer.weight.min() < 0), int(layer.weight.max() > 0), layer.weight_exp) for layer in layers(Dense)}
    assert signs >= {(1, 1, 0), (0, 1, 0), (1, 0, -1)}
    assert {net.message_bits for net in NETS} >= {0, 4, 8, 14, 20}


@pytest.mark.parametrize("name", ["current_decay", "voltage_decay", "threshold", "bias"])
@pytest.mark.parametrize("kind", [Conv, Dense])
def test_parameters_of_layers_channels_and_neurons(name, kind):
    values = [(getattr(layer.neuron, name), layer.shape) for layer in layers(kind)]
    forms = {np.shape(value) == shape for value, shape in values if np.ndim(value)}
    assert forms == ({True, False} if kind is Conv else {True})
    assert any(np.ndim(value) == 0 for value, _ in values if value is not None)


@pytest.mark.parametrize("name", conformance.networks())
def test_named_cases(name, tmp_path, same_net):
    net, events = conformance.networks()[name]
    again, same_events = conformance.networks()[name]
    same_net(net, again)
    np.testing.assert_array_equal(events, same_events)
    netx.save(net, tmp_path / "x.net")
    same_net(netx.load(tmp_path / "x.net"), net)
    expected = definition.simulate(net, events, states=True)
    actual = engines.get("fast").run(net, events, True)
    assert compare(net, expected, actual).first_difference is None
    assert [layer.overflows for layer in actual.layers] == [layer.overflows for layer in expected.layers]


def test_every_kind_of_sigma_delta_layer_is_reached():
    found = [layer for net in SIGMA_DELTA for layer in net.layers]
    neurons = [layer.neuron for layer in found]
    assert {(layer.kind, layer.neuron.kind) for layer in found} == {
        ("input", "delta"),
        *((layer, neuron) for layer in ("dense", "conv") for neuron in ("cuba", "sigma-delta", "sigma")),
    } - {("conv", "sigma")}
    for name in ("threshold", "spike_exp", "state_exp", "cumulative", "activation"):
        for kind in ("delta", "sigma-delta") if name != "activation" else ("sigma-delta",):
            assert len({getattr(neuron, name) for neuron in neurons if neuron.kind == kind}) > 1, (kind, name)
    biases = {np.shape(layer.neuron.bias) == layer.shape for layer in found if np.ndim(layer.neuron.bias)}
    assert biases == {True, False}


@pytest.mark.parametrize("make", [conformance.random_net, conformance.random_sigma_delta_net])
@pytest.mark.parametrize("seed", range(30))
def test_random_networks(seed, make, tmp_path, same_net):
    net = make(seed)
    same_net(net, make(seed))
    netx.save(net, tmp_path / "x.net")
    same_net(netx.load(tmp_path / "x.net"), net)
    events = conformance.random_events(np.random.default_rng(seed), net, 2, 12)
    expected = definition.simulate(net, events, states=True)
    actual = engines.get("fast").run(net, events, True)
    assert compare(net, expected, actual).first_difference is None
    assert [layer.overflows for layer in actual.layers] == [layer.overflows for layer in expected.layers]


def test_random_networks_overflow_saturate_and_spike():
    runs = []
    for seed in range(40):
        net = conformance.random_net(seed)
        events = conformance.random_events(np.random.default_rng(seed), net, 2, 12)
        runs.append(definition.simulate(net, events).layers)
    for kind in ("overflows", "saturations"):
        assert sum(any(getattr(layer, kind) for layer in run) for run in runs) > 4, kind
    assert sum(all(layer.spikes.any() for layer in run) for run in runs) > 15
