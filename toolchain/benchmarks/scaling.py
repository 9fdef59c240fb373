"""How much faster one training is in two processes than in one, each on a core of its own, and what of it is not.

    python toolchain/benchmarks/scaling.py --data-root DIR [--rounds N] [--images N] [--json]

Configurations take turns; of each the fastest epoch of all rounds counts, since others may use the machine. Strong
scaling: the same batches for one process and two. Weak scaling: twice the batch and twice the images for two.
`exchange` is the share of the first process's epoch that it sends, receives and waits for the other; `cpu` are seconds
of the processor that it takes, which others on the machine change less. `threads` is one process with two threads,
which computes the same parts on the same cores without any exchange.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NETWORKS = ("dense-28x28-student", "conv-28x28-34k-student")
BATCH = 256  # four parts; eight of twice as many
CONFIGURATIONS = {  # processes, cores, and how many times the batch and the images
    "one": (1, 1, 1),
    "threads": (1, 2, 1),
    "strong": (2, 2, 1),
    "weak": (2, 2, 2),
}
_RECIPE = """
[data]
set = "mnist"
train_limit = {images}
validation = 0.02
[encoding]
kind = "rate"
steps = 16
[chain.student]
network = "{network}"
epochs = 3
batch = {batch}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", nargs=3, metavar=("NETWORK", "CONFIGURATION", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        network, name, folder = options.one
        print(json.dumps(_trained(network, name, folder, options)))
        return
    best: dict[tuple[str, str], dict[str, float]] = {}
    for _ in range(options.rounds):
        for network in NETWORKS:
            for name in CONFIGURATIONS:
                found = _in_a_process(network, name, options)
                before = best.get((network, name), found)
                best[network, name] = {key: min(value, before[key]) for key, value in found.items()}
    rows = [_row(network, best) for network in NETWORKS]
    print(json.dumps(rows) if options.json else _table(rows))


def _in_a_process(network: str, name: str, options: argparse.Namespace) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="snnkd-scaling-") as folder:
        command = [sys.executable, __file__, "--data-root", options.data_root, "--images", str(options.images)]
        done = subprocess.run([*command, "--one", network, name, folder], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    print(f"{network}, {name}: {done.stdout.strip()}", file=sys.stderr, flush=True)
    return json.loads(done.stdout)


def _trained(network: str, name: str, folder: str, options: argparse.Namespace) -> dict[str, float]:
    """Trains, and returns the least `seconds`, `cpu` and `exchange` of an epoch."""
    devices, cores, times = CONFIGURATIONS[name]
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:cores]))
    from snnkd.runs.pipeline import TrainingOptions, start, train
    from snnkd.training import tuning

    tuning.load_torch()
    from snnkd.training.group import Group

    spent = _timed(Group)
    path = Path(folder, "scaling.toml")
    path.write_text(_RECIPE.format(network=network, images=options.images * times, batch=BATCH * times))
    rows: list[dict[str, float]] = []
    began = [0.0]

    def on_epoch(row: dict) -> None:
        now = time.process_time()
        rows.append({"seconds": row["seconds"], "cpu": now - began[0], "exchange": spent[0] / row["seconds"]})
        began[0], spent[0] = now, 0.0

    from snnkd import recipe as recipes

    how = {"data_root": options.data_root, "device": "cpu", "devices": devices, "on_epoch": on_epoch}
    train(start(recipes.load(path), TrainingOptions(Path(folder, "runs"), **how)))
    later = rows[1:]  # the first one encodes the images
    return {name: min(row[name] for row in later) for name in rows[0]}


def _timed(group: type) -> list[float]:
    """Has a group count the seconds that it exchanges and waits."""
    spent = [0.0]

    def counted(method):
        def call(self, *arguments):
            began = time.perf_counter()
            try:
                return method(self, *arguments)
            finally:
                spent[0] += time.perf_counter() - began

        return call

    for name in ("gathered", "summed", "add", "check_same"):
        setattr(group, name, counted(getattr(group, name)))
    return spent


def _row(network: str, best: dict[tuple[str, str], dict[str, float]]) -> dict[str, float | str]:
    one = best[network, "one"]
    row: dict[str, float | str] = {"network": network, "seconds": one["seconds"], "cpu": one["cpu"]}
    for name, (_, _, times) in CONFIGURATIONS.items():
        found = best[network, name]
        if name != "one":
            row[f"{name}, x"] = times * one["seconds"] / found["seconds"]
        if name in ("strong", "weak"):
            row |= {f"{name}, x cpu": times * one["cpu"] / found["cpu"], f"{name}, exchange": found["exchange"]}
    return row


def _table(rows: list[dict[str, float | str]]) -> str:
    columns = list(rows[0])
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    for row in rows:
        cells = (f"{value:.2f}" if isinstance(value, float) else str(value) for value in row.values())
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
