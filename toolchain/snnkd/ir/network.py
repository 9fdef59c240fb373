"""IntNet: the integer network, the one form in which snnkd deploys, simulates, verifies and profiles.

Frozen dataclasses of numpy integer arrays; hardware-neutral; channel-first (C, H, W). A dense layer behind a
(C, H, W) shape reads it flattened in that order. The arithmetic is in `docs/number_formats.md` and, as code, in
`engines/reference/definition.py`.

`Layer` and `Neuron` are closed sets, told apart by `kind`. Who tells them apart ends with `assert_never`, so that
pyright names every place that does not know a new kind yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, ClassVar, Literal

import numpy as np
from typing_extensions import assert_never

from snnkd.base.errors import FormatError
from snnkd.ir.arithmetic import DELAY_MAX, EXPONENT_MAX, THRESHOLD_LIMIT
from snnkd.ir.readout import READOUTS, EarlyExit, Readout

Shape = tuple[int, ...]
MAX_STEPS = 1 << 20  # that a network may be meant for
MAX_MESSAGE_BITS = 24  # of an input event, that a file may say

_LONGEST_NAME = 255  # characters of a class's name, which may be that of a folder


@dataclass(frozen=True, eq=False)
class Cuba:
    """CUBA-LIF neurons of one layer; every field is int32, of shape () for all neurons, (C,) or (O,) per channel or
    neuron, or the layer's whole shape.

    Of every kind of neurons: states names what they hold from one step to the next, membrane which of these a readout
    reads; largest_message is the largest magnitude of what they send.

    current_decay, voltage_decay: fractions of 4096, in [0, 4096] (iDecay, vDecay). threshold: vThMant; a neuron fires
    where v > threshold * 64. bias: mantissa, int16 range, added as bias * 64 to v at every step; None for no bias.
    """

    kind: ClassVar[Literal["cuba"]] = "cuba"
    states: ClassVar[tuple[str, ...]] = ("u", "v")
    membrane: ClassVar[str] = "v"
    largest_message: ClassVar[int] = 1
    current_decay: np.ndarray
    voltage_decay: np.ndarray
    threshold: np.ndarray
    bias: np.ndarray | None = None

    @property
    def can_fire(self) -> bool:
        """Tells whether any of them can: not where all thresholds have more than 17 bits, as in lava-dl's Affine."""
        return bool(np.min(self.threshold) <= THRESHOLD_LIMIT)


@dataclass(frozen=True, eq=False)
class Delta:
    """Delta encoders, an input layer's: they take the input as it is, and send by how much it changed, as integers.

    threshold: vth, in units of the input; a change is sent where its magnitude is at least that. spike_exp, state_exp:
    the input is held times 2^(spike_exp + state_exp), and sent times 2^spike_exp, rounded down. cumulative: whether
    changes that were not sent add up to an error, and it is that which is compared with the threshold.
    """

    kind: ClassVar[Literal["delta"]] = "delta"
    membrane: ClassVar[str] = "act"
    bias: ClassVar[None] = None
    can_fire: ClassVar[bool] = True
    threshold: int
    spike_exp: int = 6
    state_exp: int = 6
    cumulative: bool = False

    @property
    def states(self) -> tuple[str, ...]:
        """Names what they hold from one step to the next, in the order in which a step computes it."""
        return ("act", "residue", *(("error",) if self.cumulative else ()))

    @property
    def largest_message(self) -> int:
        """Gives the largest magnitude of what they send: states have 32 bits."""
        return (1 << 31) >> self.state_exp


@dataclass(frozen=True, eq=False)
class SigmaDelta:
    """Sigma-delta neurons: they sum up what arrives, add a bias, and send by how much the activation of that changed.

    threshold, spike_exp, state_exp, cumulative: as of `Delta`. bias: int32 of shape (), (C,), (O,) or the layer's, in
    units of the threshold; None for no bias. activation: 'relu', or 'unit' for none.
    """

    kind: ClassVar[Literal["sigma-delta"]] = "sigma-delta"
    membrane: ClassVar[str] = "act"
    can_fire: ClassVar[bool] = True
    threshold: int
    bias: np.ndarray | None = None
    spike_exp: int = 6
    state_exp: int = 6
    activation: Literal["relu", "unit"] = "relu"
    cumulative: bool = False

    @property
    def states(self) -> tuple[str, ...]:
        """Names what they hold from one step to the next, in the order in which a step computes it."""
        return ("sigma", "act", "residue", *(("error",) if self.cumulative else ()))

    @property
    def largest_message(self) -> int:
        """Gives the largest magnitude of what they send: states have 32 bits."""
        return (1 << 31) >> self.state_exp


@dataclass(frozen=True, eq=False)
class Sigma:
    """Sigma decoders, an output's: they sum up what arrives, and send that sum at every step."""

    kind: ClassVar[Literal["sigma"]] = "sigma"
    states: ClassVar[tuple[str, ...]] = ("sigma",)
    membrane: ClassVar[str] = "sigma"
    bias: ClassVar[None] = None
    can_fire: ClassVar[bool] = True
    largest_message: ClassVar[int] = 1 << 31


Neuron = Cuba | Delta | SigmaDelta | Sigma
NeuronKind = Literal["cuba", "delta", "sigma-delta", "sigma"]


def quantities(neuron: Neuron) -> tuple[str, ...]:
    """Names all that is recorded of a neuron, in the order in which a step computes it: its states, and 's', what it
    sends."""
    behind = tuple(state for state in neuron.states if state in ("residue", "error"))  # they follow from what is sent
    return (*(state for state in neuron.states if state not in behind), "s", *behind)


@dataclass(frozen=True, eq=False)
class Input:
    """An input layer that owns neurons. Of CUBA neurons, the input image is their bias mantissa, constant over all
    steps; Delta encoders take the input of each step."""

    kind: ClassVar[Literal["input"]] = "input"
    shape: Shape
    neuron: Neuron


@dataclass(frozen=True, eq=False)
class Dense:
    """weight: (O, I) int32 as the synapse holds it; a = (weight @ s) << weight_exp (arithmetic >> where negative).

    delay: (O, I) int32 steps in [0, 62] from the event to its arrival, or None for none.
    """

    kind: ClassVar[Literal["dense"]] = "dense"
    weight: np.ndarray
    neuron: Neuron
    weight_exp: int = 0
    delay: np.ndarray | None = None

    @property
    def shape(self) -> Shape:
        """Gives the shape of the output: (O,)."""
        return (self.weight.shape[0],)

    @property
    def longest_delay(self) -> int:
        """Gives the longest delay of a synapse, in steps; 0 where there are no delays."""
        return 0 if self.delay is None else int(self.delay.max(initial=0))


@dataclass(frozen=True, eq=False)
class Conv:
    """Cross-correlation. weight: (O, C / groups, kH, kW) int32; stride, padding and dilation are (H, W) pairs;
    shape: (O, H, W) of the output."""

    kind: ClassVar[Literal["conv"]] = "conv"
    weight: np.ndarray
    neuron: Neuron
    shape: Shape
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def extent(self) -> tuple[int, int]:
        """Gives the (rows, columns) of the input from the first to the last that the dilated kernel reaches."""
        high, wide = (gap * (size - 1) + 1 for gap, size in zip(self.dilation, self.weight.shape[2:], strict=True))
        return high, wide

    def seen_by(self, row: int, column: int) -> tuple[slice, slice]:
        """Gives the rows and the columns of the padded input (H + 2 * padding, ...) that the weights at (row, column)
        of the kernel multiply, one for each output pixel."""
        top, left = row * self.dilation[0], column * self.dilation[1]
        _, high, wide = self.shape
        rows = slice(top, top + self.stride[0] * (high - 1) + 1, self.stride[0])
        return rows, slice(left, left + self.stride[1] * (wide - 1) + 1, self.stride[1])


Layer = Input | Dense | Conv
LayerKind = Literal["input", "dense", "conv"]


@dataclass(frozen=True, eq=False)
class IntNet:
    """An integer network.

    input_shape: (C, H, W) or (features,). layers: those that own neurons, in order. steps: time steps that it is
    meant to run for, None if unknown. message_bits: 0 where input events are 0 or 1, else the bits of a graded one.
    encoding: parameters of the encoder as plain JSON data, None if unknown. provenance: plain JSON data or None.
    early_exit: the rule by which a run of one sample may end before its last step, None for all steps. class_names: of
    the classes that the readout tells apart, in their order, None if unknown.
    """

    input_shape: Shape
    layers: tuple[Layer, ...]
    steps: int | None = None
    message_bits: int = 0
    encoding: dict[str, Any] | None = None
    readout: Readout = field(default_factory=Readout)
    provenance: dict[str, Any] | None = None
    early_exit: EarlyExit | None = None
    class_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check(self)

    def __repr__(self) -> str:
        from snnkd.ir import describe

        return describe.network(self).text()

    def _repr_html_(self) -> str:
        """Shows the same in a notebook."""
        from snnkd.ir import describe

        return describe.network(self).html()

    @property
    def names(self) -> list[str]:
        """Names the layers, layer0, layer1, ..., as traces, reports and messages have them."""
        return [f"layer{k}" for k in range(len(self.layers))]

    @property
    def reads_image(self) -> bool:
        """Tells whether a sample is one image, the bias of an input layer's neurons at every step, and no events."""
        return self.layers[0].kind == "input" and self.layers[0].neuron.kind == "cuba"

    @property
    def largest_event(self) -> int:
        """Gives the largest magnitude of an input event: 1, or what `message_bits` hold; of a layer of Delta encoders
        any that int32 holds."""
        if self.layers[0].neuron.kind == "delta":
            return 1 << 31
        return (1 << self.message_bits) - 1 if self.message_bits else 1

    @property
    def largest_events(self) -> list[int]:
        """Lists the largest magnitude of an event that each layer reads."""
        return [self.largest_event, *(layer.neuron.largest_message for layer in self.layers[:-1])]

    @property
    def is_sigma_delta(self) -> bool:
        """Tells whether any layer has neurons other than CUBA, whose messages are integers."""
        return any(layer.neuron.kind != "cuba" for layer in self.layers)

    @property
    def reads_once(self) -> bool:
        """Tells whether a still image says all in its first step: where no neurons are CUBA ones, whose sums add up."""
        return all(layer.neuron.kind != "cuba" for layer in self.layers)

    @property
    def has_bias(self) -> bool:
        """Tells whether any layer's neurons have a bias of their own."""
        return any(layer.neuron.bias is not None for layer in self.layers)

    @property
    def longest_delay(self) -> int:
        """Counts the steps by which delays can hold back an event on its way through all layers."""
        return sum(layer.longest_delay for layer in self.layers if layer.kind == "dense")

    @property
    def parameters(self) -> int:
        """Counts the synaptic weights."""
        return sum(layer.weight.size for layer in self.layers if layer.kind != "input")

    @property
    def neurons(self) -> int:
        """Counts the neurons of all layers."""
        return sum(prod(layer.shape) for layer in self.layers)

    def read_by(self, name: str) -> IntNet:
        """Returns the same network with its class read as `READOUTS` names it: 'count', 'membrane', ...

        A rule for early exit is dropped: its margin is in the units of the readout that it had. Raises KeyError for
        any other `name`.
        """
        if name == self.readout.name:
            return self
        kind, over = READOUTS[name]
        return replace(self, readout=Readout(kind, "first", self.readout.population, over), early_exit=None)

    def recorded(self, states: bool) -> list[tuple[str, ...]]:
        """Lists of each layer the states that a trace holds of every step: all with `states`, else the last layer's
        membrane where the readout reads it at every step. An engine may record more of that layer."""
        if states:
            return [layer.neuron.states for layer in self.layers]
        read = (self.layers[-1].neuron.membrane,) if self.readout.reads_every_v else ()
        return [*(() for _ in self.layers[:-1]), read]

    def inputs(self) -> Iterator[tuple[str, Shape, Layer]]:
        """Yields (name, shape of what the layer reads, layer) for each layer in order."""
        shape = self.input_shape
        for name, layer in zip(self.names, self.layers, strict=True):
            yield name, shape, layer
            shape = layer.shape


def cuba_of(layer: Layer) -> Cuba:
    """Returns the neurons of a layer in a network that was seen to have CUBA ones only (`IntNet.is_sigma_delta`)."""
    assert layer.neuron.kind == "cuba"
    return layer.neuron


def per_neuron(values: np.ndarray, shape: Shape) -> np.ndarray:
    """Returns a neuron parameter as int64 that broadcasts over (..., *shape).

    values: of shape (), (1,), (C,) or `shape`, the layer's. Raises FormatError for any other one.
    """
    values = np.asarray(values, dtype=np.int64)
    if values.ndim == 0 or values.shape == shape:
        return values
    if values.shape == (1,):
        return values.reshape(())
    if values.shape == shape[:1]:
        return values.reshape(shape[:1] + (1,) * (len(shape) - 1))
    raise FormatError(f"parameter of shape {values.shape} fits neither neurons of shape {shape} nor their channels")


def by_channel(values: np.ndarray, shape: Shape) -> np.ndarray:
    """Returns a neuron parameter, as `per_neuron` takes it, by channel: int64 (C, neurons of a channel)."""
    return np.broadcast_to(per_neuron(values, shape), shape).reshape(shape[0], -1)


def conv_size(
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
) -> tuple[int, int]:
    """Computes the (H, W) of a convolution's output from an input of `size` (H, W); all arguments are (H, W) pairs.

    A kernel that is larger than the padded input gives sizes below 1.
    """
    high, wide = (
        (extent + 2 * pad - gap * (weights - 1) - 1) // step + 1
        for extent, weights, step, pad, gap in zip(size, kernel, stride, padding, dilation, strict=True)
    )
    return high, wide


def conv_shape(shape: Shape, layer: Conv) -> Shape:
    """Computes the shape (O, H, W) of the output of a convolution on an input of shape (C, H, W)."""
    kernel = layer.weight.shape[2:]
    return (layer.weight.shape[0], *conv_size(shape[1:], kernel, layer.stride, layer.padding, layer.dilation))


def largest_sum(layer: Dense | Conv, largest_event: int) -> int:
    """Bounds the magnitude of a sum of weight * event, partial sums included, for events up to `largest_event`."""
    by_output = np.abs(layer.weight.astype(np.int64)).reshape(len(layer.weight), -1).sum(axis=1)
    return largest_event * int(by_output.max())


def check(net: IntNet) -> None:
    """Raises FormatError, naming layer and field, where `net` is not a network that the definition covers."""
    if not net.layers:
        raise FormatError("network: expected at least one layer with neurons")
    if len(net.input_shape) not in (1, 3) or min(net.input_shape) < 1:
        raise FormatError(f"input_shape {net.input_shape}: expected (C, H, W) or (features,), all at least 1")
    for index, (name, shape, layer) in enumerate(net.inputs()):
        if layer.kind == "input":
            if index != 0 or layer.shape != shape:
                raise FormatError(f"{name}: an input layer must be the first one and have the shape {shape}")
        elif layer.kind == "conv":
            _check_conv(name, shape, layer)
        elif layer.kind == "dense":
            _check_dense(name, shape, layer)
        else:
            assert_never(layer)
        _check_neuron(name, layer)
    if net.steps is not None and not 1 <= net.steps <= MAX_STEPS:
        raise FormatError(f"steps: expected 1 to {MAX_STEPS}, found {net.steps}")
    outputs, population = prod(net.layers[-1].shape), net.readout.population
    if outputs % population:
        raise FormatError(f"readout: {outputs} outputs do not divide into classes of {population} neurons each")
    if net.class_names is not None:
        check_class_names(net.class_names, outputs // population)


def check_class_names(names: Sequence[str], classes: int) -> None:
    """Raises FormatError where `names` are not one for each class, of characters that can be printed."""
    if len(names) != classes:
        raise FormatError(f"class names: expected {classes}, one for each class, found {len(names)}")
    for name in names:
        if not isinstance(name, str) or not name.isprintable() or not 1 <= len(name) <= _LONGEST_NAME:
            raise FormatError(f"class name {name!r:.80}: expected 1 to {_LONGEST_NAME} characters that can be printed")


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


_NEURONS_OF: dict[LayerKind, tuple[NeuronKind, ...]] = {
    "input": ("cuba", "delta"),
    "dense": ("cuba", "sigma-delta", "sigma"),
    "conv": ("cuba", "sigma-delta", "sigma"),
}


def _check_neuron(name: str, layer: Layer) -> None:
    neuron = layer.neuron
    if neuron.kind not in _NEURONS_OF[layer.kind]:
        raise FormatError(f"{name}: a layer of the kind '{layer.kind}' cannot have neurons of the kind '{neuron.kind}'")
    if neuron.kind == "cuba":
        for field_name, values, low, high in (
            ("current_decay", neuron.current_decay, 0, 4096),
            ("voltage_decay", neuron.voltage_decay, 0, 4096),
            ("threshold", neuron.threshold, 0, THRESHOLD_LIMIT + 1),
            ("bias", neuron.bias, -(1 << 15), (1 << 15) - 1),
        ):
            _check_values(f"{name}.{field_name}", values, low, high, layer.shape)
    elif neuron.kind == "delta":
        _check_delta(name, neuron)
    elif neuron.kind == "sigma-delta":
        top = _check_delta(name, neuron)
        _check_values(f"{name}.bias", neuron.bias, -top - 1, top, layer.shape)
        if neuron.activation not in ("relu", "unit"):
            raise FormatError(f"{name}.activation: expected 'relu' or 'unit', found {neuron.activation!r:.40}")
    elif neuron.kind == "sigma":
        pass
    else:
        assert_never(neuron)


def _check_delta(name: str, neuron: Delta | SigmaDelta) -> int:
    """Gives the largest threshold or bias that 32 bits hold behind the exponents."""
    for exponent in ("spike_exp", "state_exp"):
        if not 0 <= getattr(neuron, exponent) <= EXPONENT_MAX:
            found = getattr(neuron, exponent)
            raise FormatError(f"{name}.{exponent}: expected an integer in [0, {EXPONENT_MAX}], found {found}")
    top = ((1 << 31) - 1) >> (neuron.spike_exp + neuron.state_exp)
    if not 0 <= neuron.threshold <= top:
        raise FormatError(
            f"{name}.threshold: expected a value in [0, {top}], which 32 bits hold times 2^(spike_exp + state_exp), "
            f"found {neuron.threshold}"
        )
    return top


def _check_values(what: str, values: np.ndarray | None, low: int, high: int, shape: Shape) -> None:
    if values is None:
        return
    try:
        per_neuron(values, shape)
    except FormatError as error:
        raise FormatError(f"{what}: {error}") from error
    if values.min() < low or values.max() > high:
        raise FormatError(f"{what}: expected values in [{low}, {high}], found {values.min()} to {values.max()}")
