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
from snnkd.ir.arithmetic import DELAY_MAX, THRESHOLD_LIMIT, WEIGHT_MAX, WEIGHT_MIN
from snnkd.ir.network import Conv, Cuba, Dense, IntNet, Neuron, Shape, Sigma, conv_shape
from snnkd.ir.network import SigmaDelta as SigmaDeltaNeuron
from snnkd.ir.readout import Readout
from snnkd.recipe.architecture import UNDEPLOYABLE
from snnkd.recipe.tables import NeuronParameter
from snnkd.training import slayer
from snnkd.training.delays import delays_of
from snnkd.training.neuron import MANTISSAS, channels_of
from snnkd.training.normalization import bias_of, norm_of
from snnkd.training.sigma_delta import SigmaDelta


def to_intnet(blocks: Iterable[torch.nn.Module], input_shape: Shape, **metadata: Any) -> IntNet:
    """Makes the integer network of a chain of lava-dl `slayer.block.cuba` blocks, and only reads these.

    Blocks with snnkd's sigma-delta neurons become layers of such; a normalization that is not folded yet is refused.

    blocks: Dense, Conv and Flatten in the order of the data, snnkd's or a user's own; the last one may be an Affine,
    which never fires and is read by its membrane. input_shape: (C, H, W) or (features,). metadata: fields of IntNet,
    such as `steps`, `encoding` and `readout`. Delays of axons become those of the synapses behind them, of the last
    block those of its own synapses: the same spikes.
    Raises QuantizationError, naming the block, for what has no exact integer form, for weights that are not finite and
    for a layer whose weights are all 0.
    """
    layers = _layers(blocks, input_shape)
    for where, layer in layers.items():
        if not layer.weight.any():
            raise QuantizationError(f"{where}: all weights are 0, which Lava's loader cannot take; train longer")
    return _network(input_shape, layers, metadata)


def to_intnet_so_far(blocks: Iterable[torch.nn.Module], input_shape: Shape, **metadata: Any) -> IntNet:
    """Does as `to_intnet` for a training that goes on: all weights of a layer may be 0, since they need not stay so."""
    return _network(input_shape, _layers(blocks, input_shape), metadata)


def _network(input_shape: Shape, layers: dict[str, Dense | Conv], metadata: dict[str, Any]) -> IntNet:
    """As a file without a readout is read: by the membrane where the last layer cannot fire."""
    chain = tuple(layers.values())
    if chain and not chain[-1].neuron.can_fire:
        metadata = {"readout": Readout("membrane"), **metadata}
    return IntNet(tuple(input_shape), chain, **metadata)


def _layers(blocks: Iterable[torch.nn.Module], input_shape: Shape) -> dict[str, Dense | Conv]:
    """The layers, each under the name that messages give its block."""
    layers: dict[str, Dense | Conv] = {}
    shape, axonal, where = tuple(input_shape), None, ""
    for index, block in enumerate(blocks):
        if isinstance(block, slayer.Flatten):
            shape = (prod(shape),)
            continue
        if where and not layers[where].neuron.can_fire:
            raise QuantizationError(f"{where}: never fires, so nothing can read it; only the last block may be one")
        where = f"block {index} ({type(block).__name__})"
        if not isinstance(block, (slayer.Dense, slayer.Conv, *slayer.AFFINE)):
            raise QuantizationError(f"{where}: {_not_deployed(block)}")
        try:
            if isinstance(block, slayer.Conv):
                layers[where] = _conv(where, block, shape, axonal)
            else:
                layers[where] = _dense(where, block, shape, axonal)
        except FormatError as error:
            raise QuantizationError(f"{where}: {error}") from error
        shape, axonal = layers[where].shape, _axonal(where, block, layers[where].shape)
    if axonal is not None:
        layers[where] = _held_back(where, layers[where], axonal)
    return layers


def _not_deployed(block: Any) -> str:
    reason = UNDEPLOYABLE.get(type(block).__name__.lower(), "train slayer.block.cuba instead")
    return f"only CUBA Dense, Conv and Flatten blocks and a last Affine can be deployed; {reason}"


def _axonal(where: str, block: Any, shape: Shape) -> np.ndarray | None:
    """The delays of a block's axons, which are those of the next layer's inputs, flat in their order: int32 of as many
    values as `shape` has; None for none."""
    if getattr(block, "delay", None) is None:
        return None
    delay = block.delay.delay.detach().cpu().numpy().reshape(-1)
    if delay.max() >= DELAY_MAX + 1:
        raise QuantizationError(
            f"{where}: axonal delays of up to {delay.max():.1f} steps, expected {DELAY_MAX} at most; train with "
            f"block.delay.max_delay = {DELAY_MAX}"
        )
    delay = np.floor(delay).astype(np.int32)
    return np.repeat(delay, prod(shape) // len(delay)) if delay.any() else None


def _held_back(where: str, layer: Dense | Conv, axonal: np.ndarray) -> Dense:
    """The last layer with the delays of its axons in front of its neurons: what comes so much later in, comes so much
    later out."""
    if isinstance(layer, Conv):
        raise QuantizationError(f"{where}: Lava ignores the delays of a convolution; train the last block without")
    delay = axonal[:, None] + (0 if layer.delay is None else layer.delay)
    if delay.max() > DELAY_MAX:
        raise QuantizationError(
            f"{where}: delays of up to {delay.max()} steps, with those of its inputs, expected {DELAY_MAX} at most"
        )
    return replace(layer, delay=np.broadcast_to(delay, layer.weight.shape).astype(np.int32))


def _dense(where: str, block: Any, shape: Shape, axonal: np.ndarray | None) -> Dense:
    weight = _weight(where, block)
    weight = weight.reshape(len(weight), -1)
    if weight.shape[1] != prod(shape):
        raise QuantizationError(f"{where}: reads {weight.shape[1]} inputs, but what is before it gives {shape}")
    delay = np.zeros_like(weight) if axonal is None else np.broadcast_to(axonal, weight.shape).copy()
    if (delays := delays_of(block)) is not None:
        delay += delays.of_synapses(*weight.shape)
    neuron = _silent(where, block) if isinstance(block, slayer.AFFINE) else _neurons(where, block)
    return Dense(weight, neuron, delay=delay if delay.any() else None)


def _silent(where: str, block: Any) -> Cuba:
    """The neurons of an Affine block, which cannot fire; without dynamics they only add up, as NetX takes them."""
    if not block.dynamics:
        return Cuba(*(np.array(value, np.int32) for value in (0, block.neuron.p_scale, THRESHOLD_LIMIT + 1)))
    return _neuron(where, block.neuron, THRESHOLD_LIMIT + 1)


def _conv(where: str, block: Any, shape: Shape, axonal: np.ndarray | None) -> Conv:
    if axonal is not None:
        raise QuantizationError(
            f"{where}: Lava ignores the delays of a convolution; train the block before it without, or put a Dense "
            "behind that"
        )
    synapse = block.synapse
    if len(shape) != 3 or shape[0] != synapse.in_channels:
        expected = f"({synapse.in_channels}, H, W)"
        raise QuantizationError(f"{where}: reads (C, H, W) = {expected}, but what is before it gives {shape}")
    layer = Conv(
        weight=_weight(where, block)[..., 0],
        neuron=_neurons(where, block),
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


def _neurons(where: str, block: Any) -> Neuron:
    """The neurons of a block, with its trained biases."""
    if norm_of(block) is not None:
        raise QuantizationError(f"{where}: its normalization is not folded yet; call the network's fold() before")
    trained = bias_of(block)
    bias = None if trained is None else trained.integers().cpu().numpy()
    if not isinstance(block.neuron, SigmaDelta):
        return replace(_neuron(where, block.neuron), bias=bias, **_of_channels(block))
    if block.neuron.decoder:
        return Sigma()
    return SigmaDeltaNeuron(block.neuron.threshold, bias)


def _of_channels(block: Any) -> dict[NeuronParameter, np.ndarray]:
    """The thresholds and decays that differ from channel to channel, int32 (C,) each."""
    if (values := channels_of(block)) is None:
        return {}
    held = zip(MANTISSAS, block.neuron.mantissas(values).detach().int().cpu().numpy(), strict=True)
    return {name: mantissas for name, mantissas in held if name in block.neuron.per_channel}


def _neuron(where: str, neuron: Any, threshold: int | None = None) -> Cuba:
    """The neurons of a block, with their own threshold unless another one is given."""
    if neuron.norm is not None or getattr(neuron, "graded_spike", False):
        raise QuantizationError(f"{where}: neurons with `norm` or graded spikes are not deployed; leave them out")
    if not neuron.shared_param and neuron.shape is None:
        raise QuantizationError(f"{where}: its decays are drawn when it first runs; run the network once before")

    def decay(values: torch.Tensor) -> np.ndarray:  # as SLAYER's cx_current_decay, which clamps the neuron's own
        decays = np.rint(values.detach().cpu().numpy()).clip(0, neuron.p_scale).astype(np.int32)
        return decays.reshape(()) if decays.size == 1 else decays

    mantissa = neuron.v_th_mant if threshold is None else threshold
    return Cuba(decay(neuron.current_decay), decay(neuron.voltage_decay), np.array(mantissa, dtype=np.int32))
