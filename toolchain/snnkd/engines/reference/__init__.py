"""The definition as an engine: plain numpy, everywhere available."""

from __future__ import annotations

import numpy as np

from snnkd.engines.reference.definition import simulate
from snnkd.ir.network import IntNet
from snnkd.ir.trace import SpikeTrace


def available() -> str | None:
    """Always None: it needs numpy only."""
    return None


def run(net: IntNet, spikes: np.ndarray, states: bool = False) -> SpikeTrace:
    """See `definition.simulate`."""
    return simulate(net, spikes, states)
