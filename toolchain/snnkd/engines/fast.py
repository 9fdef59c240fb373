"""The fast exact engine: compiled kernels on all cores."""

from __future__ import annotations

import importlib.util

import numpy as np

from snnkd.network import IntNet
from snnkd.trace import SpikeTrace


def available() -> str | None:
    """None where numba is installed, else what to do."""
    if importlib.util.find_spec("numba") is None:
        return "numba is not installed: pip install numba"
    return None


def run(net: IntNet, spikes: np.ndarray, states: bool = False) -> SpikeTrace:
    """See `snnkd.simulation.simulate`."""
    from snnkd.simulation import simulate

    return simulate(net, spikes, states)
