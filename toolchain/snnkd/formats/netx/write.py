"""Writes an IntNet as a `.net` file that NetX loads: the same groups and values as lava-dl's own export_hdf5."""

from __future__ import annotations

import json
import uuid
from math import prod
from pathlib import Path

import h5py
import numpy as np

from snnkd.base.errors import FormatError, QuantizationError
from snnkd.base.files import atomic
from snnkd.formats.netx.read import NETX_EXP
from snnkd.formats.netx.weights import convert, source_of
from snnkd.ir import describe
from snnkd.ir.network import (
    MAX_MESSAGE_BITS,
    Conv,
    Delta,
    Dense,
    Input,
    IntNet,
    Layer,
    Neuron,
    Shape,
    Sigma,
    SigmaDelta,
)

_MAX_FIXED = 60_000


def save(net: IntNet, path: str | Path) -> None:
    """Writes `net` to `path`, whole or not at all. Reading it back gives the same network.

    Raises QuantizationError, naming the layer, where Lava's conversion of dense weights has no input that gives this
    layer's weights, SnnkdError where the file cannot be written.
    """
    with atomic(Path(path)) as temporary:
        temporary.write_bytes(to_bytes(net))


def to_bytes(net: IntNet) -> bytes:
    """Returns what `save` writes: the same bytes for the same network. Raises QuantizationError as `save` does."""
    # Built in memory: a full disk is then one plain error of the system, not a page of HDF5's internals.
    # HDF5 tells open files apart by their names, also those of other threads that are in memory only.
    with h5py.File(f"{uuid.uuid4()}.net", "w", driver="core", backing_store=False) as file:
        _write(file, net)
        file.flush()
        return bytes(file.id.get_file_image())


def _write(file: h5py.File, net: IntNet) -> None:
    file.attrs["snnkd_input_shape"] = np.array(net.input_shape, np.int64)
    if net.steps is not None:
        file.attrs["snnkd_steps"] = net.steps
    if net.message_bits > MAX_MESSAGE_BITS:
        raise QuantizationError(
            f"message_bits: {net.message_bits} of an input event, a .net file says up to {MAX_MESSAGE_BITS}; scale the "
            "input down"
        )
    file.attrs["snnkd_message_bits"] = net.message_bits
    facts = describe.facts(net)
    for name in ("readout", "early_exit", "class_names", "encoding", "provenance"):
        if facts[name] is not None:
            text = json.dumps(facts[name], sort_keys=True)  # plain ASCII; of a fixed length where that fits the header
            file.attrs[f"snnkd_{name}"] = np.bytes_(text.encode()) if len(text) <= _MAX_FIXED else text
    layers = file.create_group("layer")

    def add(kind: str, shape: Shape) -> h5py.Group:
        group = layers.create_group(str(len(layers)))
        group.create_dataset("type", (1,), "S10", [kind.encode("ascii")])
        group.create_dataset("shape", data=np.array(shape, np.int64))
        return group

    if not isinstance(net.layers[0], Input):
        add("input", net.input_shape)
    for name, shape, layer in net.inputs():
        if isinstance(layer, Dense) and len(shape) == 3:
            add("flatten", (prod(shape), 1, 1))
        kind = {Input: "input", Dense: "dense", Conv: "conv"}[type(layer)]
        _write_layer(add(kind, layer.shape), name, layer)


def _write_layer(group: h5py.Group, name: str, layer: Layer) -> None:
    if isinstance(layer, Dense):
        group["inFeatures"], group["outFeatures"] = layer.weight.shape[1], layer.weight.shape[0]
        group["weight"] = _dense_weight(name, layer)
        if layer.delay is not None:
            group["delay"] = _delay(layer.delay)
    elif isinstance(layer, Conv):
        group["inChannels"], group["outChannels"] = layer.weight.shape[1] * layer.groups, layer.weight.shape[0]
        group["kernelSize"] = layer.weight.shape[2:]
        group["stride"], group["padding"], group["dilation"] = layer.stride, layer.padding, layer.dilation
        group["groups"] = layer.groups
        group["weight"] = layer.weight.astype(np.int32)
    elif layer.neuron.bias is not None:
        raise FormatError(f"{name}.bias: the neurons of an input layer take the image as their bias, they have none")
    _write_neuron(group, layer.neuron, layer.shape)


def _write_neuron(group: h5py.Group, neuron: Neuron, shape: Shape) -> None:
    if neuron.kind == "cuba":
        group["neuron/type"] = np.bytes_(b"CUBA")
        group["neuron/iDecay"] = _in_lava_order(neuron.current_decay, shape)
        group["neuron/vDecay"] = _in_lava_order(neuron.voltage_decay, shape)
        group["neuron/vThMant"] = _in_lava_order(neuron.threshold, shape)
        group["neuron/refDelay"] = 1
        group["neuron/gradedSpike"] = False
    else:
        _write_sigma_delta(group, neuron)
    if neuron.bias is not None:
        bias = _in_lava_order(neuron.bias, shape)
        group["bias"] = bias if bias.size > 1 else np.full(shape[:1], bias)  # NetX: no scalars behind a convolution


def _write_sigma_delta(group: h5py.Group, neuron: Delta | SigmaDelta | Sigma) -> None:
    """As lava-dl does; and what NetX alone does not read only where it is another value than NetX takes."""
    group["neuron/type"] = np.bytes_(b"SDNN")
    group["neuron/activation"] = np.bytes_(neuron.activation if neuron.kind == "sigma-delta" else "relu")
    if neuron.kind == "sigma":
        group["neuron/vThMant"], group["neuron/sigma_output"] = 0, True
        return
    group["neuron/vThMant"] = neuron.threshold
    own = {"spikeExp": (neuron.spike_exp, NETX_EXP), "stateExp": (neuron.state_exp, NETX_EXP)}
    own |= {"cumError": (int(neuron.cumulative), 0)}
    for name, (value, of_netx) in own.items():
        if value != of_netx:
            group[f"neuron/{name}"] = value


def _in_lava_order(values: np.ndarray, shape: Shape) -> np.ndarray:
    """Values of single neurons of a convolution as (W, H, C), which is how Lava broadcasts them."""
    values = np.asarray(values, np.int64)
    if values.shape == (1,):
        return values.reshape(())
    return values.transpose(2, 1, 0) if values.ndim == 3 and values.shape == shape else values


def _dense_weight(name: str, layer: Dense) -> np.ndarray:
    """(O, I) int32 for the file. Raises QuantizationError as `save` does."""
    source = source_of(layer.weight, layer.weight_exp)
    if source is not None:
        return source.astype(np.int32)
    try:
        convert(layer.weight.astype(np.int64) << max(layer.weight_exp, 0))
        problem = "Lava's conversion to synapses would change them"
    except FormatError as error:
        problem = str(error)
    raise QuantizationError(
        f"{name}.weight: {layer.weight.min()} to {layer.weight.max()} with weight_exp {layer.weight_exp} cannot be "
        f"written to a .net file: {problem}. Expected even integers in [-256, 254], at least one of them positive"
    )


def _delay(delay: np.ndarray) -> np.ndarray:
    """One delay per output or input where that says it all, as lava-dl has it, else all (O, I)."""
    if (delay == delay[:, :1]).all():
        return delay[:, 0]
    if (delay == delay[:1]).all() and delay.shape[0] != delay.shape[1]:
        return delay[0]
    return delay
