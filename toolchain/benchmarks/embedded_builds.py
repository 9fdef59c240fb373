"""C programs of embedded.py: built for this machine and for emulated chips, their sizes, times and instructions."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from snnkd import targets
from snnkd.base.errors import LimitError
from snnkd.engines import c99
from snnkd.engines.c99 import build, qemu
from snnkd.engines.c99.source import numbers
from snnkd.targets import Target

PARTS = Path(__file__).with_name("embedded")
HOST_FLAGS = ("-std=gnu99",)
LEVELS = ("-O2", "-O3")  # of the host's optimizer: with the second it makes vectors of loops
CHIP_FLAGS = ("-std=gnu99", *qemu.FLAGS, "--specs=nano.specs")
FLOAT_UNIT = {"cortex-m4": ("-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")}  # by target, of those whose core can have one
LARGE = "cortex-m4"  # the target on whose machine the code of others runs where it does not fit their own
COMPILER = "gcc"


@dataclass(frozen=True, eq=False)
class Program:
    """A subject. files: by name; sources: those of them to compile. floats: whether it uses a float unit."""

    files: dict[str, bytes]
    sources: tuple[str, ...]
    defines: tuple[str, ...] = ()
    includes: tuple[Path, ...] = ()
    floats: bool = False


@dataclass(frozen=True)
class Memory:
    """Bytes that a firmware has more than one without a network; short: of a target's memory, by its name."""

    flash: int = 0
    ram: int = 0
    short: tuple[str, int] | None = None


@dataclass(frozen=True)
class Run:
    """Mean instructions of an inference, deepest stack in bytes, and the target on whose machine it was run."""

    instructions: int
    stack: int
    machine: str


class DoesNotFitError(LimitError):
    """bytes: how many a memory region of a chip is short of."""

    def __init__(self, region: str, bytes: int):
        super().__init__(f"{region} is short of {bytes:,} bytes")
        self.region, self.bytes = region, bytes


def missing() -> str | None:
    """None where compilers and emulator are installed, else what to do."""
    return c99.missing(COMPILER) or c99.qemu_missing()


def none() -> Program:
    """A firmware's subject without a network."""
    return Program({"subject_none.c": part("subject_none.c")}, ("subject_none.c",))


def part(name: str) -> bytes:
    """A file of the folder embedded."""
    return (PARTS / name).read_bytes()


class Host:
    """A program of this machine, built in a folder of its own."""

    def __init__(self, program: Program, folder: Path, level: str):
        folder.mkdir(parents=True)
        self.folder = folder
        build.write(folder, {**program.files, "host.c": part("host.c"), "subject.h": part("subject.h")})
        includes = (f"-I{path}" for path in (folder, *program.includes))
        flags = (level, *HOST_FLAGS, *program.defines, *includes)
        self.program = build.compile(folder, [*program.sources, "host.c", "-lm"], "host", COMPILER, flags)

    def classes(self, samples: np.ndarray) -> np.ndarray:
        """(N,) uint32 of samples (N, bytes) uint8."""
        self._run(samples, 0.0)
        return np.fromfile(self.folder / "classes", np.uint32)

    def microseconds(self, samples: np.ndarray, seconds: float) -> float:
        """Mean time of an inference, all samples run again and again for `seconds`."""
        return float(self._run(samples, seconds)) / 1000

    def _run(self, samples: np.ndarray, seconds: float) -> str:
        np.ascontiguousarray(samples, np.uint8).tofile(self.folder / "samples")
        count, size = samples.shape
        done = build.execute([self.program, "samples", str(size), str(count), str(seconds), "classes"], self.folder)
        if done.returncode:
            raise LimitError(f"host: exit status {done.returncode}\n{done.stderr.strip()}")
        return done.stdout


class Chip:
    """A program's compiled parts for a target's core."""

    def __init__(self, program: Program, target: Target, folder: Path):
        assert target.build is not None
        floats = FLOAT_UNIT.get(target.name, ()) if program.floats else ()
        self.folder, self.target = folder, target
        build.write(folder, program.files | c99.runtime_files(target))
        build.write(folder, {name: part(name) for name in ("subject.h", "firmware.c", "chip.c")})
        includes = (folder, folder / "cortex-m", *program.includes)
        core = (*target.build.flags, *floats)
        self.flags = (*core, *CHIP_FLAGS, *program.defines, *(f"-I{path}" for path in includes))
        self.subject = [self._compiled(name) for name in program.sources]

    def linked(self, sources: list[str], machine: Target) -> Path:
        """A program of the subject and `sources`. Raises DoesNotFitError for the memory of `machine`."""
        script = self.folder / "link.ld"
        script.write_bytes(c99.runtime_files(machine)["cortex-m/link.ld"])
        link = ("-nostartfiles", "-T", str(script), "-Wl,--gc-sections")
        objects = [*self.subject, *map(self._compiled, sources), "-lm"]
        try:
            return build.compile(self.folder, objects, "program.elf", f"{qemu.CROSS}gcc", (*self.flags, *link))
        except LimitError as error:
            overflow = re.search(r"region `(\w+)' overflowed by (\d+) bytes?", str(error))
            if overflow is None:
                raise
            raise DoesNotFitError(overflow[1], int(overflow[2])) from error

    def memory(self, base: Memory) -> Memory:
        """What a firmware needs beyond `base`."""
        try:
            image = self.linked(["cortex-m/startup.c", "firmware.c"], self.target)
        except DoesNotFitError as error:
            return Memory(short=(error.region, error.bytes))
        sizes = {".text": 0, ".data": 0, ".bss": 0}
        for line in build.execute([f"{qemu.CROSS}size", "-A", image], self.folder).stdout.splitlines():
            words = line.split()
            if words and words[0] in sizes:
                sizes[words[0]] = int(words[1])
        flash, ram = sizes[".text"] + sizes[".data"], sizes[".data"] + sizes[".bss"]
        return Memory(flash - base.flash, ram - base.ram)

    def run(self, samples: np.ndarray, classes: np.ndarray) -> Run:
        """Runs samples (N, bytes) on the target's machine, on the large one where they do not fit.

        Raises LimitError where a class differs from `classes` (N,), DoesNotFitError where they fit nowhere.
        """
        build.write(self.folder, _samples(samples, classes))
        sources = ["cortex-m/startup.c", "cortex-m/port_cortex_m.c", "chip.c", "samples.c"]
        machine = self.target
        try:
            image = self.linked(sources, machine)
        except DoesNotFitError:
            machine = targets.load(LARGE)
            image = self.linked(sources, machine)
        assert machine.build is not None
        done = build.execute([qemu.QEMU, *qemu.arguments(machine.build), "-kernel", image], self.folder)
        text = (done.stdout + done.stderr).strip()
        if done.returncode:
            raise LimitError(f"{machine.name}: exit status {done.returncode}: {text}")
        figures = dict(re.findall(r"^([\w ]+): (\d+)$", text, re.MULTILINE))
        return Run(int(figures["instructions per inference"]), int(figures["stack bytes"]), machine.name)

    def _compiled(self, source: str) -> str:
        name = source.replace("/", "-").removesuffix(".c") + ".o"
        build.compile(self.folder, [source], name, f"{qemu.CROSS}gcc", (*self.flags, "-c"))
        return name


@contextmanager
def chip(program: Program, target: str) -> Iterator[Chip]:
    """A program's compiled parts, in a folder that goes at the end."""
    with tempfile.TemporaryDirectory(prefix="snnkd-embedded-") as folder:
        yield Chip(program, targets.load(target), Path(folder))


@cache
def base(target: str) -> Memory:
    """A firmware without a network."""
    with chip(none(), target) as built:
        return built.memory(Memory())


def versions() -> dict[str, str]:
    """First lines of what compilers and emulator say of themselves."""
    programs = (COMPILER, f"{qemu.CROSS}gcc", qemu.QEMU)
    return {
        name: build.execute([name, "--version"], Path.cwd()).stdout.splitlines()[0]
        for name in programs
        if shutil.which(name)
    }


def as_events(program: Program, rows: int) -> Program:
    """`program` of snnkd, which then takes events of so many steps; of one, they are repeated."""
    return replace(program, defines=(*program.defines, f"-DSUBJECT_EVENTS={rows}"))


def _samples(samples: np.ndarray, classes: np.ndarray) -> dict[str, bytes]:
    """samples.h and samples.c."""
    count, size = samples.shape
    header = [
        "#include <stdint.h>",
        f"#define SAMPLES {count}U",
        f"#define SAMPLE_SIZE {size}U",
        "extern const uint8_t samples[];",
        "extern const uint32_t sample_classes[];",
    ]
    source = [
        '#include "samples.h"',
        f"const uint8_t samples[] = {{\n{numbers(samples.reshape(-1).tolist())}}};",
        f"const uint32_t sample_classes[] = {{\n{numbers(classes.tolist(), '{}U')}}};",
    ]
    return {"samples.h": "\n".join(header).encode(), "samples.c": "\n".join(source).encode()}
