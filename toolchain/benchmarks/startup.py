"""How long commands take that do little, in bare starts, and how long and large installations are.

    python toolchain/benchmarks/startup.py [--rounds N] [--install EXTRA ...] [--json]

Commands and `python -c pass` take turns, in the environment that runs this; of each round the ratio counts, and medians
are shown, with the lowest and the highest ratio. One round before, which does not count, has Python and Numba write
their caches. `small` is a network that the definition runs before Numba is loaded, `large` one that it does not;
`mnist` is of the size of an MNIST student.

The last column is a command's shortest time in those of a start of snnkd, `snnkd --version` with numpy loaded: `check`
and `profile` of `mnist` are to stay below 4.

With --install, the wheel is built and installed with uv into fresh environments: `core`, and with extras ('train', or
'train,lava'); the first time with an empty cache, then with that one, both with the index as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from snnkd.engines import conformance
from snnkd.formats import netx
from snnkd.ir.network import IntNet, Layer

ROOT = Path(__file__).resolve().parents[2]
# inputs and neurons of dense layers
NETWORKS = {"small": (64, 128, 10), "mnist": (784, 128, 10), "large": (3072, 1024, 256, 10)}
_START = "from snnkd.cli import main; main()"
_STARTED = "snnkd --version, numpy"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="0 for installations alone")
    parser.add_argument("--install", nargs="*", metavar="EXTRA", help="also measure core and these, e.g. train all")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="snnkd-startup-") as name:
        for row in _measured(Path(name), options):
            rows.append(row)
            if not options.json:
                print(_line(row), flush=True)
    if options.json:
        print(json.dumps(rows))


def _measured(folder: Path, options: argparse.Namespace) -> Iterator[dict]:
    if options.rounds:
        yield from starts(folder, options.rounds)
    if options.install is not None:
        for extra in ("", *options.install):
            yield from installs(folder, extra)


def _line(row: dict) -> str:
    if "command" in row:
        spread = f"({row['low']}-{row['high']})"
        starts = f"{row['starts']:5.2f} starts of snnkd"
        return f"{row['command']:32s}{row['ms']:7.0f} ms  {row['bare']:5.1f} bare starts {spread:13s}{starts}"
    told = f"{row['seconds']:7.1f} s  {row['mb']:6,} MB  {row['packages']} packages"
    return f"{row['what']:16s}{row['cache']:>7s} cache{told}"


def starts(folder: Path, rounds: int) -> list[dict]:
    """Times the commands against the bare interpreter and against a start of snnkd, by turns."""
    commands = {
        "bare": ["-c", "pass"],
        _STARTED: ["-c", f"import numpy; {_START}", "--version"],
        "snnkd --help": ["-c", _START, "--help"],
    }
    for name, neurons in NETWORKS.items():
        netx.save(_network(neurons), folder / f"{name}.net")
        for command in ("check", "profile"):
            commands[f"snnkd {command} {name}.net"] = ["-c", _START, command, str(folder / f"{name}.net")]
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds + 1):
        for name, words in commands.items():
            times[name].append(_seconds([sys.executable, *words], folder))
    rows = []
    for name, measured in times.items():
        ratios = [own / bare for own, bare in zip(measured[1:], times["bare"][1:], strict=True)]
        milliseconds, ratio = 1000 * statistics.median(measured[1:]), statistics.median(ratios)
        spread = {"low": round(min(ratios), 1), "high": round(max(ratios), 1)}
        spread["starts"] = round(min(measured[1:]) / min(times[_STARTED][1:]), 2)
        rows.append({"command": name, "ms": round(milliseconds, 1), "bare": round(ratio, 1), **spread})
    return rows


def _network(neurons: Sequence[int]) -> IntNet:
    random = np.random.default_rng(1)
    layers: list[Layer] = []
    for inputs, outputs in pairwise(neurons):
        layers.append(conformance.random_dense(random, (inputs,), outputs))
    return IntNet((neurons[0],), tuple(layers))


def installs(folder: Path, extra: str) -> Iterator[dict]:
    """Times an installation from the wheel with an empty and with a filled cache, and measures its size."""
    what = f"snnkd[{extra}]" if extra else "snnkd"
    _uv(folder, "build", "--wheel", "--out-dir", folder / "dist", ROOT)
    wheel = next((folder / "dist").glob("*.whl"))
    for cache in ("empty", "filled"):
        environment = folder / "env"
        _uv(folder, "venv", "--clear", "--python", sys.executable, environment)
        started = time.perf_counter()
        _uv(folder, "pip", "install", "--link-mode=copy", "--python", environment, f"{what} @ {wheel.as_uri()}")
        seconds = time.perf_counter() - started
        size = sum(path.lstat().st_size for path in environment.rglob("*")) >> 20
        packages = len(list(environment.glob("lib/python*/site-packages/*.dist-info")))
        yield {"what": what, "cache": cache, "seconds": round(seconds, 1), "mb": size, "packages": packages}
    shutil.rmtree(folder / "cache")


def _uv(folder: Path, *words: object) -> None:
    """Runs uv outside the checkout, whose overrides it would follow, with a cache of its own."""
    uv = [os.environ.get("UV") or shutil.which("uv") or "python3"]
    command = [*uv, *(["-m", "uv"] if uv == ["python3"] else []), *map(str, words), "--quiet"]
    subprocess.run(command, cwd=folder, env=os.environ | {"UV_CACHE_DIR": str(folder / "cache")}, check=True)


def _seconds(command: Sequence[str], folder: Path) -> float:
    """Bytecode is kept, as everywhere outside of containers that forbid it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
