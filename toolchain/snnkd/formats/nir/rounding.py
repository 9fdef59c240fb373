"""Integers for the real numbers of a layer: 8-bit weights, 12-bit decays, thresholds and biases in the same unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np

from snnkd.base.errors import FormatError
from snnkd.formats.nir.real import RealConv, RealLayer, RealNet
from snnkd.ir import rounding
from snnkd.ir.arithmetic import DECAY_BITS, THRESHOLD_LIMIT
from snnkd.ir.network import Conv, Cuba, Dense, IntNet, Layer, Shape
from snnkd.ir.readout import Readout

_BIAS_MAX = (1 << 15) - 1
_EXACT = 1e-6  # relative: what float32 files lose of a number


@dataclass(frozen=True, eq=False)
class Choice:
    """A layer in integers, and what was lost.

    scale: what its weights, thresholds and biases were multiplied by. clipped: weights beyond the range. weight_error:
    of root mean squares; threshold_error: of the largest; bias_error: of the largest, or of the weights where these are
    larger; decay_error: the largest relative one. notes: in words.
    """

    layer: Dense | Conv
    scale: float
    clipped: int
    weight_error: float
    threshold_error: float
    bias_error: float
    decay_error: float
    notes: tuple[str, ...] = ()

    @property
    def error(self) -> float:
        """What the scale can change of the errors."""
        return float(np.hypot(self.weight_error, max(self.threshold_error, self.bias_error)))

    @property
    def exact(self) -> bool:
        """Whether the integers say what the real numbers said."""
        return not self.error and not self.decay_error and not self.notes


# Picks one of a layer's choices, the best by its numbers first; is called for each layer in order.
Pick = Callable[[RealLayer, list[Choice]], Choice]


def rounded(
    net: RealNet, bits: int = 8, pick: Pick | None = None, message_bits: int = 0
) -> tuple[IntNet, list[Choice]]:
    """Makes the integer network of `net`, and says how each layer was made.

    bits: of a weight, 2 to 8, sign included. pick: chooses of several scales, else the one is taken at which a layer's
    numbers lose least. Raises FormatError, naming the layer, for what has no integer form.
    """
    picked, layers = list[Choice](), list[Layer]()
    for layer in net.layers:
        options = choices(net.file, layer, bits)
        picked.append(options[0] if pick is None else pick(layer, options))
        layers.append(picked[-1].layer)
    kind = "count" if layers[-1].neuron.can_fire else "membrane"
    whole = IntNet(net.input_shape, tuple(layers), net.steps, message_bits, readout=Readout(kind))
    return whole, picked


def choices(file: str, layer: RealLayer, bits: int = 8) -> list[Choice]:
    """Returns the layer in integers at every scale worth trying, the one that loses least first.

    The scale 1 alone where that loses nothing. Raises FormatError as `rounded` does.
    """
    bias = _bias(file, layer)
    finite = layer.neuron.threshold[np.isfinite(layer.neuron.threshold)]
    largest = (THRESHOLD_LIMIT + 1) / max(finite.max(initial=0), 1e-30)
    largest = float(min(largest, _BIAS_MAX / max(np.abs(bias).max(), 1e-30)))
    made = [_choice(layer, bias, 1.0, step, bits) for step in rounding.steps(bits)] if largest >= 1 else []
    if any(not choice.error for choice in made):
        return [choice for choice in made if not choice.error][:1]
    weight = layer.synapse.weight
    for factor in rounding.factors(weight, bits, largest):
        made += [_choice(layer, bias, factor, step, bits) for step in rounding.steps(bits)]
    return sorted(made, key=lambda choice: (round(choice.error, 12), -choice.scale))


def _bias(file: str, layer: RealLayer) -> np.ndarray:
    """What v gains at every step. A bias of the synapse goes through the current, where it settles at bias / decay."""
    added = layer.synapse.bias
    if not added.any():
        return layer.neuron.leak
    added = added.reshape(-1, *(1,) * (len(layer.shape) - 1))
    if (np.rint(layer.neuron.current_decay * (1 << DECAY_BITS)) == 0).any():
        raise FormatError(
            f"{file}: node {layer.name}: a bias before a current that never decays grows for ever; remove it"
        )
    return layer.neuron.leak + added / layer.neuron.current_decay


def _choice(layer: RealLayer, bias: np.ndarray, factor: float, step: int, bits: int) -> Choice:
    weight, fit = rounding.rounded(layer.synapse.weight, factor, step, bits)
    threshold, threshold_error = _integers(
        np.where(np.isfinite(layer.neuron.threshold), layer.neuron.threshold, 0), factor
    )
    threshold = np.where(
        np.isfinite(layer.neuron.threshold), np.clip(threshold, 0, THRESHOLD_LIMIT + 1), THRESHOLD_LIMIT + 1
    )
    biases, bias_error = _integers(bias, factor, float(np.sqrt(np.mean(layer.synapse.weight**2))))
    decays, errors = zip(*(_decay(d) for d in (layer.neuron.current_decay, layer.neuron.voltage_decay)), strict=True)
    current, voltage, threshold = (_collapsed(values, layer.shape) for values in (*decays, threshold))
    biases = np.clip(biases, -_BIAS_MAX, _BIAS_MAX)
    neuron = Cuba(current, voltage, threshold, _collapsed(biases, layer.shape) if biases.any() else None)
    return Choice(
        _layer(layer, weight.astype(np.int32), neuron),
        factor,
        fit.clipped,
        fit.error if fit.error > _EXACT else 0.0,
        threshold_error,
        bias_error,
        max(errors),
        _notes(layer, decays),
    )


def _notes(layer: RealLayer, decays: tuple[np.ndarray, ...]) -> tuple[str, ...]:
    notes = []
    if layer.synapse.bias.any() and (layer.neuron.current_decay < 1).any():
        notes.append("its bias goes through the current in NIR: taken as settled from the first step on")
    for name, values, real in zip(
        ("tau_syn", "tau_mem"), decays, (layer.neuron.current_decay, layer.neuron.voltage_decay), strict=True
    ):
        if ((values == 0) & (real > 1e-9)).any():
            notes.append(f"{name} is longer than 8,192 steps: its state does not decay")
    return tuple(notes)


def _layer(layer: RealLayer, weight: np.ndarray, neuron: Cuba) -> Dense | Conv:
    synapse = layer.synapse
    if isinstance(synapse, RealConv):
        return Conv(weight, neuron, layer.shape, synapse.stride, synapse.padding, synapse.dilation, synapse.groups)
    return Dense(weight, neuron, delay=None if synapse.delay is None else synapse.delay.astype(np.int32))


def _integers(values: np.ndarray, factor: float, size: float = 0.0) -> tuple[np.ndarray, float]:
    """values * factor, rounded, and the largest error relative to the largest value, or to `size` if that is more."""
    scaled = values * factor
    whole = np.rint(scaled)
    largest = max(float(np.abs(scaled).max(initial=0)), size * factor)
    error = float(np.abs(whole - scaled).max(initial=0) / largest) if largest else 0.0
    return whole, error if error > _EXACT else 0.0


def _decay(fraction: np.ndarray) -> tuple[np.ndarray, float]:
    """A decay in 1 / 4096, and its largest relative error; below 1e-9 a state is meant to stay."""
    scaled = np.where(fraction < 1e-9, 0, fraction) * (1 << DECAY_BITS)
    whole = np.rint(scaled)
    error = float((np.abs(whole - scaled) / np.maximum(scaled, 1e-30)).max(initial=0))
    return whole, error if error > _EXACT else 0.0


def _collapsed(values: np.ndarray, shape: Shape) -> np.ndarray:
    """int32 of shape () where all are the same, (C,) where those of each channel are, else `shape`."""
    if values.size == 1:
        return values.reshape(()).astype(np.int32)
    if values.size == prod(shape):
        values = values.reshape(shape)
    full = np.broadcast_to(values, shape).astype(np.int32)
    if (full == full.flat[0]).all():
        return np.array(full.flat[0], np.int32)
    by_channel = full.reshape(shape[0], -1)
    return by_channel[:, 0].copy() if (by_channel == by_channel[:, :1]).all() else full
