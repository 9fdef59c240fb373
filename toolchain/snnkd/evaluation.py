"""Runs an integer network over any number of samples, in blocks: traces, comparisons and profiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from snnkd import energy, engines, targets, trace, verification
from snnkd.errors import LimitError
from snnkd.network import IntNet
from snnkd.trace import LayerCount, SpikeTrace
from snnkd.verification import Verification

BLOCK = 256  # samples at a time, so that memory stays bounded for a test set of any size
DEFINITION = "reference"  # the engine that others are compared with
FAST = "fast"  # the engine that accuracies and profiles are computed with; it equals the definition


def simulate(net: IntNet, spikes: np.ndarray, engine: str = FAST, states: bool = False) -> SpikeTrace:
    """Spikes of every layer, and u and v with `states`, of `net` on events (N, T, C, H, W) or (N, T, features).

    Raises LimitError where the engine cannot run here, FormatError for events that do not fit.
    """
    chosen = engines.get(engine)
    reason = chosen.available()
    if reason:
        raise LimitError(f"engine '{engine}' cannot run here: {reason}")
    return chosen.run(net, spikes, states)


def verify(net: IntNet, spikes: np.ndarray, against: str = "lava", states: bool = True) -> Verification:
    """Compares the engine `against` with the definition, element by element; the definition itself with `fast`."""
    other = FAST if against == DEFINITION else against
    expected = simulate(net, spikes, DEFINITION, states)
    return verification.compare(net, expected, simulate(net, spikes, other, states))


def blocks(net: IntNet, spikes: np.ndarray) -> Iterator[SpikeTrace]:
    """Traces of `spikes`, BLOCK samples at a time."""
    for start in range(0, len(spikes), BLOCK):
        yield simulate(net, spikes[start : start + BLOCK])


def profile(
    net: IntNet, spikes: np.ndarray, target: str | Path | Sequence[str | Path] = (), data: str = "the given samples"
) -> dict[str, Any]:
    """Spikes, synaptic operations, updates and energy of `net` on events (N, T, ...), as `snnkd profile --json` has it.

    target: name, file or several of them; all shipped targets with costs unless given. data: what the events are.
    """
    totals: list[LayerCount] = []
    for part in blocks(net, spikes):
        counts = trace.count(net, part)
        totals = counts if not totals else [a + b for a, b in zip(totals, counts, strict=True)]
    names = [target] if isinstance(target, str | Path) else target
    chosen = [targets.load(name) for name in names] or [one for one in targets.available() if one.costs]
    return energy.profile(net, totals, samples=len(spikes), steps=spikes.shape[1], data=data, targets=chosen)
