"""A sweep on two Ray nodes, of which one is killed in the middle, beside the same sweep one by one in this process.

    python toolchain/benchmarks/sweep_nodes.py [--seeds 1-3] [--epochs N] [--out DIR]

Three recipes on the digits, whose students differ by the loss that they imitate with; teacher and assistant are the
same in all three. Both nodes run on this machine, with one core each. As soon as a student on the node that will die is
in its training, the node is killed with all its processes. Says what was lost, and whether every student's file
has the same bits as that of a training one by one.

Needs Ray: pip install 'snnkd[ray]'.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import snnkd
from snnkd.base.files import write_text
from snnkd.runs import cells

LOSSES = {"kl": "{kl = 1.0}", "l2": "{l2 = 0.05}", "both": "{kl = 1.0, l2 = 0.05}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", default="1-3", metavar="LIST", help="of each recipe, 1-3 unless given")
    parser.add_argument("--epochs", type=int, default=4, metavar="N", help="of each stage")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keeps both sweeps there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = options.out or Path(temporary)
        seeds = cells.seeds(options.seeds)
        recipes = [written(out, name, losses, options.epochs) for name, losses in LOSSES.items()]
        grid = cells.grid(recipes, seeds)
        began = time.perf_counter()
        killed = on_two_nodes(recipes, seeds, out / "nodes")
        middle = time.perf_counter()
        for cell in grid:
            snnkd.train(cell.recipe, snnkd.TrainingOptions(folder=out / "alone", device="cpu"))
        end = time.perf_counter()
        names = [f"{cell.recipe.name}-001" for cell in grid]
        equal = [same(out / "nodes" / name, out / "alone" / name) for name in names]
    print(f"{len(grid)} cells; the node was killed with {killed}")
    print(f"students with the same bits as one by one: {sum(equal)} of {len(equal)}")
    print(f"two nodes {middle - began:.0f} s, one by one {end - middle:.0f} s")
    raise SystemExit(0 if all(equal) else 1)


def written(out: Path, name: str, losses: str, epochs: int) -> Path:
    """Writes a recipe for digits whose student imitates with `losses`."""
    stages = "".join(f"[chain.{stage}]\nepochs = {epochs}\n" for stage in ("teacher", "ta", "student"))
    path = out / f"{name}.toml"
    write_text(path, f'extends = "digits"\n{stages}distil.losses = {losses}\n')
    return path


def same(one: Path, other: Path) -> bool:
    """Compares the students of two runs, byte by byte: network, encoding, rule for early exit and provenance."""
    return (one / "student.net").read_bytes() == (other / "student.net").read_bytes()


@dataclass
class Victim:
    """A process on the node to be killed: the run folder that it has locked, and its finished epochs of the student."""

    folder: Path
    epochs: int

    def __str__(self) -> str:
        return f"{self.folder.name} after {self.epochs} epochs of its student"


def on_two_nodes(recipes: list[Path], seeds: list[int], out: Path) -> Victim:
    """Runs the sweep, and kills the second node as soon as a student is trained there."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    doomed = cluster.add_node(num_cpus=1)
    victims: list[Victim] = []

    def kill() -> None:
        while not victims:
            time.sleep(0.05)
            victims.extend(victim for victim in trained_on(doomed, out) if victim.epochs)
        cluster.remove_node(doomed, allow_graceful=False)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    try:
        swept = snnkd.sweep(recipes, seeds, out=out, ray=cluster.address)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert not swept.failed, swept.failed
    assert victims, "the sweep was over before the node could be killed"
    return victims[0]


def trained_on(node: Any, out: Path) -> list[Victim]:
    """The trainings that go on in processes of a node."""
    raylet = node.all_processes["raylet"][0].process.pid
    found = []
    for path in out.glob("*/.lock"):
        try:
            pid = json.loads(path.read_text())["pid"]
            parent = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
            rows = (path.parent / "metrics.csv").read_text().splitlines()
        except (OSError, ValueError, KeyError):
            continue
        if parent == raylet:
            found.append(Victim(path.parent, sum(row.startswith("student,") for row in rows)))
    return found


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
