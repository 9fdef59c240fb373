"""IntNet: the integer network, the one form in which snnkd deploys, simulates, verifies and profiles.

Frozen dataclasses of numpy integer arrays; hardware-neutral; channel-first (C, H, W). A dense layer behind a
(C, H, W) shape reads it flattened in that order. The arithmetic is in `docs/number_formats.md` and `reference.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from snnkd.errors import FormatError
from snnkd.fixedpoint import DELAY_MAX, THRESHOLD_LIMIT
from snnkd.readout import EarlyExit, Readout

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Neuron:
    """CUBA-LIF neurons of one layer; every field is int32, of shape () for all neurons, (C,) or (O,) per channel or
    neuron, or the layer's whole shape.

    current_decay, voltage_decay: fractions of 4096, in [0, 4096] (iDecay, vDecay). threshold: vThMant; a neuron fires
    where v > threshold * 64. bias: mantissa, int16 range, added as bias * 64 to v at every step; None for no bias.
    """

    current_decay: np.ndarray
    voltage_decay: np.ndarray
    threshold: np.ndarray
    bias: np.ndarray | None = None

    @property
    def can_fire(self) -> bool:
        """Whether any of them can: not where thresholds have more than 17 bits, as those of lava-dl's Affine."""
        return bool(np.min(self.threshold) <= THRESHOLD_LIMIT)


@dataclass(frozen=True, eq=False)
class Input:
    """An input layer that owns neurons: the input image is their bias mantissa, constant over all steps."""

    shape: Shape
    neuron: Neuron


@dataclass(frozen=True, eq=False)
class Dense:
    """weight: (O, I) int32 as the synapse holds it; a = (weight @ s) << weight_exp (arithmetic >> where negative).

    delay: (O, I) int32 steps in [0, 62] from the event to its arrival, or None for none.
    """

    weight: np.ndarray
    neuron: Neuron
    weight_exp: int = 0
    delay: np.ndarray | None = None

    @property
    def shape(self) -> Shape:
        return (self.weight.shape[0],)


@dataclass(frozen=True, eq=False)
class Conv:
    """Cross-correlation. weight: (O, C / groups, kH, kW) int32; stride, padding and dilation are (H, W) pairs;
    shape: (O, H, W) of the output."""

    weight: np.ndarray
    neuron: Neuron
    shape: Shape
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


Layer = Input | Dense | Conv


@dataclass(frozen=True, eq=False)
class IntNet:
    """An integer network.

    input_shape: (C, H, W) or (features,). layers: those that own neurons, in order. steps: time steps that it is
    meant to run for, None if unknown. message_bits: 0 where input events are 0 or 1, else the bits of a graded one.
    encoding: parameters of the encoder as plain JSON data, None if unknown. provenance: plain JSON data or None.
    early_exit: the rule by which a run of one sample may end before its last step, None for all steps.
    """

    input_shape: Shape
    layers: tuple[Layer, ...]
    steps: int | None = None
    message_bits: int = 0
    encoding: dict[str, Any] | None = None
    readout: Readout = field(default_factory=Readout)
    provenance: dict[str, Any] | None = None
    early_exit: EarlyExit | None = None

    def __post_init__(self) -> None:
        check(self)

    @property
    def names(self) -> list[str]:
        """layer0, layer1, ...: the name of each layer in traces, reports and messages."""
        return [f"layer{k}" for k in range(len(self.layers))]

    @property
    def has_bias(self) -> bool:
        return any(layer.neuron.bias is not None for layer in self.layers)

    @property
    def longest_delay(self) -> int:
        """Steps by which delays can hold back an event on its way through all layers."""
        delays = (layer.delay for layer in self.layers if isinstance(layer, Dense))
        return sum(int(delay.max(initial=0)) for delay in delays if delay is not None)

    @property
    def parameters(self) -> int:
        """Number of synaptic weights."""
        return sum(layer.weight.size for layer in self.layers if not isinstance(layer, Input))

    @property
    def neurons(self) -> int:
        return sum(prod(layer.shape) for layer in self.layers)

    def read_by(self, kind: str) -> IntNet:
        """Returns the same network with its class read by `kind`, 'count' or 'membrane'.

        A rule for early exit goes: its margin counts what the other readout has. Raises FormatError for another kind.
        """
        if kind == self.readout.kind:
            return self
        return replace(self, readout=Readout(kind, "first", self.readout.population), early_exit=None)

    def inputs(self) -> Iterator[tuple[str, Shape, Layer]]:
        """(name, shape of what the layer reads, layer) for each layer in order."""
        shape = self.input_shape
        for name, layer in zip(self.names, self.layers, strict=True):
            yield name, shape, layer
            shape = layer.shape

    def describe(self) -> dict[str, Any]:
        """What `snnkd inspect --json` prints: all but the weights themselves, as plain JSON data."""
        return {
            "input_shape": list(self.input_shape),
            "steps": self.steps,
            "message_bits": self.message_bits,
            "encoding": self.encoding,
            "readout": asdict(self.readout),
            "early_exit": None if self.early_exit is None else asdict(self.early_exit),
            "parameters": self.parameters,
            "neurons": self.neurons,
            "provenance": self.provenance,
            "layers": [
                {"layer": name, **_describe(layer)} for name, layer in zip(self.names, self.layers, strict=True)
            ],
        }


def _describe(layer: Layer) -> dict[str, Any]:
    row: dict[str, Any] = {"kind": type(layer).__name__.lower(), "shape": list(layer.shape)}
    row |= {"connection": "", "weights": 0, "range": "", "delay": ""}
    if isinstance(layer, Conv):
        row["connection"] = (
            f"{layer.weight.shape[2]}x{layer.weight.shape[3]}, stride {layer.stride}, padding {layer.padding}, "
            f"dilation {layer.dilation}, groups {layer.groups}"
        )
    if not isinstance(layer, Input):
        row |= {"weights": layer.weight.size, "range": f"{layer.weight.min()} to {layer.weight.max()}"}
    if isinstance(layer, Dense):
        row["connection"] = f"all, x 2^{layer.weight_exp}" if layer.weight_exp else "all"
        row["delay"] = "" if layer.delay is None else f"{layer.delay.min()} to {layer.delay.max()}"
    for key, name in (("threshold", "threshold"), ("iDecay", "current_decay"), ("vDecay", "voltage_decay")):
        values = getattr(layer.neuron, name)
        row[key] = str(values.min()) if values.min() == values.max() else f"{values.min()} to {values.max()}"
    row["bias"] = layer.neuron.bias is not None
    return row


def per_neuron(values: np.ndarray, shape: Shape) -> np.ndarray:
    """int64 view of a neuron parameter that broadcasts over (..., *shape)."""
    values = np.asarray(values, dtype=np.int64)
    if values.ndim == 0 or values.shape == shape:
        return values
    if values.shape == (1,):
        return values.reshape(())
    if values.shape == shape[:1]:
        return values.reshape(shape[:1] + (1,) * (len(shape) - 1))
    raise FormatError(f"parameter of shape {values.shape} fits neither neurons of shape {shape} nor their channels")


def conv_shape(shape: Shape, layer: Conv) -> Shape:
    """(O, H, W) that a convolution gives on an input of shape (C, H, W)."""
    size = [
        (extent + 2 * pad - dil * (k - 1) - 1) // stride + 1
        for extent, pad, dil, k, stride in zip(
            shape[1:], layer.padding, layer.dilation, layer.weight.shape[2:], layer.stride, strict=True
        )
    ]
    return (layer.weight.shape[0], *size)


def check(net: IntNet) -> None:
    """Raises FormatError, naming layer and field, where `net` is not a network that the definition covers."""
    if not net.layers:
        raise FormatError("network: expected at least one layer with neurons")
    if len(net.input_shape) not in (1, 3) or min(net.input_shape) < 1:
        raise FormatError(f"input_shape {net.input_shape}: expected (C, H, W) or (features,), all at least 1")
    for index, (name, shape, layer) in enumerate(net.inputs()):
        if isinstance(layer, Input):
            if index != 0 or layer.shape != shape:
                raise FormatError(f"{name}: an input layer must be the first one and have the shape {shape}")
        elif isinstance(layer, Conv):
            _check_conv(name, shape, layer)
        else:
            _check_dense(name, shape, layer)
        _check_neuron(name, layer)
    outputs, population = prod(net.layers[-1].shape), net.readout.population
    if outputs % population:
        raise FormatError(f"readout: {outputs} outputs do not divide into classes of {population} neurons each")


def _check_dense(name: str, shape: Shape, layer: Dense) -> None:
    if layer.weight.ndim != 2 or layer.weight.shape[1] != prod(shape):
        raise FormatError(f"{name}.weight: expected (O, {prod(shape)}) for inputs {shape}, found {layer.weight.shape}")
    delay = layer.delay
    if delay is not None and (
        delay.shape != layer.weight.shape or delay.min(initial=0) < 0 or delay.max(initial=0) > DELAY_MAX
    ):
        raise FormatError(f"{name}.delay: expected {layer.weight.shape} integers in [0, {DELAY_MAX}]")


def _check_conv(name: str, shape: Shape, layer: Conv) -> None:
    if len(shape) != 3:
        raise FormatError(f"{name}: a convolution needs an input (C, H, W), found {shape}")
    out, channels = layer.weight.shape[0], layer.weight.shape[1] * layer.groups if layer.weight.ndim == 4 else -1
    if layer.groups < 1 or channels != shape[0] or out % layer.groups:
        raise FormatError(
            f"{name}.weight: shape {layer.weight.shape} with groups {layer.groups} does not fit {shape[0]} channels"
        )
    if min(*layer.stride, *layer.dilation) < 1 or min(layer.padding) < 0:
        raise FormatError(f"{name}: stride and dilation must be at least 1, padding at least 0")
    expected = conv_shape(shape, layer)
    if min(expected) < 1 or layer.shape != expected:
        raise FormatError(f"{name}.shape: expected {expected} from input {shape}, found {layer.shape}")


def _check_neuron(name: str, layer: Layer) -> None:
    neuron = layer.neuron
    bounds = {
        "current_decay": (0, 4096),
        "voltage_decay": (0, 4096),
        "threshold": (0, THRESHOLD_LIMIT + 1),
        "bias": (-(1 << 15), (1 << 15) - 1),
    }
    for field_name, (low, high) in bounds.items():
        values = getattr(neuron, field_name)
        if values is None:
            continue
        try:
            per_neuron(values, layer.shape)
        except FormatError as error:
            raise FormatError(f"{name}.{field_name}: {error}") from error
        if values.min() < low or values.max() > high:
            raise FormatError(
                f"{name}.{field_name}: expected values in [{low}, {high}], found {values.min()} to {values.max()}"
            )
