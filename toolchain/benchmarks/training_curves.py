"""What distillation costs per epoch, and the accuracy of lava-dl's neuron beside snnkd's.

    python toolchain/benchmarks/training_curves.py distillation [--data-root DIR] [--quick] [--json]
    python toolchain/benchmarks/training_curves.py curves [--quick] [--json]

`distillation` trains the student of the recipe `mnist` (with --data-root, where MNIST is) or of `digits` (embedded)
with its teacher and alone, in turns, each several times, and shows the median seconds of an epoch, validation included:
of the first one, in which the teacher's spikes are computed, of the later ones, which read them, and the mean over
the epochs of the recipe, where the first one on each image variant counts as a first one.

`curves` trains 8x8-48-10 on digits twice: in lava-dl's blocks with lava-dl's neuron, and in snnkd's network with
snnkd's, from the same weights, with the same batches, loss and learning rates. Both neurons are right there: it is
checked that thresholds are below 64, that both networks spike alike at the start, and that nothing overflows at the
end.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in a training (`tuning`); read when torch is loaded

import numpy as np
import torch
from lava.lib.dl import slayer

from snnkd import recipe
from snnkd.data import datasets
from snnkd.data.datasets import DataSet
from snnkd.recipe import Recipe
from snnkd.training.chain import Chain
from snnkd.training.feed import Feed
from snnkd.training.loop.optimizer import learning_rate
from snnkd.training.losses import cross_entropy
from snnkd.training.network import Network

GOAL = 1.15  # seconds of an epoch with a teacher over those of one without
_EXACT = 64  # from this threshold on lava-dl's neuron fires where v equals it
_NETWORK = "dense-8x8-student"
_NEURON = {"current_decay": 0.5, "voltage_decay": 0.3, "threshold_gain": 2.0, "tau_grad": 0.02, "scale_grad": 20.0}

Forward = Callable[[torch.Tensor], list[torch.Tensor]]  # events (N, T, C, H, W) to spikes (T, N, neurons) of each layer


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=MODES)
    parser.add_argument("--data-root", type=Path, help="folder with MNIST/raw, for distillation")
    parser.add_argument("--quick", action="store_true", help="fewer images, epochs and repeats")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    threads = torch.get_num_threads()
    result = MODES[options.what](options) | {"versions": _versions(), "threads": threads}
    if options.json:
        print(json.dumps(result))
    else:
        print(f"\n{result['versions']}, {threads} threads")


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in ("snnkd", "numpy", "numba", "torch", "lava-dl"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


# Distillation


def _distillation(options: argparse.Namespace) -> dict[str, Any]:
    epochs, repeats = (3, 1) if options.quick else (4, 3)
    changes = ["chain.teacher.epochs=1", f"chain.student.epochs={epochs}", "chain.student.distil.teacher=teacher"]
    changes += ["data.shift=0", "data.variants=1"]
    if options.quick and options.data_root:
        changes.append("data.train_limit=6000")
    shipped = recipe.load("mnist" if options.data_root else "digits")
    plan = recipe.load(shipped.name, changes)
    data = datasets.load(plan.data.set, root=options.data_root, validation=plan.data.validation, seed=plan.seed)
    by_kind: dict[tuple[str, str], list[float]] = {}

    def note(row: dict[str, Any]) -> None:
        kind = {"student": "distilled", "baseline": "plain"}.get(row["stage"])
        if kind is not None:
            by_kind.setdefault((kind, "first" if row["epoch"] == 1 else "later"), []).append(row["seconds"])

    with tempfile.TemporaryDirectory() as folder:
        chain = Chain(plan, data, Path(folder))
        chain.train(["teacher"], resume=False)
        for repeat in range(repeats):
            order = ["student", "baseline"][:: -1 if repeat % 2 else 1]
            for name in order:
                (Path(folder) / f"{name}.safetensors").unlink(missing_ok=True)
            chain.train(["teacher", *order], resume=True, on_epoch=note)
    seconds = {place: statistics.median(values) for place, values in by_kind.items()}
    total = shipped.chain["student"].epochs
    share = min(shipped.data.variants, total) / total
    for kind in ("plain", "distilled"):
        seconds[kind, "mean"] = share * seconds[kind, "first"] + (1 - share) * seconds[kind, "later"]
    network = plan.chain["student"].network
    rows = [
        {"network": network, "training": kind, "epoch": epoch, "seconds": value}
        for (kind, epoch), value in seconds.items()
    ]
    if not options.json:
        print(f"{network}, {plan.data.train_limit or len(data.train)} images, seconds of an epoch")
        for epoch in ("first", "later", "mean"):
            _print_epoch(epoch, seconds["plain", epoch], seconds["distilled", epoch])
    return {"rows": rows}


def _print_epoch(epoch: str, plain: float, distilled: float) -> None:
    ratio = distilled / plain
    verdict = "reached" if ratio <= GOAL else "not reached"
    print(f"  {epoch}: plain {plain:7.3f}   distilled {distilled:7.3f}   ratio {ratio:.3f}, goal {GOAL}: {verdict}")


# Curves


def _curves(options: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(1)  # the products are small
    seeds, epochs = (1, 5) if options.quick else (3, 30)
    rows = []
    for seed in range(1, seeds + 1):
        changes = [f"seed={seed}", f"chain.student.network={_NETWORK}", f"chain.student.epochs={epochs}"]
        changes += ["readout.kind=count", "encoding.steps=8"]
        changes += [f"neuron.{name}={value}" for name, value in _NEURON.items()]
        plan = recipe.load("digits", changes)
        data = datasets.load("digits", validation=plan.data.validation, seed=seed)
        rows += _pair(plan, data)
    if not options.json:
        _print_curves(rows)
    return {"rows": rows}


def _pair(plan: Recipe, data: DataSet) -> list[dict[str, Any]]:
    """Rows of one seed: accuracy on the test set by epoch."""
    chain = Chain(plan, data, Path())
    network = chain.network("student")
    train, test = chain.feed(data.train), chain.feed(data.test)
    events, _ = train.batch(np.arange(256))
    network.calibrate(events)
    blocks = _in_lava_dl(plan, network)
    systems: dict[str, tuple[torch.nn.Module, Forward]] = {
        "snnkd": (network, lambda events: network(events).layers),
        "lava-dl": (blocks, lambda events: _lava_spikes(blocks, events)),
    }
    _check_alike(plan.seed, network, events, *(forward for _, forward in systems.values()))
    curves = {name: _train(plan, train, test, *system) for name, system in systems.items()}
    with torch.no_grad():
        network(events)
    overflows = sum(block.neuron.overflows + block.neuron.saturations for block in network.layers)
    if overflows:
        print(f"seed {plan.seed}: {overflows} overflows after training: lava-dl's neuron is not right", file=sys.stderr)
    return [
        {"seed": plan.seed, "system": name, "epoch": epoch, "accuracy": accuracy}
        for name, curve in curves.items()
        for epoch, accuracy in enumerate(curve, 1)
    ]


def _in_lava_dl(plan: Recipe, network: Network) -> torch.nn.Sequential:
    """The same dense network in lava-dl's blocks, with lava-dl's neuron and quantization."""
    blocks = torch.nn.Sequential()
    options = plan.neuron.model_dump(exclude={"threshold", "threshold_gain"})
    for block in network.layers:
        weight, neuron = block.synapse.weight, {"threshold": block.neuron.threshold, **options}
        theirs = slayer.block.cuba.Dense(neuron, weight[0].numel(), len(weight), delay_shift=False)
        with torch.no_grad():
            theirs.synapse.weight.copy_(weight.view(theirs.synapse.weight.shape))
        blocks.append(theirs)
    return blocks


def _lava_spikes(blocks: torch.nn.Sequential, events: torch.Tensor) -> list[torch.Tensor]:
    x, layers = events.flatten(2).movedim(1, -1), []
    for block in blocks:
        x = block(x)
        layers.append(x.movedim(-1, 0))
    return layers


@torch.no_grad()
def _check_alike(seed: int, network: Network, events: torch.Tensor, ours: Forward, theirs: Forward) -> None:
    """Exits where one of the two neurons cannot be right, so that curves would say nothing."""
    thresholds = [block.neuron.threshold for block in network.layers]
    if max(thresholds) >= _EXACT:
        sys.exit(f"seed {seed}: thresholds {thresholds}, expected less than {_EXACT}: set neuron.threshold_gain lower")
    for number, (spikes, expected) in enumerate(zip(ours(events), theirs(events), strict=True)):
        different = int((spikes != expected).sum())
        if different or not spikes.any():
            sys.exit(
                f"seed {seed}, layer {number}: {different} of {spikes.numel()} cells differ, {int(spikes.sum())} spikes"
            )


def _train(plan: Recipe, train: Feed, test: Feed, network: torch.nn.Module, forward: Forward) -> list[float]:
    stage = plan.chain["student"]
    scale = stage.label.scale
    assert scale != "learned", "the shipped recipe has a number"
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(weights, lr=stage.optimizer.lr, weight_decay=stage.optimizer.weight_decay, fused=True)
    curve = []
    for epoch in range(stage.epochs):
        order = np.random.default_rng([plan.seed, epoch]).permutation(len(train))
        batches = np.array_split(order, -(-len(order) // stage.batch))
        for number, indices in enumerate(batches):
            done = (epoch + number / len(batches)) / stage.epochs
            optimizer.param_groups[0]["lr"] = learning_rate(stage.optimizer, done)
            events, labels = train.batch(indices)
            loss = cross_entropy(forward(events)[-1].transpose(1, 2), labels, scale)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        curve.append(_accuracy(test, forward))
    return curve


@torch.no_grad()
def _accuracy(test: Feed, forward: Forward) -> float:
    events, labels = test.batch(np.arange(len(test)))
    return float((forward(events)[-1].sum(dim=0).argmax(dim=1) == labels).float().mean())


def _print_curves(rows: list[dict[str, Any]]) -> None:
    """Means over the seeds, and the range."""
    seeds = len({row["seed"] for row in rows})
    print(f"{_NETWORK} on digits, accuracy on the test set: mean and range over {seeds} seeds")
    for epoch in range(1, max(row["epoch"] for row in rows) + 1):
        shown = []
        for system in ("snnkd", "lava-dl"):
            accuracies = [row["accuracy"] for row in rows if (row["system"], row["epoch"]) == (system, epoch)]
            shown.append(f"{system} {statistics.mean(accuracies):.4f} ({min(accuracies):.4f} to {max(accuracies):.4f})")
        print(f"  epoch {epoch:3}:  {'   '.join(shown)}")


MODES = {"distillation": _distillation, "curves": _curves}


if __name__ == "__main__":
    main()
