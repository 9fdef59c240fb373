"""The C99 runtime of embedded targets as an engine: emitted, compiled and run on this machine."""

from __future__ import annotations

import numpy as np

from snnkd.c99 import build, harness
from snnkd.errors import LimitError
from snnkd.network import IntNet
from snnkd.reference import check_input
from snnkd.trace import SpikeTrace


def available() -> str | None:
    """None where a C compiler is installed, else what to do."""
    if build.find_compiler() is None:
        return "no C compiler (gcc or clang) is installed: apt-get install gcc"
    return None


def run(net: IntNet, spikes: np.ndarray, states: bool = False) -> SpikeTrace:
    """See `snnkd.reference.simulate`; overflows and saturations are -1. Raises LimitError without a compiler."""
    compiler = build.find_compiler()
    if compiler is None:
        raise LimitError(f"engine c99: {available()}")
    return harness.record(net, check_input(net, spikes), compiler, states=states).trace
