"""An IntNet as C99: its memory plan, generated model and golden samples, built and run here and on emulated chips."""

from __future__ import annotations

import numpy as np

from snnkd.base.errors import LimitError
from snnkd.engines.c99 import build, harness
from snnkd.engines.c99.build import COMPILERS, SelfTest, missing, self_test, write
from snnkd.engines.c99.build import example as run_example
from snnkd.engines.c99.example import example_files
from snnkd.engines.c99.golden import golden_files
from snnkd.engines.c99.harness import run as run_sources
from snnkd.engines.c99.memory import Plan, plan
from snnkd.engines.c99.memory import refusal as refuses
from snnkd.engines.c99.prefix import PLAIN, of_files, renamed
from snnkd.engines.c99.prefix import check as check_prefix
from snnkd.engines.c99.qemu import Emulation, Measured
from snnkd.engines.c99.qemu import emulate as on_qemu
from snnkd.engines.c99.qemu import missing as qemu_missing
from snnkd.engines.c99.source import model_files, runtime_files
from snnkd.ir.events import check_input
from snnkd.ir.network import IntNet
from snnkd.ir.trace import SpikeTrace

ENGINE = "c99"  # of the targets that run this C

__all__ = [
    "COMPILERS",
    "ENGINE",
    "PLAIN",
    "Emulation",
    "Measured",
    "Plan",
    "SelfTest",
    "available",
    "check_prefix",
    "example_files",
    "golden_files",
    "missing",
    "model_files",
    "of_files",
    "on_qemu",
    "plan",
    "qemu_missing",
    "refuses",
    "renamed",
    "run",
    "run_example",
    "run_sources",
    "runtime_files",
    "self_test",
    "write",
]


def available() -> str | None:
    """Says that no C compiler is installed and what to do, None where one is."""
    if build.find_compiler() is None:
        return "no C compiler (gcc or clang) is installed: apt-get install gcc"
    return None


def run(net: IntNet, spikes: np.ndarray, states: bool = False) -> SpikeTrace:
    """Runs `net`, compiled for this machine, as `definition.simulate` does; overflows and saturations are -1.

    Raises LimitError without a compiler and where the network is refused, FormatError for unusable input.
    """
    compiler = build.find_compiler()
    reason = available() or refuses(net)
    if compiler is None or reason:
        raise LimitError(f"engine c99: {reason}")
    return harness.record(net, check_input(net, spikes), compiler, states=states).trace
