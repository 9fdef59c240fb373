"""The definition as an engine: plain numpy, everywhere available."""

from __future__ import annotations

import numpy as np

from snnkd.engines.reference.definition import simulate
from snnkd.ir.network import IntNet
from snnkd.ir.trace import SpikeTrace


def available() -> str | None:
    """Returns None: the definition needs numpy only."""
    return None


def refuses(net: IntNet) -> str | None:
    """Returns None: it takes all networks. Whether sums leave 64 bits depends on the events, and `run` says so."""
    return None


def run(net: IntNet, spikes: np.ndarray, states: bool = False) -> SpikeTrace:
    """Runs `net` as `definition.simulate` does. Raises FormatError for unusable input."""
    return simulate(net, spikes, states)
