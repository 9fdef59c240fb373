"""Where everything of a network lies in the C99 runtime's memory, and how many bytes that takes.

What is constant stays in flash, what changes is one struct `snnkd_state` (hw_targets/c99/runtime/snnkd.h). Arrays are
channels last (H, W, C) there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from weakref import WeakKeyDictionary

import numpy as np
from typing_extensions import assert_never

from snnkd.base.errors import LimitError
from snnkd.engines.c99.weights import Stored, by_input, stored
from snnkd.ir import event_encoding, image_encoding
from snnkd.ir.arithmetic import DECAY_BITS, STATE_SHIFT
from snnkd.ir.event_encoding import EventEncoding
from snnkd.ir.network import Cuba, IntNet, Layer, Shape, per_neuron

NONE = (1 << 32) - 1  # SNNKD_NONE
LAYER_BYTES = 96  # of the struct snnkd_layer
NEURON_BYTES = 12  # of the struct snnkd_neuron
_WORD = 4  # bytes
_READ_WORDS = {"last": 0, "max": 1, "sum": 2}  # of an output, for what a readout over all steps has read of its v
_SIZES = 1 << 16  # of a convolution: the fields of snnkd_layer that hold them have 16 bits


@dataclass(frozen=True, eq=False)
class Delays:
    """values: uint8, flat; the delay of (input, output) is at input * by_input + output * by_output. slots: of the
    ring of sums, the longest delay + 1."""

    values: np.ndarray
    by_input: int
    by_output: int
    slots: int


@dataclass(frozen=True, eq=False)
class Part:
    """One layer. neurons: its parameters, (period, 4): threshold and bias aligned to v, what u and v keep of a step.

    held: elements of 4 bytes that each neuron has for itself, beside a ring for delays. v, u, spikes, sums: offsets in
    the arrays of snnkd_state, u NONE where u does not outlast a step; of sigma-delta neurons act, and what else they
    hold, both NONE where a sum becomes act in its place. source: the spikes that it reads, NONE for the input. stored:
    None on an input layer.
    """

    name: str
    layer: Layer
    read: Shape
    stored: Stored | None
    delays: Delays | None
    neurons: np.ndarray
    held: int
    source: int = NONE
    v: int = NONE
    u: int = NONE
    spikes: int = NONE
    sums: int = NONE

    @property
    def flash(self) -> int:
        """Counts the bytes of its constant tables."""
        weights = self.stored.bytes if self.stored else 0
        delays = self.delays.values.size if self.delays else 0
        return LAYER_BYTES + len(self.neurons) * NEURON_BYTES + weights + delays


@dataclass(frozen=True, eq=False)
class Plan:
    """values, sums, spike_words, outputs, read_words: elements of the arrays of snnkd_state. wide_input: whether
    input elements are int32_t, else uint8_t. stateless: whether each step is an inference of its own, of which every
    neuron holds its activation only, in `sums`. keeps_input: whether the sums of the input outlast a step, so that it
    may be repeated. encoder: kind of the encoder that the runtime has for this network, None for none. recorded: its
    parameters where it reads recordings.
    """

    parts: tuple[Part, ...]
    values: int
    sums: int
    spike_words: int
    outputs: int
    read_words: int
    wide_input: bool
    stateless: bool
    keeps_input: bool
    encoder: str | None
    recorded: EventEncoding | None

    @property
    def ram(self) -> int:
        """Counts the bytes of the struct snnkd_state; the stack and the input come on top."""
        return _WORD * (1 + self.values + self.sums + self.spike_words + self.outputs + self.read_words)

    @property
    def flash(self) -> int:
        """Counts the bytes of the constant tables of model.c; the runtime's code comes on top."""
        return sum(part.flash for part in self.parts)


# A bundle asks for the plan of its network at every turn: for its limits, its files, its golden samples, its manifest
# and its readme. Networks are frozen and hashed by identity, so a plan holds as long as its network lives; a weak key
# then drops it, where an lru_cache would keep the weights of networks that nobody uses any more.
_PLANS: WeakKeyDictionary[IntNet, Plan] = WeakKeyDictionary()


def refusal(net: IntNet) -> str | None:
    """Says which size of `net` the runtime's fields cannot hold, by layer and field; None where they hold all."""
    for name, read, layer in net.inputs():
        if layer.kind != "conv":
            continue
        sizes = {"input": read, "shape": layer.shape, "weight": layer.weight.shape, "groups": (layer.groups,)}
        sizes |= {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
        for field, values in sizes.items():
            if max(values) >= _SIZES:
                return f"{name}.{field}: expected sizes below {_SIZES} for the C99 runtime, found {values}"
    if net.layers[-1].neuron.kind == "sigma" and net.readout.kind == "count":
        return f"{net.names[-1]}: sums of what a Sigma output sends may leave 32 bits; read it by --readout membrane"
    return None


def plan(net: IntNet) -> Plan:
    """Plans the memory of `net`, once for each network. Raises LimitError with the text of `refusal`."""
    if net not in _PLANS:
        if reason := refusal(net):
            raise LimitError(reason)
        _PLANS[net] = _plan(net)
    return _PLANS[net]


def _plan(net: IntNet) -> Plan:
    stateless, encoder = _stateless(net), _encoder(net)
    keeps_input = not stateless and _keeps_input(net)
    drafts = [_draft(name, read, layer, stateless) for name, read, layer in net.inputs()]
    own = [_own_sums(draft, stateless or (keeps_input and index == 0)) for index, draft in enumerate(drafts)]
    # Behind the sums that outlast a step or a layer come those of the layer in work, which all others share.
    shared = max((_size(part) for part, sums in zip(drafts, own, strict=True) if part.stored and not sums), default=0)
    parts, source, values, spikes = list[Part](), NONE, 0, 0
    for index, draft in enumerate(drafts):
        sums = sum(own[:index]) if own[index] else sum(own)
        v, u = (NONE, NONE) if stateless else (values, _behind_v(draft, values))
        parts.append(replace(draft, source=source, v=v, u=u, spikes=spikes, sums=sums))
        values += 0 if stateless else _size(draft) * draft.held
        source, spikes = spikes, spikes + (_size(draft) + 31) // 32
    return Plan(
        tuple(parts),
        values,
        max(1, sum(own) + shared),
        spikes,
        _size(drafts[-1]),
        _READ_WORDS[net.readout.over] * _size(drafts[-1]),
        _wide_input(net),
        stateless,
        keeps_input,
        encoder,
        event_encoding.of_network(net),
    )


def _size(part: Part) -> int:
    return prod(part.layer.shape)


def _stateless(net: IntNet) -> bool:
    """Whether nothing needs to outlast a step: sigma-delta neurons make one step from states of 0. What they send then
    follows from their activation, and that from their sum."""
    return net.steps == 1 and not net.longest_delay and net.reads_once


def _draft(name: str, read: Shape, layer: Layer, stateless: bool) -> Part:
    weights, neurons = None if layer.kind == "input" else stored(layer, read), _neurons(layer)
    return Part(name, layer, read, weights, _delays(layer, read), neurons, 1 if stateless else _held(layer, neurons))


def _held(layer: Layer, neurons: np.ndarray) -> int:
    """How many values each neuron has: v, and u where it is kept; act, message, residue, sigma and error; sigma."""
    neuron = layer.neuron
    if neuron.kind == "cuba":
        return 2 if layer.kind != "input" and neurons[:, 2].any() else 1
    return 1 if neuron.kind == "sigma" else 1 + len(neuron.states)


def _behind_v(part: Part, v: int) -> int:
    """Where u lies, and what else neurons hold, NONE where that is nothing; of Sigma v itself, which is sent."""
    if part.layer.neuron.kind == "sigma":
        return v
    return v + _size(part) if part.held > 1 else NONE


def _own_sums(part: Part, outlast: bool) -> int:
    """Sums that a layer shares with no other: those that `outlast` its turn, else a ring for its delays."""
    if part.delays is None or part.stored is None:
        return _size(part) if outlast else 0
    return _size(part) * (part.delays.slots + (1 if part.stored.delay_right else 0))


def _encoder(net: IntNet) -> str | None:
    """The kind of its encoder; None where the runtime has none for it, or its file says what cannot be."""
    known = event_encoding.of_network(net) is not None or image_encoding.parameters(net.encoding) is not None
    return (net.encoding or {}).get("kind") if known and net.layers[0].kind != "input" else None


def _keeps_input(net: IntNet) -> bool:
    """Direct encoding sends the same events at every step, so their sums are worth their memory."""
    first = net.layers[0]
    return _encoder(net) == "direct" and not (first.kind == "dense" and first.longest_delay)


def _wide_input(net: IntNet) -> bool:
    """snnkd's encoders send 0 to 255, but for signed cells; of other graded events nothing but their bits is known,
    signs included."""
    recorded = event_encoding.of_network(net)
    if net.layers[0].kind == "input" or (recorded is not None and recorded.signed):
        return True
    return net.message_bits > 8 or (net.message_bits > 0 and _encoder(net) is None)


def _delays(layer: Layer, read: Shape) -> Delays | None:
    """None where no delay is above 0; one value for each output or input where they agree."""
    if layer.kind != "dense" or layer.delay is None or not layer.longest_delay:
        return None
    delay = by_input(layer.delay, read).astype(np.uint8)
    slots = int(delay.max()) + 1
    if (delay == delay[:1]).all():
        return Delays(delay[0], 0, 1, slots)
    if (delay == delay[:, :1]).all():
        return Delays(delay[:, 0], 1, 0, slots)
    return Delays(delay.reshape(-1), delay.shape[1], 1, slots)


def _neurons(layer: Layer) -> np.ndarray:
    """(period, 4) int64: threshold and bias aligned to v, keep_u, keep_v; of sigma-delta neurons threshold and bias
    shifted by spike_exp + state_exp, that, and state_exp. One row for all neurons, one for each channel or one for each
    neuron, channels last."""
    neuron = layer.neuron
    if neuron.kind == "cuba":
        return _periodic(_cuba(neuron, layer.shape), layer.shape)
    if neuron.kind == "sigma":
        return np.zeros((1, 4), np.int64)
    if neuron.kind == "delta" or neuron.kind == "sigma-delta":
        exponent = neuron.spike_exp + neuron.state_exp
        bias = np.zeros((), np.int64) if neuron.bias is None else per_neuron(neuron.bias, layer.shape) << exponent
        one = (np.asarray(value) for value in (neuron.threshold << exponent, exponent, neuron.state_exp))
        threshold, shift, state_exp = one
        return _periodic((threshold, bias, shift, state_exp), layer.shape)
    assert_never(neuron)


def _cuba(neuron: Cuba, shape: Shape) -> tuple[np.ndarray, ...]:
    """The columns of `_neurons`."""
    every = 1 << DECAY_BITS
    bias = np.zeros((), np.int64) if neuron.bias is None else per_neuron(neuron.bias, shape)
    return (
        per_neuron(neuron.threshold, shape) << STATE_SHIFT,
        bias << STATE_SHIFT,
        every - per_neuron(neuron.current_decay, shape),
        every - per_neuron(neuron.voltage_decay, shape),
    )


def _periodic(fields: tuple[np.ndarray, ...], shape: Shape) -> np.ndarray:
    """(period, 4) of columns that broadcast over `shape`."""
    table = np.stack([np.broadcast_to(values, shape) for values in fields], axis=-1)
    table = np.moveaxis(table, 0, -2).reshape(-1, 4)
    for period in (1, shape[0]):
        if (table.reshape(-1, period, 4) == table[:period]).all():
            return table[:period]
    return table
