"""NeuroBench's metrics: by hand, and equal to those of its package where that is installed."""

from __future__ import annotations

import numpy as np
import pytest

from snnkd.analysis import evaluation, neurobench
from snnkd.engines import conformance
from snnkd.engines.reference import definition
from snnkd.ir.network import Conv, Cuba, Dense, IntNet

STEPS = 4


def network():
    """A convolution that reads graded events, at a border, and dense layers; some weights are 0."""
    random = np.random.default_rng(5)
    neuron = Cuba(*(np.array(value, np.int32) for value in (1024, 128, 90)), bias=np.array(7, np.int32))
    kernel = (random.integers(-3, 4, (4, 2, 3, 3)) * 2).astype(np.int32)
    conv = Conv(kernel, neuron, (4, 3, 3), stride=(2, 2), padding=(1, 1))
    dense = Dense(random.integers(-2, 3, (10, 36)).astype(np.int32), neuron)
    return IntNet((2, 5, 5), (conv, dense, Dense(np.eye(3, 10, dtype=np.int32) * 300, neuron)), STEPS, message_bits=4)


def measured():
    net = network()
    events = conformance.random_events(np.random.default_rng(2), net, 6, STEPS, 0.4)
    return net, events, evaluation.profile(net, events, ())


def test_metrics_by_hand():
    net, events, profile = measured()
    found = neurobench.of(net, profile)
    spikes = [layer.spikes for layer in definition.simulate(net, events).layers]
    weights = np.concatenate([layer.weight.reshape(-1) for layer in net.layers])
    # each weight takes 1 byte, also those of 300, whose common factor is 4; of a layer's parameters 1024 takes 2
    assert found.footprint == weights.size + 3 * (2 + 1 + 1 + 1)
    assert found.parameter_count == weights.size
    assert found.connection_sparsity == pytest.approx((weights == 0).mean(), abs=5e-5)
    fired = sum(int((layer != 0).sum()) for layer in spikes)
    assert found.activation_sparsity == pytest.approx(1 - fired / sum(layer.size for layer in spikes))
    operations = found.synaptic_operations
    reading = spikes[0].reshape(6 * STEPS, 36).astype(int) @ (net.layers[1].weight != 0).T
    last = spikes[1].reshape(6 * STEPS, 10).astype(int) @ (net.layers[2].weight != 0).T
    assert operations.Effective_ACs == (reading.sum() + last.sum()) / 6 > 0
    assert operations.Effective_MACs == profile.layers[1].synops_effective / 6 > 0
    assert operations.Dense == STEPS * sum(row.macs_ann for row in profile.layers)


def test_metrics_are_those_of_the_package():
    pytest.importorskip("neurobench", reason="neurobench: not installed (it needs tonic, which is GPL)")
    import torch
    from neurobench.metrics.static import ConnectionSparsity, Footprint
    from neurobench.metrics.workload import ActivationSparsity, SynapticOperations
    from neurobench.models import TorchModel

    net, events, profile = measured()
    traced = definition.simulate(net, events)

    class Neurons(torch.nn.Module):
        """Gives the spikes of the integer network, whatever comes."""

        def __init__(self, spikes):
            super().__init__()
            self.spikes = torch.from_numpy(spikes.reshape(-1, *spikes.shape[2:])).float()

        def forward(self, _):
            return self.spikes

    def connection(layer, inputs):
        if layer.kind == "dense":
            made = torch.nn.Linear(inputs, len(layer.weight), bias=False)
        else:
            how = {"stride": layer.stride, "padding": layer.padding, "bias": False}
            made = torch.nn.Conv2d(layer.weight.shape[1], len(layer.weight), layer.weight.shape[2:], **how)
        made.weight.data = torch.from_numpy(layer.weight).float()
        return made

    net_parts = []
    for (_, shape, layer), seen in zip(net.inputs(), traced.layers, strict=True):
        flat = [torch.nn.Flatten()] if layer.kind == "dense" and len(shape) == 3 else []
        net_parts += [*flat, connection(layer, int(np.prod(shape))), Neurons(seen.spikes)]
    module = torch.nn.Sequential(*net_parts)
    model = TorchModel(module)
    model.add_activation_module(Neurons)
    model.register_hooks()
    data = (torch.zeros(6), torch.zeros(6))  # so many samples
    model(torch.from_numpy(events.reshape(-1, *events.shape[2:])).float())
    operations = SynapticOperations()(model, None, data)
    found = neurobench.of(net, profile).to_json()
    assert found["synaptic_operations"] == pytest.approx(operations)
    assert found["activation_sparsity"] == pytest.approx(ActivationSparsity()(model, None, data))
    assert found["connection_sparsity"] == ConnectionSparsity()(model)

    stored = torch.nn.Module()
    for k, values in enumerate(neurobench.arrays(net)):
        kinds = (np.int8, np.uint8, np.int16)
        kind = next(kind for kind in kinds if (values.astype(kind) == values).all())
        stored.register_buffer(f"array{k}", torch.from_numpy(values.astype(kind)))
    assert found["footprint"] == Footprint()(TorchModel(stored))
