"""The self-test of the folder c/ cross-compiled for a target, run on the machine of QEMU that has its core."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from snnkd.base.errors import LimitError
from snnkd.engines.c99.build import STRICT, compile, execute, golden_folder, sources
from snnkd.engines.c99.prefix import PLAIN, renamed
from snnkd.targets.build import Build

CROSS = "arm-none-eabi-"
QEMU = "qemu-system-arm"
FLAGS = ("-O2", "-ffunction-sections", "-fdata-sections")
_ON_CHIP = ("cortex-m/startup.c", "cortex-m/port_cortex_m.c")
_PACKAGES = {f"{CROSS}gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi", QEMU: "qemu-system-arm"}


@dataclass(frozen=True)
class Measured:
    """Bytes of a build, and what an emulated run needed.

    code: of the runtime, without libraries. constants: of the model, in flash. ram: of one state. stack: the deepest
    that a call of the runtime reached, its caller's frame included. instructions: of one inference, in the mean over
    the golden samples; not cycles.
    """

    code: int
    constants: int
    ram: int
    stack: int
    instructions: int


@dataclass(frozen=True)
class Emulation:
    """passed: whether all golden samples were equal; text: what the self-test printed; figures: None if it failed."""

    passed: bool
    text: str
    figures: Measured | None

    @property
    def measured(self) -> dict[str, int]:
        """Gives the figures as plain data, none where it failed."""
        return {} if self.figures is None else asdict(self.figures)


def missing() -> str | None:
    """Says what of the compiler and the emulator is missing and what to do, None where both are installed."""
    packages = [package for program, package in _PACKAGES.items() if not shutil.which(program)]
    return f"missing: apt-get install {' '.join(packages)}" if packages else None


def emulate(folder: Path, build: Build, prefix: str = PLAIN) -> Emulation:
    """Builds the self-test of the folder c/, elsewhere, with its linker script, and runs it on the machine of `build`.

    Raises LimitError where it cannot be built, with the linker's message where it does not fit.
    """
    folder = folder.resolve()
    golden = golden_folder(folder, prefix)
    flags = (*build.flags, *STRICT, *FLAGS, f"-I{folder}", f"-I{golden}")
    files = [*sources(folder, prefix, "selftest.c", *_ON_CHIP), golden / renamed("golden.c", prefix)]
    with tempfile.TemporaryDirectory(prefix="snnkd-c99-") as temporary:
        here = Path(temporary)
        link = ("-nostartfiles", "-T", str(folder / "cortex-m" / "link.ld"), "-Wl,--gc-sections")
        image = compile(here, files, "selftest.elf", f"{CROSS}gcc", (*flags, *link))
        done = execute([QEMU, *arguments(build), "-kernel", image], here)
        sizes = [_size(here, source, flags) for source in sources(folder, prefix)]
        state = _symbol(here, image, "state")
    text = (done.stdout + done.stderr).strip()
    if done.returncode:
        return Emulation(False, text, None)
    code, constants = sum(size for size, _ in sizes), sizes[-1][1]
    return Emulation(
        True,
        text,
        Measured(code, constants, state, _figure(text, "stack bytes"), _figure(text, "instructions per inference")),
    )


def arguments(build: Build) -> tuple[str, ...]:
    """Lists the arguments of QEMU: no devices but the machine's own, a nanosecond of its time for each instruction."""
    quiet = ("-nographic", "-monitor", "none", "-serial", "none")
    return ("-M", build.machine, *quiet, "-semihosting-config", "enable=on,target=native", "-icount", "shift=0")


def _size(here: Path, source: Path, flags: tuple[str, ...]) -> tuple[int, int]:
    """(bytes of code, bytes of constants) of one source file."""
    compiled = compile(here, [source], source.stem + ".o", f"{CROSS}gcc", (*flags, "-c"))
    code = constants = 0
    for line in execute([f"{CROSS}size", "-A", compiled], here).stdout.splitlines():
        words = line.split()
        if words and words[0].startswith(".text"):
            code += int(words[1])
        elif words and words[0].startswith(".rodata"):
            constants += int(words[1])
    return code, constants


def _symbol(here: Path, image: Path, name: str) -> int:
    """Bytes of a variable."""
    for line in execute([f"{CROSS}nm", "-S", image], here).stdout.splitlines():
        words = line.split()
        if len(words) == 4 and words[3] == name:
            return int(words[1], 16)
    raise LimitError(f"{image.name}: has no variable '{name}'")


def _figure(text: str, name: str) -> int:
    line = re.search(rf"^{name}: (\d+)$", text, re.MULTILINE)
    if line is None:
        raise LimitError(f"the self-test printed no '{name}': {text}")
    return int(line[1])
