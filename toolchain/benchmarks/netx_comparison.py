"""What two networks differ in, and whether lava-dl's own NetX reads a `.net` as snnkd does. For fuzz.py."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from snnkd.engines import lava
from snnkd.ir.network import Conv, Dense, Input, IntNet, Layer, per_neuron

Compared = tuple[str, Any, Any]  # name, what it is here, what it is there


def _first(compared: Iterable[Compared]) -> str:
    """The first name of what differs, '' where nothing does."""
    return next((name for name, left, right in compared if not np.array_equal(left, right)), "")


def difference(first: IntNet, second: IntNet) -> str:
    """The first thing in which two networks differ, '' where none does."""
    return _first((name, left, right) for (name, left), (_, right) in zip(_parts(first), _parts(second), strict=False))


def _parts(net: IntNet) -> Iterator[tuple[str, Any]]:
    for name in ("input_shape", "steps", "message_bits", "encoding", "readout", "provenance", "names"):
        yield name, getattr(net, name)
    for name, layer in zip(net.names, net.layers, strict=True):
        yield f"{name}: kind or shape", f"{type(layer).__name__} {layer.shape}"
        yield f"{name}: kind of neurons", layer.neuron.kind
        for parameter in (field.name for field in fields(layer.neuron)):
            own = getattr(layer.neuron, parameter)
            yield f"{name}.{parameter}", own if isinstance(own, str) else _spread(layer, parameter)
        for what in ("weight", "weight_exp", "delay", "stride", "padding", "dilation", "groups"):
            yield f"{name}.{what}", getattr(layer, what, None)


def _spread(layer: Layer, parameter: str) -> np.ndarray:
    """The parameter of each neuron; no bias is a bias of 0."""
    values = getattr(layer.neuron, parameter)
    return np.broadcast_to(per_neuron(np.array(0) if values is None else values, layer.shape), layer.shape)


def lava_difference(net: IntNet, path: Path) -> str:
    """What differs between `net` and what NetX makes of the file, '' where nothing does. Raises what NetX raises."""
    sys.path.insert(0, str(lava.WORKER))  # as in the worker, which is a script
    from record import Network  # pyright: ignore[reportMissingImports]

    shape = None if isinstance(net.layers[0], Dense | Input) else net.input_shape[::-1]
    with h5py.File(path) as file:  # NetX stops at an average, which for us is the readout
        layers: Any = file["layer"]
        count = len(layers) - (b"average" in np.ravel(layers[f"{len(layers) - 1}/type"][()]))
    network = Network(str(path), count, input_message_bits=net.message_bits, input_shape=shape)
    try:
        if len(network.layers) != len(net.layers):
            return f"{len(net.layers)} layers, in NetX {len(network.layers)}"
        bits = net.message_bits
        for name, layer, theirs in zip(net.names, net.layers, network.layers, strict=True):
            if difference := _layer_difference(layer, theirs, bits):
                return f"{name}: {difference}"
            bits = 0 if layer.neuron.kind == "cuba" else 16
        return ""
    finally:
        network.net_config.f.file.close()


def _parameters(layer: Layer, theirs: Any) -> dict[str, np.ndarray]:
    """What NetX's neurons have, by the name of ours; biases and thresholds of sigma-delta ones without their shift."""
    if layer.neuron.kind == "cuba":
        return {
            "current_decay": np.asarray(theirs.du.init) + 1,
            "voltage_decay": np.asarray(theirs.dv.init),
            "threshold": np.minimum(theirs.vth.init, 1 << 17),
            "bias": np.asarray(theirs.bias_mant.init).astype(np.int16),
        }
    if layer.neuron.kind == "sigma":
        return {}
    names = {"threshold": "vth", "spike_exp": "spike_exp", "state_exp": "state_exp", "cumulative": "cum_error"}
    names |= {"bias": "bias"} if layer.neuron.kind == "sigma-delta" else {}
    shift = layer.neuron.spike_exp + layer.neuron.state_exp
    values = {name: np.asarray(getattr(theirs, var).init) for name, var in names.items()}
    return {name: value >> shift if name in ("threshold", "bias") else value for name, value in values.items()}


def _layer_difference(layer: Layer, theirs: Any, bits: int) -> str:
    if type(layer).__name__ != type(theirs).__name__ or layer.shape[::-1] != tuple(theirs.shape):
        return f"{type(layer).__name__} {layer.shape}, in NetX {type(theirs).__name__} {tuple(theirs.shape)} (W, H, C)"
    process = {"cuba": "LIF", "delta": "Delta", "sigma-delta": "SigmaDelta", "sigma": "Sigma"}[layer.neuron.kind]
    if type(theirs.neuron).__name__ != process:
        return f"neurons of the kind '{layer.neuron.kind}', in NetX {type(theirs.neuron).__name__}"
    parameters = _parameters(layer, theirs.neuron)
    compared: list[Compared] = [
        (name, _spread(layer, name).T, np.broadcast_to(values, theirs.shape)) for name, values in parameters.items()
    ]
    if not isinstance(layer, Input):
        compared.append(("message bits", bits, int(theirs.synapse.num_message_bits.init)))
        compared += _of_conv(layer, theirs.synapse) if isinstance(layer, Conv) else _of_dense(layer, theirs.synapse)
    return _first(compared)


def _of_conv(layer: Conv, synapse: Any) -> list[Compared]:
    pairs = ("stride", "padding", "dilation")
    return [
        ("weight", layer.weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1), synapse.weight.init),
        *((name, getattr(layer, name)[::-1], np.ravel(getattr(synapse, name).init)) for name in pairs),
        ("groups", layer.groups, int(synapse.groups.init)),
    ]


def _of_dense(layer: Dense, synapse: Any) -> list[Compared]:
    from lava.utils.weightutils import clip_weights, determine_sign_mode, truncate_weights

    how, held = synapse.proc_params, synapse.weights.init
    mode = how.get("sign_mode") or determine_sign_mode(held)
    held = truncate_weights(clip_weights(held, mode, num_bits=8), mode, how.get("num_weight_bits", 8))
    return [
        ("weight", layer.weight * 2.0**layer.weight_exp, held * 2.0 ** how.get("weight_exp", 0)),
        ("delay", layer.delay, getattr(getattr(synapse, "delays", None), "init", None)),
    ]
