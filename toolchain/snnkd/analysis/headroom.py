"""How near a network comes to the limits of its number formats on given input, and what these limits change there."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from math import floor, log2, prod
from typing import Any

import numpy as np

from snnkd.base import progress
from snnkd.engines.reference.definition import run
from snnkd.engines.reference.rules import DEFINITION, UNLIMITED, no_limit
from snnkd.ir.arithmetic import STATE_LIMIT, STATE_SHIFT, shift
from snnkd.ir.events import check_input
from snnkd.ir.network import Conv, Dense, Input, IntNet, Layer

NEAR = 0.9  # of a limit: other input may pass it
_WIDE = (1 << 31) - 1  # of the states of sigma-delta neurons
BLOCK = 1 << 26  # spikes of a layer that a block of samples may hold: 64 MB


@dataclass
class Use:
    """How one limit is used: the largest magnitude that came to it, how often it changed a value (`beyond`), and in how
    many samples."""

    limit: int
    largest: int = 0
    beyond: int = 0
    samples: int = 0

    @property
    def used(self) -> float:
        """The largest magnitude as a fraction of the limit."""
        return self.largest / self.limit

    @property
    def bits_left(self) -> int | None:
        """How often the largest magnitude could double; negative beyond the limit, None for 0."""
        return floor(log2(self.limit / self.largest)) if self.largest else None


@dataclass
class LayerHeadroom:
    """How one layer uses its limits.

    uses: of `a`, the sums of weight * event before they wrap in 24 bits (dense: in 32, behind << 6), of `u` before its
    correction and of `v` before it is clipped; of sigma-delta neurons of `a` (dense: in 32 bits as it is), of `sigma`
    and of `change`, the largest of all that follows from it, before they wrap in 32 bits. spikes: by the definition;
    spikes_differing: how many elements of (sample, step, neuron) differ where there are no limits.
    """

    name: str
    uses: dict[str, Use]
    spikes: int = 0
    spikes_differing: int = 0

    @classmethod
    def empty(cls, name: str, layer: Layer) -> LayerHeadroom:
        """Returns the headroom of `layer` before anything has come to its limits."""
        a = STATE_LIMIT if isinstance(layer, Conv) else 1 << 31 - STATE_SHIFT * (layer.neuron.kind == "cuba")
        if isinstance(layer, Dense) and layer.weight_exp < 0:
            a = min(a, (1 << 31) >> -layer.weight_exp)
        if layer.neuron.kind == "cuba":
            return cls(name, {"a": Use(a), "u": Use(STATE_LIMIT), "v": Use(STATE_LIMIT - 1)})
        of_sum = {} if isinstance(layer, Input) else {"a": Use(a), "sigma": Use(_WIDE)}
        return cls(name, of_sum | ({} if layer.neuron.kind == "sigma" else {"change": Use(_WIDE)}))


@dataclass
class Headroom:
    """How all layers use their limits. classes_differing: how many samples get another class where no layer has limits,
    so that nothing wraps or is clipped."""

    samples: int
    steps: int
    layers: list[LayerHeadroom]
    classes_differing: int = 0

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data; keys in `docs/cli.md`."""
        return {
            "samples": self.samples,
            "steps": self.steps,
            "layers": [
                {
                    "layer": row.name,
                    **{
                        name: {**asdict(use), "used": use.used, "bits_left": use.bits_left}
                        for name, use in row.uses.items()
                    },
                    "spikes": row.spikes,
                    "spikes_differing": row.spikes_differing,
                }
                for row in self.layers
            ],
            "classes_differing": self.classes_differing,
        }


def measure(net: IntNet, spikes: np.ndarray, most: int = BLOCK) -> Headroom:
    """Runs `net` by the definition and measures what comes to its limits.

    spikes: integers (N, T, *input shape), run in blocks of samples whose layers have at most `most` elements (uint8).
    A block in which a limit changed a value runs once more without limits, as lava-dl's own neuron does. Raises
    FormatError for unusable input.
    """
    events = check_input(net, spikes)
    samples, steps = events.shape[:2]
    rows = [LayerHeadroom.empty(name, layer) for name, layer in zip(net.names, net.layers, strict=True)]
    headroom = Headroom(samples, steps, rows)
    block = max(1, most // (steps * max(prod(layer.shape) for layer in net.layers)))
    for start in range(0, samples, block):
        progress.say(f"headroom: sample {start + 1:,} of {samples:,}")
        _measure_block(net, events[start : start + block], headroom)
    return headroom


def _measure_block(net: IntNet, events: np.ndarray, headroom: Headroom) -> None:
    before = [(use, use.beyond) for row in headroom.layers for use in row.uses.values()]
    watches = [
        _Watch(row, layer, len(events), events.shape[1], k == 0 and events.strides[1] == 0)
        for k, (row, layer) in enumerate(zip(headroom.layers, net.layers, strict=True))
    ]
    limited = run(net, events, [watch.rules for watch in watches])
    for row, trace in zip(headroom.layers, limited.layers, strict=True):
        row.spikes += int(np.count_nonzero(trace.spikes))
    for watch in watches:
        watch.count_samples()
    if all(use.beyond == beyond_before for use, beyond_before in before):
        return
    unlimited = run(net, events, [_UNLIMITED] * len(net.layers))
    for row, limited_layer, unlimited_layer in zip(headroom.layers, limited.layers, unlimited.layers, strict=True):
        row.spikes_differing += int(np.count_nonzero(limited_layer.spikes != unlimited_layer.spikes))
    headroom.classes_differing += int((limited.classes(net) != unlimited.classes(net)).sum())


class _Watch:
    """Notes in `row` what comes to the limits of one layer in a block of samples.

    shared: whether all steps have the same input, so that a sum is made once for all of them.
    """

    def __init__(self, row: LayerHeadroom, layer: Layer, samples: int, steps: int, shared: bool) -> None:
        self._row = row
        self._changed = {name: np.zeros(samples, bool) for name in row.uses}
        delayed = isinstance(layer, Dense) and layer.delay is not None
        self._times = steps if shared and not delayed else 1
        self._exponent = layer.weight_exp if isinstance(layer, Dense) else 0
        self.rules = DEFINITION.watched(self._note)

    def count_samples(self) -> None:
        """Adds the samples of this block in which each limit changed a value to the layer's totals."""
        for name, changed in self._changed.items():
            self._row.uses[name].samples += int(changed.sum())

    def _note(self, limit: str, values: np.ndarray, limited: np.ndarray, count: int) -> None:
        """Takes what `Rules.watched` tells of one limit: the values before and after it, and how many it changed."""
        name = _USE_OF[limit]
        use, changed = self._row.uses[name], self._changed[name]
        use.largest = max(use.largest, int(np.abs(self._scaled(limit, values)).max()))
        use.beyond += count * (self._times if limit.endswith("_sum") else 1)
        if count:
            np.logical_or(changed, (limited != values).reshape(len(values), -1).any(axis=1), out=changed)

    def _scaled(self, limit: str, values: np.ndarray) -> np.ndarray:
        """As `a` where they are one: the sum of a dense layer behind weight_exp, an activation in front of << 6."""
        if limit == "dense_sum":
            return shift(values, self._exponent)
        return values >> STATE_SHIFT if limit == "activation" else values


_USE_OF = {"dense_sum": "a", "conv_sum": "a", "activation": "a", "current": "u", "voltage": "v"}
_USE_OF |= {"sigma": "sigma", "change": "change"}
_UNLIMITED = replace(UNLIMITED, **dict.fromkeys(("voltage", "sigma", "change"), no_limit(_WIDE)))  # they fit a trace
