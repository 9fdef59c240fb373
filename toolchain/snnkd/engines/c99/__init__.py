"""An IntNet as C99: its memory plan, generated model and golden samples, built and run here and on emulated chips."""

from __future__ import annotations

import numpy as np

from snnkd.base.errors import LimitError
from snnkd.engines.c99 import build, harness
from snnkd.engines.c99.build import COMPILERS, SelfTest, missing, self_test
from snnkd.engines.c99.golden import golden_files
from snnkd.engines.c99.harness import run as run_sources
from snnkd.engines.c99.memory import Plan, plan
from snnkd.engines.c99.qemu import Emulation, Measured
from snnkd.engines.c99.qemu import emulate as on_qemu
from snnkd.engines.c99.qemu import missing as qemu_missing
from snnkd.engines.c99.source import model_files, runtime_files
from snnkd.ir.events import check_input
from snnkd.ir.network import IntNet
from snnkd.ir.trace import SpikeTrace

ENGINE = "c99"  # of the targets that run what is made here

__all__ = [
    "COMPILERS",
    "ENGINE",
    "Emulation",
    "Measured",
    "Plan",
    "SelfTest",
    "available",
    "golden_files",
    "missing",
    "model_files",
    "on_qemu",
    "plan",
    "qemu_missing",
    "run",
    "run_sources",
    "runtime_files",
    "self_test",
]


def available() -> str | None:
    """None where a C compiler is installed, else what to do."""
    if build.find_compiler() is None:
        return "no C compiler (gcc or clang) is installed: apt-get install gcc"
    return None


def run(net: IntNet, spikes: np.ndarray, states: bool = False) -> SpikeTrace:
    """See `definition.simulate`; overflows and saturations are -1. Raises LimitError without a compiler."""
    compiler = build.find_compiler()
    if compiler is None:
        raise LimitError(f"engine c99: {available()}")
    return harness.record(net, check_input(net, spikes), compiler, states=states).trace
