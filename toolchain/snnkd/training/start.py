"""Starts a training from the integer network of a file, to compress it or to train it further.

`deploy` goes the other way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from snnkd.base.errors import QuantizationError
from snnkd.ir.network import Conv, Dense, Input, IntNet, by_channel, cuba_of
from snnkd.training.delays import delays_of
from snnkd.training.dynamics import W_SCALE
from snnkd.training.network import Network
from snnkd.training.neuron import channels_of
from snnkd.training.normalization import bias_of, power_of_two
from snnkd.training.weights import quantize


@torch.no_grad()
def start_from(network: Network, net: IntNet) -> None:
    """Sets the weights, delays, biases, thresholds and decays of `network` to those of `net`.

    The layers of `net` fit those of `network`: `recipe.net_files.misfits` has refused what does not. With 8 bit weights
    `network` is then that very integer network, with fewer bits one with the nearest weights; nothing of it is
    normalized. Calibration leaves these thresholds alone. Raises QuantizationError where rounding to 8 bits would
    change a weight of `net`.
    """
    for name, block, layer in zip(net.names, network.layers, net.layers, strict=True):
        assert not isinstance(layer, Input), "refused by `recipe.net_files.misfits`"
        weight = torch.from_numpy(layer.weight.astype(np.float32)).to(block.synapse.weight.device)
        if not torch.equal(quantize(weight / W_SCALE, 8, W_SCALE), weight):
            raise QuantizationError(f"{name}.weight: its integers cannot be trained; expected even ones of 8 bits")
        weight = (weight / W_SCALE).view_as(block.synapse.weight)
        if layer.neuron.kind == "cuba":
            _start_cuba(block, layer, weight)
        else:
            _start_sigma_delta(block, layer, weight)
    network.started = True


def _start_cuba(block: Any, layer: Dense | Conv, weight: torch.Tensor) -> None:
    block.synapse.weight.copy_(weight)
    neuron = cuba_of(layer)
    block.neuron.current_decay.fill_(int(neuron.current_decay.max()))
    block.neuron.voltage_decay.fill_(int(neuron.voltage_decay.max()))
    block.neuron.set_threshold(int(neuron.threshold.max()))
    if (values := channels_of(block)) is not None:
        held = [_of_channels(getattr(neuron, field), layer) for field in block.neuron.per_channel]
        values.copy_(block.neuron.channel_values(torch.stack(held)))
    if (bias := bias_of(block)) is not None and neuron.bias is not None:
        bias.values.copy_(_of_channels(neuron.bias, layer) * bias.step)
    if (delays := delays_of(block)) is not None and isinstance(layer, Dense):
        delays.set_steps(np.zeros_like(layer.weight) if layer.delay is None else layer.delay)


def _start_sigma_delta(block: Any, layer: Dense | Conv, weight: torch.Tensor) -> None:
    """As behind a fold: weights stay as large as those that are drawn, so that a learning rate means what it does."""
    drawn, neuron = block.synapse.weight, block.neuron
    scale = power_of_two(float(weight.square().mean() / drawn.square().mean()) ** 0.5)
    drawn.copy_(weight / scale)
    neuron.weight_scale.fill_(scale)
    neuron.refine(weight)
    if layer.neuron.kind == "sigma-delta":
        neuron.vth.fill_(layer.neuron.threshold)
        if layer.neuron.bias is not None:
            block.trained_bias.values.copy_(_of_channels(layer.neuron.bias, layer))
        block.batch_norm.folded.fill_(True)


def _of_channels(values: np.ndarray, layer: Dense | Conv) -> torch.Tensor:
    """A parameter of a layer's neurons, one of each channel, (C,)."""
    return torch.tensor(by_channel(values, layer.shape)[:, 0])
