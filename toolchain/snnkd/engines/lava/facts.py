"""What Lava does with an integer network, as tables: which layers and neurons it loads, what it computes wrongly, and
what needs a reset or a run of its own. `refusal` and the worker's job follow from them.

Each entry names its sources: lines of lava-dl 0.6.0 (`lib/dl`) and lava-nc 0.10.0 (all else).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from snnkd.engines.reference.definition import correlate
from snnkd.formats.netx.weights import source_of, spare_bits
from snnkd.ir.network import Conv, Dense, IntNet, Layer, LayerKind, NeuronKind, largest_sum
from snnkd.ir.trace import SpikeTrace

_NETX, _BLOCKS = "lib/dl/netx/hdf5.py", "lib/dl/netx/blocks/process.py"
_INT8_MAX, _INT32_MAX = (1 << 7) - 1, (1 << 31) - 1


@dataclass(frozen=True)
class Source:
    """A line of a file in the package `lava`, and what stands there."""

    file: str
    line: int
    text: str


@dataclass(frozen=True)
class Loaded:
    """A kind of layer that NetX loads. first_reads: what the network's input is where it is the first layer: 'features'
    (features,), an 'image' (W, H, C), or what its own 'neurons' take, CUBA ones as the mantissa of their bias."""

    first_reads: Literal["features", "image", "neurons"]
    source: Source


LAYERS: dict[LayerKind, Loaded] = {
    "input": Loaded("neurons", Source(_NETX, 582, "if layer_type == 'input'")),
    "dense": Loaded("features", Source(_NETX, 638, "elif layer_type == 'dense'")),
    "conv": Loaded("image", Source(_NETX, 599, "elif layer_type == 'conv'")),
}

# What else NetX loads (RF) has other states than those that the worker records.
NEURONS: dict[NeuronKind, Source] = {
    "cuba": Source(_NETX, 144, "if neuron_type in ['LOIHI', 'CUBA']"),
    "delta": Source(_NETX, 172, "neuron_process = Delta"),
    "sigma": Source(_NETX, 179, "neuron_process = Sigma"),
    "sigma-delta": Source(_NETX, 183, "neuron_process = SigmaDelta"),
}


@dataclass(frozen=True)
class Limit:
    """What Lava would refuse only while it runs, or take and compute wrongly.

    breaks: (net, number of the layer) to what is wrong with it, None where Lava computes what the definition does.
    """

    breaks: Callable[[IntNet, int], str | None]
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Feature:
    """Something that a layer may have, and what a run then needs.

    own_run: whether each sample runs in a network of its own, because a reset of the neurons leaves something of the
    sample before. reset: whether neurons are cleared before their first input even where a single sample runs.
    """

    has: Callable[[Layer], bool]
    own_run: bool
    reset: bool
    source: Source


def is_delayed(layer: Layer) -> bool:
    """Tells whether the layer's synapses are Lava's DelayDense, which holds events back even where all delays are 0."""
    return layer.kind == "dense" and layer.delay is not None


def is_biased(layer: Layer) -> bool:
    """Tells whether CUBA neurons have a bias of their own, which they add up from Lava's first step on."""
    return layer.neuron.kind == "cuba" and layer.neuron.bias is not None


_DELAYED_SUMS = Source("proc/dense/models.py", 302, "a_buff: np.ndarray")
_RESET = Source("proc/lif/models.py", 434, "self.time_step % self.reset_interval")

FEATURES = {
    "image as bias": Feature(
        lambda layer: layer.kind == "input" and layer.neuron.kind == "cuba",
        own_run=True,  # the mantissa is set before a run and stays as it is
        reset=False,  # the first layer of all: it begins with its first input
        source=Source(_BLOCKS, 103, "must be handled through neuron's bias"),
    ),
    "delays": Feature(
        is_delayed,
        own_run=True,  # LIFReset clears neurons, not the sums that are under way in a_buff
        reset=False,
        source=_DELAYED_SUMS,
    ),
    "bias": Feature(
        is_biased,
        own_run=False,
        reset=True,  # all layers start at once, layer K has its first input K + 1 steps later
        source=_RESET,
    ),
}


def _too_large_for_8_bits(net: IntNet, index: int) -> str | None:
    layer = net.layers[index]
    if layer.kind != "conv":
        return None
    largest = max(*layer.extent, *layer.stride, *(2 * pad for pad in layer.padding), layer.groups)
    if largest <= _INT8_MAX:
        return None
    return f"Lava holds stride, 2 * padding, kernel and groups in 8 bits, found {largest}"


def _too_large_for_32_bits(net: IntNet, index: int) -> str | None:
    layer = net.layers[index]
    if layer.kind != "conv":
        return None
    bound = largest_sum(layer, net.largest_event if index == 0 else 1)
    return None if bound <= _INT32_MAX else f"sums of up to {bound} do not fit the 32 bits of Lava's convolution"


def _weights_no_synapse_holds(net: IntNet, index: int) -> str | None:
    layer = net.layers[index]
    if layer.kind != "dense" or source_of(layer.weight, layer.weight_exp) is not None:
        return None
    return (
        f"weights {layer.weight.min()} to {layer.weight.max()} with weight_exp {layer.weight_exp} are none that Lava's "
        "synapses can hold"
    )


def _two_biases(net: IntNet, index: int) -> str | None:
    layer = net.layers[index]
    if layer.kind == "input" and is_biased(layer):
        return "the neurons of an input layer take the image as their bias and can have no other"
    return None


def _bias_before_delays(net: IntNet, index: int) -> str | None:
    if is_biased(net.layers[index]) and any(map(is_delayed, net.layers[index + 1 :])):
        return (
            "has a bias and a later layer has delays: Lava starts all layers at once, so spikes from before the first "
            "input arrive late and cannot be told apart"
        )
    return None


_CONV = "proc/conv/models.py"

LIMITS = {
    "8 bits": Limit(_too_large_for_8_bits, tuple(Source(_CONV, line, "np.ndarray, np.int8") for line in range(25, 30))),
    "32 bits": Limit(
        _too_large_for_32_bits,
        (Source("proc/conv/utils.py", 218, "output.astype(weight.dtype)"), Source(_CONV, 76, "np.ndarray, np.int32")),
    ),
    "synapses": Limit(
        _weights_no_synapse_holds,
        (
            Source("lib/dl/netx/utils.py", 80, "def optimize_weight_bits"),
            Source("utils/weightutils.py", 204, "def truncate_weights"),
            Source("utils/weightutils.py", 250, "def clip_weights"),
        ),
    ),
    "two biases": Limit(
        _two_biases, (Source(_NETX, 284, "'bias' in layer_config"), Source(_BLOCKS, 99, "self.transform ="))
    ),
    "bias before delays": Limit(_bias_before_delays, (_RESET, _DELAYED_SUMS)),
}


def refusal(net: IntNet) -> str | None:
    """Says what of `net` Lava cannot load or would compute wrongly, naming the layer; None where there is nothing."""
    for index, (name, layer) in enumerate(zip(net.names, net.layers, strict=True)):
        if layer.kind not in LAYERS:
            return f"{name}: NetX loads no layers of the kind '{layer.kind}'"
        if layer.neuron.kind not in NEURONS:
            return f"{name}: the engine records no neurons of the kind '{layer.neuron.kind}'"
        for limit in LIMITS.values():
            if problem := limit.breaks(net, index):
                return f"{name}: {problem}"
    return None


def features(net: IntNet) -> list[Feature]:
    """Lists those of `FEATURES` that a layer of `net` has."""
    return [feature for feature in FEATURES.values() if any(map(feature.has, net.layers))]


# Lava shifts dense weights up to 8 bits and sums in 32 (lib/dl/netx/utils.py, optimize_weight_bits), and casts the
# float64 sums of a convolution to int32 (proc/conv/utils.py). The definition wraps sums as they are, in 32 and 24 bits.


def sums_beyond(net: IntNet, trace: SpikeTrace) -> str | None:
    """Says in which layer of `trace`, a run of `net` in Lava, sums of messages left Lava's integers; None where all are
    what the definition computes."""
    sources = [trace.input, *(layer.spikes for layer in trace.layers)]
    for (name, _, layer), events in zip(net.inputs(), sources, strict=False):
        if layer.kind == "input" or (layer.neuron.kind == "cuba" and events.dtype == np.uint8):
            continue
        limit = 1 << 31 if layer.kind == "conv" else 1 << 31 - spare_bits(layer.weight, layer.weight_exp)
        largest = max(abs(int(events.min())), abs(int(events.max())))
        if largest_sum(layer, largest) >= limit and (found := _largest_of(layer, events)) >= limit:
            return f"{name}: sums of messages of up to {found} do not fit Lava's integers, which hold {limit - 1} here"
    return None


def _largest_of(layer: Dense | Conv, events: np.ndarray) -> int:
    """The largest magnitude that partial sums of the events (N, T, *shape) can come to."""
    magnitudes = np.abs(events.astype(np.int64)).reshape(-1, *events.shape[2:])
    weight = np.abs(layer.weight.astype(np.int64))
    if layer.kind == "conv":
        return int(correlate(layer, weight, magnitudes).max())
    return int((magnitudes.reshape(len(magnitudes), -1) @ weight.T).max())
