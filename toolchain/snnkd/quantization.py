"""A network of SLAYER blocks as an IntNet: the weights as the hardware holds them, and nothing rounded twice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from snnkd.errors import FormatError, QuantizationError
from snnkd.fixedpoint import DELAY_MAX, WEIGHT_MAX, WEIGHT_MIN
from snnkd.network import Conv, Dense, IntNet, Neuron, Shape, conv_shape
from snnkd.training import slayer


def to_intnet(blocks: Iterable[torch.nn.Module], input_shape: Shape, **metadata: Any) -> IntNet:
    """The integer network of a chain of lava-dl `slayer.block.cuba` blocks (Dense, Conv, Flatten), snnkd's or a
    user's own; the blocks are only read. `input_shape`: (C, H, W) or (features,); `metadata`: fields of IntNet.

    Raises QuantizationError, naming the block, for what has no exact integer form.
    """
    cuba = slayer.block.cuba
    layers, shape = [], tuple(input_shape)
    for index, block in enumerate(blocks):
        if isinstance(block, cuba.Flatten):
            shape = (int(np.prod(shape)),)
            continue
        where = f"block {index} ({type(block).__name__})"
        if not isinstance(block, cuba.Dense | cuba.Conv):
            raise QuantizationError(f"{where}: only CUBA Dense, Conv and Flatten blocks can be deployed")
        try:
            layer = _conv(where, block, shape) if isinstance(block, cuba.Conv) else _dense(where, block)
        except FormatError as error:
            raise QuantizationError(f"{where}: {error}") from error
        layers.append(layer)
        shape = layer.shape
    return IntNet(tuple(input_shape), tuple(layers), **metadata)


def _dense(where: str, block: Any) -> Dense:
    delay = None
    weight = _weight(where, block).reshape(block.synapse.weight.shape[:2])
    if block.delay is not None:  # the axon's, behind the neurons: it would belong to the next layer's synapses
        delay = np.floor(block.delay.delay.detach().cpu().numpy()).reshape(-1)
        if delay.any():
            raise QuantizationError(f"{where}: axonal delays (up to {DELAY_MAX}) are not deployed yet; train without")
    return Dense(weight, _neuron(where, block.neuron))


def _conv(where: str, block: Any, shape: Shape) -> Conv:
    if block.delay is not None:
        raise QuantizationError(f"{where}: Lava ignores the delays of a convolution; train without")
    synapse = block.synapse
    layer = Conv(
        weight=_weight(where, block)[..., 0],
        neuron=_neuron(where, block.neuron),
        shape=(),
        stride=tuple(synapse.stride[:2]),
        padding=tuple(synapse.padding[:2]),
        dilation=tuple(synapse.dilation[:2]),
        groups=synapse.groups,
    )
    return replace(layer, shape=conv_shape(shape, layer))


def _weight(where: str, block: Any) -> np.ndarray:
    synapse = block.synapse
    with torch.no_grad():
        weight = synapse.pre_hook_fx(synapse.weight, descale=True).cpu().numpy()
    if not np.isfinite(weight).all():
        raise QuantizationError(f"{where}: weights are not finite; training diverged, use a lower learning rate")
    if not weight.any():
        raise QuantizationError(f"{where}: all weights are 0, which Lava's loader cannot take; train longer")
    integers = np.rint(weight).astype(np.int32)
    if np.abs(weight - integers).max() > 0 or integers.min() < WEIGHT_MIN or integers.max() > WEIGHT_MAX:
        raise QuantizationError(f"{where}: weights are not integers in [{WEIGHT_MIN}, {WEIGHT_MAX}]")
    return integers


def _neuron(where: str, neuron: Any) -> Neuron:
    if neuron.norm is not None or getattr(neuron, "graded_spike", False):
        raise QuantizationError(f"{where}: neurons with `norm` or graded spikes are not deployed; leave them out")

    def integers(value: Any) -> np.ndarray:
        return np.asarray(value, dtype=np.int32)

    return Neuron(integers(neuron.cx_current_decay), integers(neuron.cx_voltage_decay), integers(neuron.v_th_mant))
