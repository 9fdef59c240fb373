"""An IntNet as C99: its memory plan, generated model and golden samples, built and run here and on emulated chips."""

from snnkd.c99.build import COMPILERS, SelfTest, missing, self_test
from snnkd.c99.cross import Build
from snnkd.c99.golden import golden_files
from snnkd.c99.harness import run
from snnkd.c99.memory import Plan, plan
from snnkd.c99.qemu import Emulation, Measured
from snnkd.c99.qemu import emulate as on_qemu
from snnkd.c99.qemu import missing as qemu_missing
from snnkd.c99.source import model_files, runtime_files

ENGINE = "c99"  # of the targets that run what is made here

__all__ = [
    "COMPILERS",
    "ENGINE",
    "Build",
    "Emulation",
    "Measured",
    "Plan",
    "SelfTest",
    "golden_files",
    "missing",
    "model_files",
    "on_qemu",
    "plan",
    "qemu_missing",
    "run",
    "runtime_files",
    "self_test",
]
