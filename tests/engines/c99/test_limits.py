"""Flash and RAM as limits of a target, and the table [build]."""

from __future__ import annotations

import pytest

from snnkd import targets
from snnkd.analysis import fit
from snnkd.base.errors import FormatError
from snnkd.engines import c99
from snnkd.targets.build import Build

CHIPS = ("cortex-m4", "cortex-m0plus", "cortex-m33")
ORIGIN = 'unit = "byte"\nkind = "assumed"\nsource = "made up"\n'
LIMITS = f"[limits.flash]\nvalue = 1000\n{ORIGIN}[limits.ram]\nvalue = 900\n{ORIGIN}"
BUILD = 'flags = ["-mcpu=cortex-m4"]\nmachine = "mps2-an386"\nflash_origin = 0\nram_origin = 0x20000000\n'


@pytest.fixture
def target(tmp_path):
    def load(text):
        path = tmp_path / "own.toml"
        path.write_text(f'name = "own"\ndescription = "own"\n{text}')
        return targets.load(path)

    return load


@pytest.mark.parametrize("name", CHIPS)
def test_a_student_for_mnist_fits(name, classifier):
    chip = targets.load(name)
    assert (chip.engine, fit.check(classifier, chip)) == ("c99", [])
    assert fit.fit(classifier, chip).verdict == "likely"
    assert chip.build is not None
    assert targets.load("c99").build is None


def test_what_does_not_fit_is_refused_with_the_bytes_missing(target, classifier):
    memory = c99.plan(classifier)
    flash, ram = fit.check(classifier, target(LIMITS))
    assert (flash.limit, flash.actual, flash.allowed) == (
        "flash",
        f"{memory.flash} byte, {memory.flash - 1000} too many",
        "1000 byte",
    )
    assert (ram.limit, ram.actual, ram.source) == ("ram", f"{memory.ram} byte, {memory.ram - 900} too many", "made up")
    assert "layer0" in flash.fix


def test_build(target):
    build = target(f"{LIMITS}[build]\n{BUILD}").build
    assert build == Build(("-mcpu=cortex-m4",), "mps2-an386", 0, 0x20000000)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("machine", "clock = 3\nmachine", "unknown key 'clock' in build"),
        ('["-mcpu=cortex-m4"]', '"-mcpu=cortex-m4"', "build.flags: expected a valid list, found '-mcpu"),
        ('"-mcpu=cortex-m4"', "", "build.flags: expected at least 1 item"),
        (
            '"-mcpu=cortex-m4"',
            '"-O2", "a b"',
            r"build.flags\[1\]: expected letters, digits and -\+=_.,/ only, found 'a b'",
        ),
        ("-an386", "-an386 -S; rm", "build.machine: expected letters"),
        ("= 0\n", "= 4\n", "build.flash_origin: expected an address of 32 bits, a multiple of 8, found 4"),
        ("flash_origin = 0\n", "", "build.flash_origin: missing; it is the address"),
        ("= 0\n", "= -8\n", "build.flash_origin: expected an address"),
        ("0x20000000", '"0x20"', "build.ram_origin: expected an address"),
    ],
)
def test_build_is_refused(old, new, says, target):
    with pytest.raises(FormatError, match=says):
        target(f"{LIMITS}[build]\n{BUILD.replace(old, new)}")


def test_build_needs_the_sizes(target):
    with pytest.raises(FormatError, match="build: expected the limits flash and ram"):
        target(f"[build]\n{BUILD}")
