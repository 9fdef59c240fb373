"""The self-test on machines that differ where C leaves room: big-endian bytes, an int of 16 bits."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from snnkd import targets
from snnkd.engines import c99, conformance
from snnkd.engines.c99 import build
from snnkd.engines.reference.definition import simulate
from snnkd.ir.network import IntNet

# Prints on the first serial port of an ATmega2560, which QEMU shows; there is no way to end the machine.
PORT_AVR = """
#include "port.h"
#include <avr/io.h>

void port_print(const char *text)
{
    UCSR0B = (uint8_t)(1U << TXEN0);
    for (; *text != '\\0'; text++) {
        while ((UCSR0A & (uint8_t)(1U << UDRE0)) == 0U) {
        }
        UDR0 = (uint8_t)*text;
    }
}

void port_begin(void)
{
}

void port_end(void)
{
}

void port_report(unsigned long inferences)
{
    (void)inferences;
}
"""


def needs(**packages):
    missing = [package for program, package in packages.items() if not shutil.which(program.replace("_", "-"))]
    if missing:
        pytest.skip(f"missing: apt-get install {' '.join(missing)}")


@pytest.fixture
def folder(tmp_path):
    def make(net, events):
        target = targets.load("c99")
        golden = c99.golden_files(net, simulate(net, events))
        build.write(tmp_path, c99.runtime_files(target) | c99.model_files(net, target) | golden)
        return tmp_path

    return make


def once():
    """Sigma-delta neurons without states, whose sums become what they send."""
    net, events = conformance.networks()["sigma delta once"]
    return net, events[:2]


def varied(packed):
    """A convolution, delays, biases and weights of all widths: stored in 16 bits by the first layer, then 8, and 4."""
    random = np.random.default_rng(11)
    conv = conformance.random_conv(random, (2, 5, 4), 3, (2, 3), padding=(1, 1), bias=True, vary=True)
    delayed = conformance.random_dense(random, conv.shape, 5, delays=4, signs="mixed", thresholds=(0, 90), bias=True)
    last = conformance.random_dense(random, (5,), 3, bias=True)
    conv = replace(conv, weight=conv.weight * 101 + 1)
    last = replace(last, weight=(last.weight // 8 * 32).astype(np.int32))
    net = IntNet((2, 5, 4), (conv, delayed, last), message_bits=0 if packed else 14)
    return net, conformance.random_events(random, net, 2, 6)


CASES = pytest.mark.parametrize(
    "case", [once, partial(varied, False), partial(varied, True)], ids=["once", "wide", "packed"]
)


@CASES
def test_big_endian(case, folder):
    """A PowerPC of 32 bits, where char has no sign."""
    needs(powerpc_linux_gnu_gcc="gcc-powerpc-linux-gnu libc6-dev-powerpc-cross", qemu_ppc="qemu-user")
    made = folder(*case())
    sources = (*build.RUNTIME, "golden.c", "selftest.c", "port_host.c")
    program = build.compile(made, sources, "selftest", "powerpc-linux-gnu-gcc", (*build.STRICT, "-O2", "-static"))
    done = build.execute(["qemu-ppc", program], made)
    assert done.returncode == 0, done.stdout
    assert "ok 2 samples" in done.stdout


@CASES
def test_int_of_16_bits(case, folder):
    """An AVR, of 8 bits. Its compiler keeps `const` tables in its 8 KB of RAM."""
    needs(avr_gcc="gcc-avr avr-libc", qemu_system_avr="qemu-system-misc")
    made = folder(*case())
    (made / "port_avr.c").write_text(PORT_AVR)
    sources = (*build.RUNTIME, "golden.c", "selftest.c", "port_avr.c")
    image = build.compile(made, sources, "selftest.elf", "avr-gcc", ("-mmcu=atmega2560", *build.STRICT, "-O2"))
    command = [
        "qemu-system-avr",
        "-M",
        "mega2560",
        "-bios",
        image,
        "-nographic",
        "-monitor",
        "none",
        "-serial",
        "stdio",
    ]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as machine:
        assert machine.stdout is not None
        line = machine.stdout.readline()
        machine.kill()
    assert line.startswith("ok 2 samples"), line
