"""What this machine has of what snnkd can use, what each lack costs, and how to end it: `snnkd doctor`.

Versions of packages are read from their metadata, none is imported for that. Engines are not asked but tried: each that
is installed runs one small network, and is compared with the definition.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from snnkd import __version__, engines
from snnkd.analysis import evaluation, verification
from snnkd.base import packages, progress
from snnkd.base.errors import SnnkdError
from snnkd.data import datasets
from snnkd.engines import c99, conformance

TOOLS = (*c99.COMPILERS, "make", "arm-none-eabi-gcc", "qemu-system-arm")
_TRIED = "dense"  # the conformance network that engines run; all of its layers fire
_TOOL_S = 10.0


@dataclass(frozen=True)
class Lack:
    """Something that is not here: what cannot be done without it, and what to do, a command where one does it."""

    what: str
    costs: str
    fix: str


@dataclass(frozen=True)
class Data:
    """The folder that named data sets are looked for in; sets: by name what is missing there, None where nothing is."""

    folder: str
    sets: dict[str, str | None]


@dataclass(frozen=True)
class Health:
    """What is here. python, snnkd: versions. packages, tools: versions, None where one is missing. engines: why one
    cannot be used, None where it ran a network as the definition does. gpus: names. folder: the current one; writable:
    whether files can be made there. lacks: what follows from all that."""

    python: str
    snnkd: str
    platform: str
    packages: dict[str, str | None]
    engines: dict[str, str | None]
    tools: dict[str, str | None]
    gpus: list[str]
    data: Data
    folder: str
    writable: bool
    lacks: list[Lack]

    def to_json(self) -> dict[str, Any]:
        """Returns what `snnkd doctor --json` prints."""
        return asdict(self)


def examine() -> Health:
    """Examines this machine and the current folder; some seconds, most of them Lava's."""
    versions = {package.name: packages.version(package) for package in packages.PACKAGES.values()}
    ran = {}
    for name in engines.ENGINES:
        with progress.doing(f"engine {name} runs a network"):
            ran[name] = _tried(name)
    tools = {name: _tool(name) for name in TOOLS}
    gpus, data, writable = _gpus(), _data(), _is_writable(Path())
    lacks = [*_packages(), *_engines(ran), *_tools(tools), *_gpu(gpus), *_sets(data)]
    if not writable:
        lacks.append(Lack("write access here", "everything that writes a file", "cd to a folder of your own"))
    return Health(
        platform.python_version(),
        __version__,
        f"{platform.system()} {platform.machine()}",
        versions,
        ran,
        tools,
        gpus,
        data,
        str(Path().absolute()),
        writable,
        lacks,
    )


def _tried(name: str) -> str | None:
    """Why the engine cannot be used: it is not installed, fails, or gives other numbers than the definition."""
    engine = engines.get(name)
    if reason := engine.available():
        return reason
    net, events = conformance.networks()[_TRIED]
    try:
        expected = engines.get(evaluation.DEFINITION).run(net, events)
        found = verification.compare(net, expected, engine.run(net, events))
    except SnnkdError as error:
        return str(error).removeprefix(f"engine {name}: ")
    except Exception as error:  # a package that is damaged, or another version than was tested, fails anyhow
        return f"{type(error).__name__}: {error}"
    return None if found.equal else "gives other spikes than the definition"


def _tool(name: str) -> str | None:
    """The version of a program that is installed, '?' where it does not tell."""
    if shutil.which(name) is None:
        return None
    first, *_ = [*_output(name, "--version").splitlines(), ""]
    told = re.search(r"\d+(\.\d+)+", re.sub(r"\(.*?\)", "", first))  # in brackets is the distribution's
    return told[0] if told else "?"


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TOOL_S)
        return done.stdout if done.returncode == 0 else ""
    except (OSError, subprocess.SubprocessError):
        return ""


def _gpus() -> list[str]:
    return _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines()


def _data() -> Data:
    root = datasets.root_folder()
    named = {name: source for name, source in datasets.SOURCES.items() if name != "folder"}  # that one is the user's
    lacks = {
        name: packages.missing(*source.needs) or source.missing(root / (source.place or "."))
        for name, source in named.items()
    }
    return Data(str(root.absolute()), lacks)


def _is_writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _packages() -> Iterator[Lack]:
    for extra, purpose in packages.EXTRAS.items():
        modules = [module for module, package in packages.PACKAGES.items() if package.extra == extra]
        if reason := packages.missing(*modules):
            what, fix = reason.split(": ", 1)
            yield Lack(re.sub(r" (is|are) not installed$", "", what), purpose, fix)


def _engines(ran: dict[str, str | None]) -> Iterator[Lack]:
    for name, reason in ran.items():
        if reason is not None and engines.get(name).available() is None:
            others = ", ".join(other for other, lack in ran.items() if lack is None)
            yield Lack(f"engine {name}", f"it is installed and does not work: {reason}", f"use another one: {others}")


def _tools(tools: dict[str, str | None]) -> Iterator[Lack]:
    compilers = [name for name in c99.COMPILERS if tools[name] is None]
    if len(compilers) == len(c99.COMPILERS):
        yield Lack("C compiler", "the engine c99; a bundle's C is packed, and not proved", "apt-get install gcc")
    elif compilers:
        both = "a bundle's C is proved with one compiler, not with both"
        yield Lack(" and ".join(compilers), both, f"apt-get install {' '.join(compilers)}")
    if tools["make"] is None:
        yield Lack("make", "`make test` in a bundle (handoff --verify needs none)", "apt-get install make")
    if reason := c99.qemu_missing():
        lacking = [name for name in ("arm-none-eabi-gcc", "qemu-system-arm") if tools[name] is None]
        yield Lack(
            " and ".join(lacking),
            "bundles for Cortex-M are packed, and not proved on an emulated one",
            reason.removeprefix("missing: "),
        )


def _gpu(gpus: list[str]) -> Iterator[Lack]:
    if not gpus:
        yield Lack("GPU", "time: training uses the cores of the CPU", "nothing to install but NVIDIA's driver")
    elif packages.missing("torch") is None and importlib.util.find_spec("triton") is None:
        yield Lack("triton", "training on the GPU takes its slow path", "uv pip install --no-config torch")


def _sets(data: Data) -> Iterator[Lack]:
    absent = [name for name, lack in data.sets.items() if lack and not datasets.SOURCES[name].needs]
    if absent:
        where = "the folder of SNNKD_DATA" if os.environ.get("SNNKD_DATA") else "since SNNKD_DATA is not set"
        yield Lack(
            f"data: {', '.join(absent)}",
            f"recipes that train on them (looked in {data.folder}, {where})",
            "export SNNKD_DATA=FOLDER, or --data-root FOLDER, or train with --download",
        )
