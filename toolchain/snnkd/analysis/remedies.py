"""What would make a network fit a limit that it breaks: advice that its layers can follow, with the command that does
it where there is one."""

from __future__ import annotations

import math
from math import prod

from snnkd.engines.c99.memory import NEURON_BYTES, Part, Plan
from snnkd.ir.network import IntNet, Layer

_WORD = 4  # bytes of a value of the C99 runtime's state
_FEWEST_BITS, _MOST_BITS = 2, 8  # that `snnkd quantize` rounds to


def fewer_bits(name: str, bits: int) -> str:
    """Advises to round the weights of the layer `name` to `bits`."""
    if bits < _FEWEST_BITS:
        return f"no rounding leaves {name} so few bits; choose another target"
    return f"round the weights of {name}: `snnkd quantize FILE.net --bits {min(bits, _MOST_BITS)} --out NEW.net`"


def fewer_inputs(net: IntNet, name: str, share: float) -> str:
    """Advises how fewer synapses lead into each neuron of the layer `name`, of which there is room for a `share`."""
    index = net.names.index(name)
    before = net.layers[index - 1] if index else None
    if before is None or before.kind == "input":
        smaller = "a smaller input (of recordings: pool or crop in [encoding])"
    else:
        smaller = f"{_fewer_neurons(before)} in {net.names[index - 1]}"
    return f"give {name} fewer inputs: {smaller}, or prune its weights to {math.floor(100 * share)} %"


def less_ram(plan: Plan, excess: int) -> str:
    """Advises about the layer that takes most of the C99 runtime's state, which is `excess` bytes too large."""
    part = max(plan.parts, key=_state)
    if part.delays is None or _ring(part) < _state(part) - _ring(part):
        return f"give {part.name} {_fewer_neurons(part.layer)}"
    fitting = part.delays.slots - 1 - math.ceil(excess / (_WORD * prod(part.layer.shape)))
    if fitting < 1:
        return f"give {part.name} no delays, which hold back its sums, and {_fewer_neurons(part.layer)}"
    shorter = f"at most {fitting} steps instead of {part.delays.slots - 1}"
    return f"give {part.name} shorter delays, {shorter}: they hold back its sums; or {_fewer_neurons(part.layer)}"


def less_flash(plan: Plan) -> str:
    """Advises about the layer that takes most of the C99 runtime's constant tables."""
    part = max(plan.parts, key=lambda part: part.flash)
    weights = part.stored.bytes if part.stored else 0
    delays = part.delays.values.size if part.delays else 0
    neurons = len(part.neurons) * NEURON_BYTES
    if neurons > weights + delays:
        return f"give all neurons of {part.name} the same parameters, or {_fewer_neurons(part.layer)}"
    if delays > weights:
        return f"give {part.name} one delay for each input or each neuron, not one for each synapse; or fewer weights"
    fewer = f"give {part.name} fewer weights"
    if part.stored is not None and part.stored.bits > 4:
        return f"{fewer}, or 4 bits of each, about half: `snnkd quantize FILE.net --bits 4 --out NEW.net`"
    return fewer


def _fewer_neurons(layer: Layer) -> str:
    """What makes this kind of layer have fewer neurons."""
    if layer.kind == "conv":
        return "fewer neurons: larger strides, or fewer channels"
    return "fewer neurons: a smaller image" if layer.kind == "input" else "fewer neurons"


def _ring(part: Part) -> int:
    """Bytes of the sums that the delays of a layer hold back."""
    return _WORD * prod(part.layer.shape) * (part.delays.slots if part.delays else 0)


def _state(part: Part) -> int:
    """Bytes of what a layer's neurons hold, and of its ring."""
    return _WORD * prod(part.layer.shape) * part.held + _ring(part)
