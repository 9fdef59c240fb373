"""Makes the integer network of SLAYER blocks, the one that is deployed.

Its weights are those that the next forward pass would use, as the hardware holds them; nothing is rounded a second
time. `start` goes the other way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch

from snnkd.base.errors import FormatError, QuantizationError
from snnkd.ir.arithmetic import DELAY_MAX, WEIGHT_MAX, WEIGHT_MIN
from snnkd.ir.network import Conv, Cuba, Dense, IntNet, Shape, conv_shape
from snnkd.training import slayer
from snnkd.training.delays import delays_of


def to_intnet(blocks: Iterable[torch.nn.Module], input_shape: Shape, **metadata: Any) -> IntNet:
    """Makes the integer network of a chain of lava-dl `slayer.block.cuba` blocks, and only reads these.

    blocks: Dense, Conv and Flatten in the order of the data, snnkd's or a user's own. input_shape: (C, H, W) or
    (features,). metadata: fields of IntNet, such as `steps`, `encoding` and `readout`.
    Raises QuantizationError, naming the block, for what has no exact integer form, for weights that are not finite and
    for a layer whose weights are all 0.
    """
    layers = _layers(blocks, input_shape)
    for where, layer in layers.items():
        if not layer.weight.any():
            raise QuantizationError(f"{where}: all weights are 0, which Lava's loader cannot take; train longer")
    return IntNet(tuple(input_shape), tuple(layers.values()), **metadata)


def to_intnet_so_far(blocks: Iterable[torch.nn.Module], input_shape: Shape, **metadata: Any) -> IntNet:
    """Does as `to_intnet` for a training that goes on: all weights of a layer may be 0, since they need not stay so."""
    return IntNet(tuple(input_shape), tuple(_layers(blocks, input_shape).values()), **metadata)


def _layers(blocks: Iterable[torch.nn.Module], input_shape: Shape) -> dict[str, Dense | Conv]:
    """The layers, each under the name that messages give its block."""
    layers, shape, axonal, where = {}, tuple(input_shape), None, ""
    for index, block in enumerate(blocks):
        if isinstance(block, slayer.Flatten):
            shape = (prod(shape),)
            continue
        where = f"block {index} ({type(block).__name__})"
        if not isinstance(block, slayer.Dense | slayer.Conv):
            raise QuantizationError(f"{where}: only CUBA Dense, Conv and Flatten blocks can be deployed")
        try:
            if isinstance(block, slayer.Conv):
                layers[where] = _conv(where, block, shape)
            else:
                layers[where] = _dense(where, block, shape, axonal)
        except FormatError as error:
            raise QuantizationError(f"{where}: {error}") from error
        shape, axonal = layers[where].shape, _axonal(where, block)
    if axonal is not None:
        raise QuantizationError(f"{where}: no synapse is behind its axonal delays; train the last block without")
    return layers


def _axonal(where: str, block: Any) -> np.ndarray | None:
    """The delays of a block's axons, (O,) int32, which are those of the next layer's inputs; None for none."""
    if block.delay is None:
        return None
    delay = block.delay.delay.detach().cpu().numpy()
    if delay.max() >= DELAY_MAX + 1:
        raise QuantizationError(
            f"{where}: axonal delays of up to {delay.max():.1f} steps, expected {DELAY_MAX} at most"
        )
    delay = np.floor(delay).astype(np.int32)
    return delay if delay.any() else None


def _dense(where: str, block: Any, shape: Shape, axonal: np.ndarray | None) -> Dense:
    weight = _weight(where, block)
    weight = weight.reshape(len(weight), -1)
    if weight.shape[1] != prod(shape):
        raise QuantizationError(f"{where}: reads {weight.shape[1]} inputs, but what is before it gives {shape}")
    delay = np.zeros_like(weight) if axonal is None else np.broadcast_to(axonal, weight.shape).copy()
    if (delays := delays_of(block)) is not None:
        delay += delays.of_synapses(*weight.shape)
    return Dense(weight, _neuron(where, block.neuron), delay=delay if delay.any() else None)


def _conv(where: str, block: Any, shape: Shape) -> Conv:
    if block.delay is not None:
        raise QuantizationError(f"{where}: Lava ignores the delays of a convolution; train without")
    synapse = block.synapse
    if len(shape) != 3 or shape[0] != synapse.in_channels:
        expected = f"({synapse.in_channels}, H, W)"
        raise QuantizationError(f"{where}: reads (C, H, W) = {expected}, but what is before it gives {shape}")
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


@torch.no_grad()
def _weight(where: str, block: Any) -> np.ndarray:
    """The integers that the next forward pass would use, in the shape of the synapse's own weights."""
    synapse = block.synapse
    if synapse.weight_norm_enabled:  # torch renews `weight` in a forward pass only, and SLAYER masks it before that
        weight = torch._weight_norm(synapse.weight_v, synapse.weight_g, 0)  # pyright: ignore[reportPrivateImportUsage]
    else:
        mask = getattr(block, "mask", None)
        weight = synapse.weight if mask is None else synapse.weight * mask
    try:
        weight = synapse.pre_hook_fx(weight, descale=True).cpu().numpy()
    except TypeError as error:
        raise QuantizationError(f"{where}: its pre_hook_fx does not quantize weights; leave that option out") from error
    if not np.isfinite(weight).all():
        raise QuantizationError(f"{where}: weights are not finite; training diverged, use a lower learning rate")
    integers = np.rint(weight).astype(np.int32)
    if np.abs(weight - integers).max() > 0 or integers.min() < WEIGHT_MIN or integers.max() > WEIGHT_MAX:
        raise QuantizationError(f"{where}: weights are not integers in [{WEIGHT_MIN}, {WEIGHT_MAX}]")
    return integers


def _neuron(where: str, neuron: Any) -> Cuba:
    if neuron.norm is not None or getattr(neuron, "graded_spike", False):
        raise QuantizationError(f"{where}: neurons with `norm` or graded spikes are not deployed; leave them out")
    if not neuron.shared_param and neuron.shape is None:
        raise QuantizationError(f"{where}: its decays are drawn when it first runs; run the network once before")

    def decay(values: torch.Tensor) -> np.ndarray:  # as SLAYER's cx_current_decay, which clamps the neuron's own
        decays = np.rint(values.detach().cpu().numpy()).clip(0, neuron.p_scale).astype(np.int32)
        return decays.reshape(()) if decays.size == 1 else decays

    threshold = np.array(neuron.v_th_mant, dtype=np.int32)
    return Cuba(decay(neuron.current_decay), decay(neuron.voltage_decay), threshold)
