"""Fuzzes the readers of all files but networks: a damaged file gives data or one of snnkd's errors, and stays as it is.

    python toolchain/benchmarks/fuzz_readers.py [--n 2000] [--seed 0] [--only npy,npz,...] [--json]

Each mutation changes, cuts, repeats or leaves out bytes of a valid file: an .npy, an .npz, a recipe and a target in
TOML, a checkpoint, a bundle. `read` and `refused` are good. A failure is an exception that is none of snnkd's, a
refusal without the file's name, and a file that is another one afterwards; the exit status is then 1. Mutation i of a
seed is always the same file. (`fuzz_netx.py` does the same for `.net` and `.nir` files.)
"""

from __future__ import annotations

import argparse
import collections
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snnkd import bundle, recipe, targets
from snnkd.base import arrays, files
from snnkd.base.errors import SnnkdError
from snnkd.bundle import proof
from snnkd.data.samples import Samples
from snnkd.engines import conformance

_SHOWN = 5  # failures of each reader


@dataclass(frozen=True)
class Reader:
    """suffix: of its files. make: writes a valid one. read: reads it."""

    suffix: str
    make: Callable[[Path], Any]
    read: Callable[[Path], Any]


def _make_array(path: Path) -> None:
    np.save(path, np.arange(60, dtype=np.int16).reshape(3, 4, 5))


def _make_arrays(path: Path) -> None:
    np.savez_compressed(path, input=np.arange(60, dtype=np.uint8).reshape(3, 4, 5), labels=np.arange(3))


def _make_recipe(path: Path) -> None:
    path.write_bytes(recipe.names()["digits"].read_bytes())


def _make_target(path: Path) -> None:
    path.write_bytes(files.names("hw_targets", "*/target.toml")["cortex-m4"].read_bytes())


def _make_checkpoint(path: Path) -> None:
    import torch

    from snnkd.training.loop import checkpoint

    network = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    checkpoint.save(path, checkpoint.Progress("key"), network, network.state_dict(), optimizer)


def _read_checkpoint(path: Path) -> None:
    import torch

    from snnkd.training.loop import checkpoint

    checkpoint.peek(path)
    checkpoint.load(path, "key", torch.nn.Linear(3, 2))


def _make_bundle(path: Path) -> None:
    random = np.random.default_rng(0)
    net = conformance.small_net(3)
    samples = Samples("random", conformance.random_events(random, net, 16, 4))
    bundle.make(net, "c99", samples, path)


def _read_bundle(path: Path) -> None:
    """Up to the check that would compile what is in it."""
    for check in proof.prove(path):
        if check.outcome == proof.DIFFERENT or check.name == "golden":
            return


READERS = {
    "npy": Reader(".npy", _make_array, lambda path: arrays.read(path, ("input",))),
    "npz": Reader(".npz", _make_arrays, lambda path: arrays.read(path, ("input",))),
    "recipe": Reader(".toml", _make_recipe, recipe.load),
    "target": Reader(".toml", _make_target, targets.load),
    "checkpoint": Reader(".safetensors", _make_checkpoint, _read_checkpoint),
    "bundle": Reader(".zip", _make_bundle, _read_bundle),
}


def mutated(data: bytes, random: np.random.Generator) -> bytes:
    """Returns `data` with one to four changes."""
    changed = bytearray(data)
    for _ in range(random.integers(1, 5)):
        at, length = int(random.integers(0, max(1, len(changed)))), int(random.integers(1, 16))
        how = random.integers(0, 5)
        if how == 0:
            del changed[at:]
        elif how == 1:
            del changed[at : at + length]
        elif how == 2:
            changed[at:at] = changed[at : at + length]
        elif how == 3:
            changed[at : at + length] = random.bytes(length)
        elif changed:
            changed[min(at, len(changed) - 1)] ^= 1 << random.integers(0, 8)
    return bytes(changed)


def fuzzed(reader: Reader, folder: Path, count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Yields for each mutation its outcome and, of a failure, what happened."""
    valid, path = folder / f"valid{reader.suffix}", folder / f"mutated{reader.suffix}"
    reader.make(valid)
    reader.read(valid)
    for index in range(count):
        data = mutated(valid.read_bytes(), np.random.default_rng([seed, index]))
        path.write_bytes(data)
        try:
            reader.read(path)
            outcome, told = "read", ""
        except SnnkdError as error:
            named = path.name in str(error)
            outcome, told = ("refused", "") if named else ("unnamed", f"mutation {index}: {error}")
        except Exception as error:
            outcome, told = "traceback", f"mutation {index}: {type(error).__name__}: {error}"
        if path.read_bytes() != data:
            outcome, told = "lost", f"mutation {index}: the file is another one now"
        yield outcome, told


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--n", type=int, default=2000, help="mutations of each kind of file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=",".join(READERS), help="some of the readers")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    results: dict[str, Any] = {}
    for name in options.only.split(","):
        with tempfile.TemporaryDirectory(prefix="fuzz-readers-") as folder:
            outcomes = list(fuzzed(READERS[name], Path(folder), options.n, options.seed))
        counts = collections.Counter(outcome for outcome, _ in outcomes)
        failures = [told for _, told in outcomes if told]
        results[name] = {"outcomes": dict(counts), "failures": failures}
        if not options.json:
            print(f"{name:12}" + ", ".join(f"{counts[outcome]} {outcome}" for outcome in sorted(counts)), flush=True)
            print(*failures[:_SHOWN], sep="\n", end="\n" if failures else "")
    if options.json:
        print(json.dumps(results))
    if any(result["failures"] for result in results.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
