"""Speed and memory with recordings: the fast engine on N-MNIST, and a training as the set grows.

    python toolchain/benchmarks/recordings.py speed FILE.net --data-root DIR
    python toolchain/benchmarks/recordings.py memory --data-root DIR [--copies 10]

`speed` simulates the test recordings of `nmnist` again and again and shows the median of recordings a second, events in
memory. `memory` trains best/nmnist-conv for two epochs without augmentation on the set's training recordings, each of
them there `copies` times, and shows the peak of the process; run it with two numbers of copies to see what one costs.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import tempfile
import time
import zipfile
from pathlib import Path

import snnkd
from snnkd import recipe
from snnkd.data import datasets, encoding
from snnkd.runs import pipeline

REPEATS = 9
PLAIN = ["data.variants=1", "data.shift=0", "data.drop=0.0", "data.jitter_us=0", "chain.student.epochs=2"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=("speed", "memory"))
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--copies", type=int, default=10)
    arguments = parser.parse_args()
    if arguments.what == "speed":
        speed(arguments.file, arguments.data_root)
    else:
        memory(arguments.data_root, arguments.copies)


def speed(file: Path, root: Path) -> None:
    net, test = snnkd.load(file), datasets.load("nmnist", root=root).test
    events = encoding.encode(encoding.from_json(net.encoding), test.images, test.labels)
    right = int((snnkd.simulate(net, events).classes(net) == test.labels).sum())
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        snnkd.simulate(net, events)
        seconds.append(time.perf_counter() - started)
    rate = len(events) / statistics.median(seconds)
    print(
        f"{file}: {right} of {len(events)} right, {net.steps} steps, {rate:,.0f} recordings/s on {os.cpu_count()} cores"
    )


def memory(root: Path, copies: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["SNNKD_CACHE"] = str(folder / "cache")
        with zipfile.ZipFile(folder / "nmnist.zip", "w") as larger:
            for source in root.glob("*mnist*.zip"):
                _repeat(source, larger, copies)
        plan = recipe.load("best/nmnist-conv", PLAIN)
        context = pipeline.start(plan, pipeline.TrainingOptions(folder / "runs", data_root=folder, device="cpu"))
        pipeline.train(context)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"{len(context.data.train) + len(context.data.validation):,} training recordings: peak {peak:,} MiB")


def _repeat(source: Path, larger: zipfile.ZipFile, copies: int) -> None:
    with zipfile.ZipFile(source) as given:
        for name in (name for name in given.namelist() if name.endswith(".bin")):
            data = given.read(name)
            for copy in range(copies if "train/" in name.lower() else 1):
                larger.writestr(f"{name.removesuffix('.bin')}-{copy}.bin", data)


if __name__ == "__main__":
    main()
