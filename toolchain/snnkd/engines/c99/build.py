"""Compilers on this machine: the folder c/ of a bundle built, and its self-test run."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from snnkd.base.errors import LimitError
from snnkd.engines.c99.prefix import PLAIN, renamed

COMPILERS = ("gcc", "clang")  # that the runtime is tested with, which are also the names of their packages
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror")
OPTIMIZED = ("-O2",)
RUNTIME = ("snnkd.c", "snnkd_encoder.c", "snnkd_events.c", "model.c")
TIMEOUT_S = 300.0  # a model is one long constant; what takes longer is broken


@dataclass(frozen=True)
class SelfTest:
    """passed: whether all golden samples were equal; text: what the self-test printed."""

    passed: bool
    text: str


def missing(compiler: str) -> str | None:
    """Says that `compiler` is missing and what to do, None where it is installed."""
    return None if shutil.which(compiler) else f"{compiler} is not installed: apt-get install {compiler}"


def find_compiler() -> str | None:
    """Finds the first of `COMPILERS` that is installed; None where none is."""
    return next((compiler for compiler in COMPILERS if not missing(compiler)), None)


def write(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Writes files, given by their paths in `folder`, and the folders that they need."""
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def execute(command: Sequence[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command in `folder`. Raises LimitError where it takes more than TIMEOUT_S seconds."""
    try:
        return subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise LimitError(f"{Path(command[0]).name}: did not end in {TIMEOUT_S:.0f} s") from error


def compile(folder: Path, sources: Sequence[str | Path], program: str, compiler: str, flags: Sequence[str]) -> Path:
    """Compiles `program` in `folder`, of sources there or elsewhere. Raises LimitError with the compiler's message."""
    done = execute([compiler, *flags, "-o", program, *sources], folder)
    if done.returncode:
        raise LimitError(f"{compiler} {' '.join(flags)}: exit status {done.returncode}\n{done.stderr.strip()}")
    return folder / program


def sources(folder: Path, prefix: str, *more: str) -> list[Path]:
    """Lists the runtime, the model and `more` files of the folder c/ by the names that they have with `prefix`."""
    return [folder / renamed(name, prefix) for name in (*RUNTIME, *more)]


def golden_folder(folder: Path, prefix: str = PLAIN) -> Path:
    """Says where the golden samples of the folder c/ lie: in it, or beside it in golden/, as in a bundle."""
    return folder if (folder / renamed("golden.c", prefix)).is_file() else folder.parent / "golden"


def self_test(
    folder: Path, compiler: str, flags: Sequence[str] = (*STRICT, *OPTIMIZED), prefix: str = PLAIN
) -> SelfTest:
    """Builds the self-test of the folder c/, elsewhere, and runs it. Raises LimitError where it cannot be built."""
    folder = folder.resolve()
    golden = golden_folder(folder, prefix)
    files = [*sources(folder, prefix, "selftest.c", "port_host.c"), golden / renamed("golden.c", prefix)]
    with tempfile.TemporaryDirectory(prefix="snnkd-c99-") as temporary:
        here = Path(temporary)
        include = (f"-I{folder}", f"-I{golden}")
        program = compile(here, files, "selftest", compiler, (*flags, *include))
        done = execute([program], here)
    return SelfTest(done.returncode == 0, (done.stdout + done.stderr).strip())


def example(folder: Path, compiler: str, prefix: str = PLAIN) -> str:
    """Builds the example beside the folder c/, elsewhere, and returns what it prints. Raises LimitError where it cannot
    be built, or fails."""
    folder = folder.resolve()
    with tempfile.TemporaryDirectory(prefix="snnkd-c99-") as temporary:
        here = Path(temporary)
        files = [*sources(folder, prefix), folder.parent / "example" / "main.c"]
        program = compile(here, files, "example", compiler, (*STRICT, *OPTIMIZED, f"-I{folder}"))
        done = execute([program], here)
    if done.returncode:
        raise LimitError(f"example: exit status {done.returncode}\n{(done.stdout + done.stderr).strip()}")
    return done.stdout.strip()
