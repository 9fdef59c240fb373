"""Reads `.net` files, ours and lava-dl's, into IntNet exactly as NetX and Lava take them.

Follows lava-dl 0.6.0 `netx/hdf5.py` (Network). What NetX cannot load, loads wrongly or skips in silence is refused
with the reason.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import fields
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np

from snnkd.base import files
from snnkd.base.errors import FormatError, SnnkdWarning
from snnkd.formats import facts
from snnkd.formats.hdf5.groups import Group, opened
from snnkd.formats.hdf5.process import MAX_ELEMENTS, Wanted
from snnkd.formats.netx import refusals
from snnkd.formats.netx.weights import convert
from snnkd.ir.arithmetic import DECAY_BITS, DELAY_MAX, EXPONENT_MAX, THRESHOLD_LIMIT
from snnkd.ir.network import (
    MAX_MESSAGE_BITS,
    MAX_STEPS,
    Conv,
    Cuba,
    Delta,
    Dense,
    Input,
    IntNet,
    Layer,
    Neuron,
    Shape,
    Sigma,
    SigmaDelta,
    conv_shape,
)
from snnkd.ir.readout import EarlyExit, Readout

WANTED = Wanted(("layer", "simulation"), 3)  # what NetX reads; layer/0/neuron/iDecay
_MAX_LAYERS = 1000
NETX_EXP = 6  # spike_exp and state_exp of NetX
_DEFAULT_NEURON = {
    "iDecay": 0,
    "vDecay": 1 << DECAY_BITS,
    "vThMant": THRESHOLD_LIMIT + 1,
}  # what NetX gives a dense layer without `neuron`


# Makes integers of a file's numbers: (their group, their name, the numbers as float64) -> int64 of the same shape.
Rounding = Callable[[Group, str, np.ndarray], np.ndarray]


def load(path: str | Path, input_shape: Shape | None = None, rounding: Rounding | None = None) -> IntNet:
    """Reads the network in the `.net` file at `path`, as NetX takes it.

    input_shape: (C, H, W) or (features,), only needed where neither the file's attributes, nor an input layer, nor a
    dense first layer tell it. rounding: of weights and biases that are no integers, which NetX truncates. Warns, with
    counts, of every number that NetX changes: truncates, clips, clamps or wraps. Raises FormatError that names file,
    layer and field, and where the file is not what the SHA256SUMS beside it lists.
    """
    files.check_listed(Path(path))
    with opened(Path(path), WANTED) as root:
        layer_groups = _layer_groups(root)
        refusals.check(layer_groups)
        shape = _input_shape(root, layer_groups, input_shape)
        layers = tuple(_layers(layer_groups, shape, rounding or _truncated))
        return IntNet(
            input_shape=shape,
            layers=layers,
            steps=_steps(root),
            message_bits=_number(root, "snnkd_message_bits", 0, MAX_MESSAGE_BITS) or 0,
            encoding=_json(root, "snnkd_encoding"),
            readout=_readout(root, layer_groups[-1], layers),
            provenance=_json(root, "snnkd_provenance"),
            early_exit=_early_exit(root),
            class_names=_class_names(root, layers),
        )


def _layer_groups(root: Group) -> list[Group]:
    layers = root.network("layer")
    count = len(layers.names())
    if not 1 <= count <= _MAX_LAYERS:
        raise layers.error("", f"expected 1 to {_MAX_LAYERS} layers, found {count}")
    if set(layers.names()) != {str(index) for index in range(count)}:
        raise layers.error("", f"expected groups 0 to {count - 1}, found {', '.join(sorted(layers.names())[:20])}")
    return [layers.group(str(index)) for index in range(count)]


def _input_shape(root: Group, groups: list[Group], given: Shape | None) -> Shape:
    """The shape given, that of the attribute, of the input layer or of a dense first layer, which all must agree."""
    attribute = root.attribute("snnkd_input_shape")
    if attribute is not None and (isinstance(attribute, str) or attribute.ndim != 1 or attribute.size not in (1, 3)):
        raise root.error("attribute snnkd_input_shape", "expected one or three integers")
    shapes = {"the shape given": given, "attribute snnkd_input_shape": None if attribute is None else tuple(attribute)}
    first = groups[0]
    if first.text("type") == "input" and "shape" in first:
        shapes[f"{first.where}: shape"] = _shape(first)
    known = {where: tuple(int(extent) for extent in shape) for where, shape in shapes.items() if shape is not None}
    grids = {shape for shape in known.values() if len(shape) == 3}
    if len({prod(shape) for shape in known.values()}) > 1 or len(grids) > 1:
        raise root.error("", "input shapes differ: " + ", ".join(f"{where} {shape}" for where, shape in known.items()))
    if known:
        return next(iter(known.values()))
    reading = next((group for group in groups if group.text("type") not in ("input", "flatten")), first)
    if reading.text("type") == "dense":
        return (_dense_weight(reading).shape[1],)
    advice = "give it with --input-shape C,H,W (in Python: input_shape=(C, H, W))"
    raise root.error("", f"does not tell the shape of its input; {advice}")


def stored_weights(path: str | Path) -> list[np.ndarray]:
    """Reads the weights (O, ...) float64 of each dense and convolutional layer as they stand in the `.net` file.

    Raises FormatError for a file that cannot be read.
    """
    with opened(Path(path), WANTED) as root:
        synaptic = [group for group in _layer_groups(root) if group.text("type") in ("dense", "conv")]
        return [group.floats("weight") for group in synaptic]


def _truncated(group: Group, name: str, values: np.ndarray) -> np.ndarray:
    """Integers as NetX makes them, towards zero; tells how many that changes."""
    whole = np.trunc(values)
    changed = int(np.count_nonzero(whole != values))
    if changed and not whole.any():
        raise group.error(
            name,
            f"{changed} fractions below 1 (the largest magnitude is {np.abs(values).max():.3g}), which Lava truncates "
            "to 0: they were never scaled to integers; do that with `snnkd quantize FILE.net --bits 8 --out NEW.net`",
        )
    if changed:
        scale = "; `snnkd quantize` scales and rounds them instead" if name == "weight" else ""
        _warn(
            group, name, f"{changed} of {values.size} are no integers and are truncated towards 0, as NetX does{scale}"
        )
    return whole.astype(np.int64)


def _warn(group: Group, name: str, problem: str) -> None:
    warnings.warn(f"{group.where}: {name}: {problem}", SnnkdWarning, stacklevel=2)


def _steps(root: Group) -> int | None:
    """The steps that the file is meant for: snnkd's attribute, or lava-dl's simulation/tSample."""
    steps = _number(root, "snnkd_steps", 1, MAX_STEPS)
    if steps is not None or "simulation" not in root:
        return steps
    group = root.group("simulation")
    if "tSample" not in group:
        return None
    sample = group.floats("tSample")
    if sample.size == 1 and 1 <= sample.item() <= MAX_STEPS and sample.item() == int(sample.item()):
        return int(sample.item())
    _warn(
        group, "tSample", f"expected a number of steps from 1 to {MAX_STEPS}, found {sample.reshape(-1)[:4]}; not used"
    )
    return None


def _layers(groups: list[Group], shape: Shape, rounding: Rounding) -> list[Layer]:
    layers: list[Layer] = []
    for index, group in enumerate(groups):
        kind = group.text("type")
        if kind == "input":
            if index:
                raise group.error("type", "an input layer must be the first one")
            if "neuron" in group:
                layers.append(_input(group, shape, rounding))
        elif kind == "flatten":
            shape = (prod(shape),)
        elif kind == "average" and layers and index == len(groups) - 1:  # the readout
            if prod(shape) % prod(_shape(group)):
                raise group.error("shape", f"{prod(_shape(group))} classes do not divide {prod(shape)} outputs evenly")
        elif kind in ("dense", "conv"):
            if kind == "dense" and len(shape) == 3 and layers:
                raise group.error("", f"a dense layer behind neurons of shape {shape} needs a flatten layer in between")
            layers.append((_dense if kind == "dense" else _conv)(group, shape, rounding))
            shape = layers[-1].shape
        else:
            raise refusals.layer(group)
    return layers


def _shape(group: Group) -> Shape:
    shape = group.integers("shape")
    extents = tuple(shape.reshape(-1).tolist())
    if shape.shape not in ((1,), (3,)) or min(extents) < 1 or prod(extents) > MAX_ELEMENTS:
        raise group.error("shape", f"expected [n] or [C, H, W], at most {MAX_ELEMENTS} in all, found {extents[:8]}")
    return extents


def _input(group: Group, shape: Shape, rounding: Rounding) -> Input:
    if _shape(group) != shape:
        raise group.error("shape", f"expected {shape}, found {_shape(group)}")
    for name in ("weight", "bias"):  # of a transform of the image: NetX ignores it, but reads it
        if name in group and group.numbers(name).size != 1:
            raise group.error(name, "expected one number")
    return Input(shape, _neuron(group, shape, rounding))


def _dense_weight(group: Group) -> np.ndarray:
    outputs = prod(_shape(group))
    weight = group.floats("weight")
    if weight.ndim == 1 and weight.size % outputs == 0:
        weight = weight.reshape(outputs, -1)
    if weight.ndim != 2 or weight.shape[0] != outputs or not weight.size:
        raise group.error("weight", f"expected ({outputs}, inputs), found {weight.shape}")
    return weight


def _dense(group: Group, shape: Shape, rounding: Rounding) -> Dense:
    source = _dense_weight(group)
    if source.shape[1] != prod(shape):
        raise group.error("weight", f"expected {prod(shape)} inputs from {shape}, found {source.shape[1]}")
    integers = rounding(group, "weight", source)
    try:
        synapses = convert(integers)
    except FormatError as error:
        raise group.error("weight", str(error)) from error
    if synapses.clipped:
        _warn(group, "weight", f"{synapses.clipped} of {source.size} beyond [-256, 254] are clipped, as NetX does")
    if synapses.truncated:
        _warn(
            group,
            "weight",
            f"{synapses.truncated} of {source.size} lose their lowest bits, since Lava's synapses hold 8; "
            "`snnkd quantize` rounds them instead",
        )
    weight = synapses.weight.astype(np.int32)
    return Dense(weight, _neuron(group, weight.shape[:1], rounding), synapses.exponent, _delay(group, weight.shape))


def _delay(group: Group, shape: tuple[int, ...]) -> np.ndarray | None:
    """(O, I) delays: one for all, one per output, else one per input, or each its own; at most 62."""
    if "delay" not in group:
        return None
    steps = _truncated(group, "delay", group.floats("delay"))
    beyond = int(np.count_nonzero(steps > DELAY_MAX))
    if beyond:
        _warn(group, "delay", f"{beyond} of {steps.size} are beyond {DELAY_MAX} and are clamped to it, as NetX does")
    delay = np.minimum(steps, DELAY_MAX)
    if delay.size and delay.min() < 0:
        raise group.error("delay", f"expected steps of at least 0, found {delay.min()}")
    if delay.ndim == 1 and delay.size == shape[0]:
        delay = delay[:, None]
    elif delay.ndim == 1 and delay.size == shape[1]:
        delay = delay[None, :]
    elif delay.ndim and delay.shape != shape:
        raise group.error("delay", f"expected {shape[0]}, {shape[1]} or {shape} values, found {delay.shape}")
    return np.broadcast_to(delay, shape).astype(np.int32)


def _conv(group: Group, shape: Shape, rounding: Rounding) -> Conv:
    if "delay" in group:
        raise group.error("delay", "Lava ignores delays of convolutions; delay the dense layer behind it instead")
    if "neuron" not in group:
        raise group.error("neuron", "is missing, and NetX has defaults for dense layers only; export it with the block")
    weight = group.floats("weight")
    if weight.ndim == 5 and weight.shape[4] == 1:
        weight = weight[..., 0]
    if weight.ndim != 4 or not weight.size:
        raise group.error("weight", f"expected (O, C / groups, kH, kW), found {weight.shape}")
    groups = group.integers("groups")
    if groups.ndim:
        raise group.error("groups", f"expected one number, found {groups.shape}")
    output = _shape(group)
    layer = Conv(
        rounding(group, "weight", weight).astype(np.int32),
        _neuron(group, output, rounding),
        output,
        _pair(group, "stride", 1),
        _pair(group, "padding", 0),
        _pair(group, "dilation", 1),
        int(groups),
    )
    if len(shape) == 3 and conv_shape(shape, layer) != output:
        raise group.error("shape", f"expected {conv_shape(shape, layer)} from {shape}, found {output}")
    return layer


def _pair(group: Group, name: str, low: int) -> tuple[int, int]:
    values = group.integers(name)
    if values.shape not in ((), (2,)) or values.min() < low or values.max() > 1 << 15:
        raise group.error(name, f"expected one or two small numbers, found {values.reshape(-1).tolist()[:8]}")
    return int(values.flat[0]), int(values.flat[-1])


def _neuron(layer: Group, shape: Shape, rounding: Rounding) -> Neuron:
    """The neurons of `layer`, or NetX's defaults where it has no group `neuron`."""
    group = layer.group("neuron") if "neuron" in layer else None
    if group is None:
        values = {name: np.array(value, np.int32) for name, value in _DEFAULT_NEURON.items()}
    else:
        if "messageBits" in group:
            raise group.error("messageBits", "NetX fails on it; train without graded spikes")
        if group.text("type") == "SDNN":
            return _sigma_delta(layer, group, shape, rounding)
        values = {name: _parameter(group, name, shape) for name in _DEFAULT_NEURON}
    # A threshold of 2^17 is never reached: v stays below 2^23. Larger ones say the same.
    threshold = np.minimum(values["vThMant"], THRESHOLD_LIMIT + 1)
    bias = _bias(layer, shape, rounding, 16) if _has_bias(layer) else None
    return Cuba(values["iDecay"], values["vDecay"], threshold, bias)


def _has_bias(layer: Group) -> bool:
    """On an input layer, bias belongs to a transform of the image that NetX ignores."""
    return "bias" in layer and layer.text("type") != "input"


def _sigma_delta(layer: Group, group: Group, shape: Shape, rounding: Rounding) -> Neuron:
    """What NetX makes of neurons of the type SDNN: Delta encoders on an input layer, Sigma decoders with the key
    sigma_output, else sigma-delta ones; exponents, activation and cumulative error as snnkd writes them, which NetX
    alone does not read."""
    if layer.text("type") != "input" and "sigma_output" in group:
        if _has_bias(layer):
            raise layer.error("bias", "NetX fails on it: a Sigma output has none; remove it")
        return Sigma()
    spike_exp, state_exp = (_small(group, name, NETX_EXP, EXPONENT_MAX) for name in ("spikeExp", "stateExp"))
    cumulative = bool(_small(group, "cumError", 0, 1))
    top = ((1 << 31) - 1) >> (spike_exp + state_exp)
    threshold = group.integers("vThMant")
    if threshold.size != 1 or not 0 <= threshold.item() <= top:
        raise group.error(
            "vThMant",
            f"expected one number in [0, {top}], which Lava's 32 bits hold; found {threshold.reshape(-1)[:4]}",
        )
    if layer.text("type") == "input":
        return Delta(threshold.item(), spike_exp, state_exp, cumulative)
    bias = _bias(layer, shape, rounding, 32 - spike_exp - state_exp) if _has_bias(layer) else None
    return SigmaDelta(threshold.item(), bias, spike_exp, state_exp, _activation(group), cumulative)


def _small(group: Group, name: str, default: int, high: int) -> int:
    if name not in group:
        return default
    values = group.numbers(name)
    if values.size != 1 or values.item() not in range(high + 1):
        raise group.error(name, f"expected one integer in [0, {high}]")
    return int(values.item())


def _activation(group: Group) -> Literal["relu", "unit"]:
    """What the file says; NetX makes a ReLU of all that lava-dl writes."""
    said = group.text("activation") if "activation" in group else "relu"
    if said == "unit":
        return "unit"
    if said != "relu":
        _warn(group, "activation", f"'{said[:32]}' is taken for relu, as NetX does with all of them")
    return "relu"


def _bias(layer: Group, shape: Shape, rounding: Rounding, bits: int) -> np.ndarray:
    """Biases, wrapped into so many bits as Lava does."""
    values = layer.floats("bias")
    if len(shape) == 3 and values.shape not in (shape[:1], shape[::-1]):
        raise layer.error("bias", f"expected {shape[0]} values or (W, H, C) = {shape[::-1]}: NetX takes no other")
    bias = _per_neuron(layer, "bias", rounding(layer, "bias", values) if values.any() else values, shape)
    half = 1 << bits - 1
    wrapped = ((bias.astype(np.int64) + half) % (2 * half) - half).astype(np.int32)
    beyond = int(np.count_nonzero(wrapped != bias))
    if beyond:
        _warn(layer, "bias", f"{beyond} of {values.size} do not fit {bits} bits and wrap around, as in Lava")
    return wrapped


def _parameter(group: Group, name: str, shape: Shape) -> np.ndarray:
    values = group.integers(name)
    high = 1 << DECAY_BITS if name != "vThMant" else (1 << 25) - 1  # << 6 still fits Lava's 32 bits
    if values.size and (values.min() < 0 or values.max() > high):
        raise group.error(name, f"expected values in [0, {high}], found {values.min()} to {values.max()}")
    return _per_neuron(group, name, values, shape)


def _per_neuron(group: Group, name: str, values: np.ndarray, shape: Shape) -> np.ndarray:
    """int32 of shape (), (C,) or `shape`. For each neuron of a convolution Lava wants (W, H, C)."""
    if values.size == 1 and values.ndim <= 1:
        return values.reshape(()).astype(np.int32)
    if values.shape == shape[:1]:
        return values.astype(np.int32)
    if len(shape) == 3 and values.shape == shape[::-1]:
        return values.transpose(2, 1, 0).astype(np.int32)
    expected = f"1 or {shape[0]}" + (f" values or (W, H, C) = {shape[::-1]}" if len(shape) == 3 else " values")
    raise group.error(name, f"expected {expected}, found {values.shape}")


def _number(root: Group, name: str, low: int, high: int) -> int | None:
    """The attribute `name`, an integer from `low` to `high`; None where there is none."""
    value = root.attribute(name)
    if value is None:
        return None
    if isinstance(value, str) or value.size != 1 or not low <= int(value.reshape(())) <= high:
        raise root.error(f"attribute {name}", f"expected an integer in [{low}, {high}], found {value}")
    return int(value.reshape(()))


def _parsed(root: Group, name: str) -> Any:
    text = root.attribute(name)
    if text is None:
        return None
    try:
        return facts.parsed(text) if isinstance(text, str) else 0
    except ValueError as error:
        raise root.error(f"attribute {name}", f"not valid JSON: {error}") from error


def _json(root: Group, name: str) -> dict[str, Any] | None:
    data = _parsed(root, name)
    if data is not None and not isinstance(data, dict):
        raise root.error(f"attribute {name}", "expected a JSON object")
    return data


def _readout(root: Group, last: Group, layers: tuple[Layer, ...]) -> Readout:
    """What the attribute says; in a file without one, a trailing `average` tells the neurons of each class, and a last
    layer that cannot fire (lava-dl's Affine, one without `neuron`) or that is no CUBA one is read by its membrane."""
    data = _json(root, "snnkd_readout")
    if data is None:
        averaged = last.text("type") == "average"
        spikes = bool(layers) and layers[-1].neuron.kind == "cuba" and layers[-1].neuron.can_fire
        kind = "count" if spikes else "membrane"
        return Readout(kind, population=prod(layers[-1].shape) // prod(_shape(last)) if averaged else 1)
    known = {field.name for field in fields(Readout)}
    if not data.keys() <= known:
        keys = ", ".join(map(str, data))[:80]
        raise root.error("attribute snnkd_readout", f"expected {', '.join(sorted(known))}, found {keys}")
    return Readout(**data)


def _class_names(root: Group, layers: tuple[Layer, ...]) -> tuple[str, ...] | None:
    names = _parsed(root, "snnkd_class_names")
    if names is None:
        return None
    if not isinstance(names, list):
        raise root.error("attribute snnkd_class_names", "expected a JSON list")
    return tuple(names)


def _early_exit(root: Group) -> EarlyExit | None:
    data = _json(root, "snnkd_early_exit")
    if data is not None and data.keys() != {"margin", "first"}:
        keys = ", ".join(map(str, data))[:80]
        raise root.error("attribute snnkd_early_exit", f"expected margin and first, found {keys}")
    return None if data is None else EarlyExit(**data)
