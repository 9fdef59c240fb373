"""Peak memory of commands that read events from a file, by how many samples are in it.

    python toolchain/benchmarks/memory.py [--samples 1000,4000,16000] [--json]

Each command runs in a process of its own, on events of a network 784-256-10, 16 steps, at 10 % activity. Peaks are what
the system counts for that process, VmHWM, imports included; beside them the size of the file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from snnkd.engines import conformance
from snnkd.formats import netx
from snnkd.ir.network import IntNet

_STEPS, _BLOCK, _ACTIVITY = 16, 250, 0.1
COMMANDS = {
    "profile": "profile net.net --input events.npy --json",
    "evaluate": "evaluate net.net --input events.npy --labels labels.npy --json",
    "handoff": "handoff net.net --target c99 --input events.npy --labels labels.npy --out bundle.zip --json",
    "simulate, .h5": "simulate net.net --input events.npy --out trace.h5 --json",
    "simulate, .npz": "simulate net.net --input events.npy --out trace.npz --json",
}
# What getrusage says of a child begins with its parent's, so the child reads its own peak at its end.
_CHILD = """if True:
    import sys
    from pathlib import Path
    from snnkd.cli import main
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, ended.code
    status = Path("/proc/self/status").read_text()
    print(status.split("VmHWM:")[1].split()[0], file=sys.stderr)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--samples", default="1000,4000,16000")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    counts = [int(count) for count in options.samples.split(",")]
    rows = []
    with tempfile.TemporaryDirectory(prefix="snnkd-memory-") as name:
        folder = Path(name)
        netx.save(_network(), folder / "net.net")
        for count in counts:
            size = _write(folder, count)
            peaks = {command: _peak(words, folder) for command, words in COMMANDS.items()}
            rows.append({"samples": count, "file_mb": size, "peak_mb": peaks})
            print(f"{count:,} samples: {json.dumps(peaks)}", file=sys.stderr, flush=True)
    print(json.dumps(rows) if options.json else _table(rows))


def _network() -> IntNet:
    rng = np.random.default_rng(0)
    layers = (conformance.random_dense(rng, (784,), 256), conformance.random_dense(rng, (256,), 10))
    return IntNet((784,), layers, steps=_STEPS)


def _write(folder: Path, count: int) -> int:
    """Writes events and labels, and returns how many MB the events are."""
    rng = np.random.default_rng(1)
    events = open_memmap(folder / "events.npy", "w+", np.uint8, (count, _STEPS, 784))
    for start in range(0, count, _BLOCK):
        part = events[start : start + _BLOCK]
        part[:] = rng.random(part.shape, np.float32) < _ACTIVITY
    events.flush()
    np.save(folder / "labels.npy", rng.integers(0, 10, count))
    return events.nbytes >> 20


def _peak(words: str, folder: Path) -> int:
    """MB."""
    command = [sys.executable, "-c", _CHILD, *words.split()]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return int(done.stderr.split()[-1]) >> 10


def _table(rows: list[dict]) -> str:
    lines = ["| samples | the file, MB | " + " | ".join(COMMANDS) + " |", "| --- " * (2 + len(COMMANDS)) + "|"]
    for row in rows:
        cells = [f"{row['samples']:,}", f"{row['file_mb']:,}", *(f"{peak:,}" for peak in row["peak_mb"].values())]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
