"""What a student learns of a class that is in the timing of spikes alone, by loss.

    python toolchain/benchmarks/order_task.py [--seeds 3] [--plot FILE.svg] [--json]

The task and its teacher are those of `order_patterns.py`: equal spike counts at every input and at every output of the
teacher in every class. No label is used. Students differ by nothing but the loss and, in the last rows, by delays that
are trained; of each one four are trained, by the four teachers that name the classes differently, and the answer is the
output that fires first. A network that knows nothing of the teacher's names is right for one of them in four, so that
the mean over the four teachers is then 25 % exactly, whereas one student by itself may be lucky. Shown are mean and
range over the seeds of that mean, the range of single students, whether the four teachers made different networks at
all, and spikes of an output (the teacher's: 5).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in a training (`tuning`); read when torch is loaded

import numpy as np
import torch

from order_patterns import CHANCE, CLASSES, ENCODING, SHAPE, STEPS, renamed, samples, score, teacher
from snnkd.analysis import evaluation
from snnkd.ir.network import IntNet
from snnkd.ir.readout import Readout
from snnkd.recipe.architecture import Architecture, Dense
from snnkd.recipe.tables import Distil, Label, Neuron, Optimizer, Stage
from snnkd.training.deploy import to_intnet
from snnkd.training.feed import Feed
from snnkd.training.loop.trainer import Training
from snnkd.training.network import Network
from snnkd.training.teachers.spiking import Teacher


def _network(**delays: Any) -> Architecture:
    """The student; delays: of its hidden layer."""
    return Architecture(name="order", input=SHAPE, layers=(Dense(neurons=32, **delays), Dense(neurons=CLASSES)))


_NETWORK = _network()
_NEURON = Neuron(voltage_decay=0.5, tau_grad=0.005, scale_grad=5.0)
_WINDOW, _TEMPERATURE = 4, 0.5


def _loss(reading: str, window: int = _WINDOW, kl_axis: str = "counts", normalize: bool = False, **weights) -> Distil:
    options = {"reading": reading, "window": window, "temperature": _TEMPERATURE, "kl_axis": kl_axis}
    return Distil.model_validate({"losses": weights, **options, "normalize": normalize})


# What compares whole counts, then what compares in time, from wide windows to single steps.
LOSSES = {
    "l1 of counts": _loss("count", l1=1.0),
    "l2 of counts": _loss("count", l2=1.0),
    "kl of counts": _loss("count", kl=1.0),
    "kl + 0.05 l2 of counts": _loss("count", kl=1.0, l2=0.05),
    "temporal_kl": _loss("count", temporal_kl=1.0),
    "sliding_l2 of counts, window 20 = T": _loss("count", STEPS, sliding_l2=1.0),
    "sliding_l2 of counts, window 16": _loss("count", 16, sliding_l2=1.0),
    "sliding_l2 of counts, window 8": _loss("count", 8, sliding_l2=1.0),
    "sliding_l2 of counts, window 4": _loss("count", sliding_l2=1.0),
    "sliding_l1 of counts, window 4": _loss("count", sliding_l1=1.0),
    "sliding_l2, window 4": _loss("literal", sliding_l2=1.0),
    "l2 of psp": _loss("psp", l2=1.0),
    "l1": _loss("literal", l1=1.0),
    "l2": _loss("literal", l2=1.0),
    "kl over time": _loss("literal", kl_axis="time", kl=1.0),
    "kl at each step": _loss("literal", kl_axis="step", kl=1.0),
    "all five, equal shares": _loss("literal", normalize=True, l1=1.0, l2=1.0, kl=1.0, sliding_l1=1.0, sliding_l2=1.0),
}

# The same student with a delay of each of its 64 inputs, or of each of its 32 hidden neurons.
_MAX_DELAY = 8
_DELAYED = {
    "by input": _network(delays="input", max_delay=_MAX_DELAY),
    "by neuron": _network(delays="output", max_delay=_MAX_DELAY),
}
STUDENTS = {name: (distil, _NETWORK) for name, distil in LOSSES.items()} | {
    f"{name}; delays {by}": (LOSSES[name], network)
    for name in ("kl of counts", "sliding_l2 of counts, window 4", "l2")
    for by, network in _DELAYED.items()
}


@dataclass(frozen=True)
class Budget:
    """What one student is trained with; the test set is the same for all."""

    images: int = 512
    epochs: int = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 1 on")
    parser.add_argument("--plot", type=Path, help="writes the accuracies as SVG")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)  # the products are small
    if not options.json:
        print(f"the teacher itself: {teacher_accuracy(1):.3f}; chance: {CHANCE:.3f}\n\n{_HEAD}")
    rows = []
    for name, (distil, network) in STUDENTS.items():
        rows.append(measured(name, distil, range(1, options.seeds + 1), network=network))
        if not options.json:
            print(_line(rows[-1]), flush=True)
    if options.json:
        print(json.dumps({"rows": rows, "chance": CHANCE, "teacher": teacher_accuracy(1)}))
    if options.plot:
        plot(rows, options.plot)


_HEAD = f"{'loss':49} {'mean':>6} {'seeds':>14} {'students':>14}  {'networks':9} spikes"


def _line(row: dict[str, Any]) -> str:
    spans = [f"{min(row[key]):.3f} to {max(row[key]):.3f}" for key in ("by_seed", "by_student")]
    kind = "differ" if row["differ"] else "the same"
    return f"{row['loss']:49} {row['mean']:6.3f} {spans[0]:>14} {spans[1]:>14}  {kind:9} {row['spikes']:6.2f}"


def measured(
    name: str, distil: Distil, seeds: range, budget: Budget | None = None, network: Architecture = _NETWORK
) -> dict[str, Any]:
    """A row of the table: the students of the four teachers, for each seed."""
    accuracies, spikes, differ = [], [], False
    for seed in seeds:
        outputs = [answers(distil, seed, by, budget or Budget(), network) for by in range(CLASSES)]
        accuracies.append([accuracy(output, by) for by, output in enumerate(outputs)])
        spikes += [output.sum(axis=1).mean() for output in outputs]
        differ |= any(not np.array_equal(output, outputs[0]) for output in outputs)
    by_seed = [statistics.mean(four) for four in accuracies]
    by_student = [value for four in accuracies for value in four]
    summary = {"mean": statistics.mean(by_seed), "by_seed": by_seed, "by_student": by_student}
    return {"loss": name, **summary, "differ": differ, "spikes": float(np.mean(spikes))}


def answers(distil: Distil, seed: int, by: int, budget: Budget, plan: Architecture = _NETWORK) -> np.ndarray:
    """Output spikes (N, T, classes) on the test set of the student, as an integer network, of the teacher that names
    class c (c + by) % 4. Initial weights, data and the order of the samples depend on `seed` alone."""
    train, none = samples(budget.images, seed), samples(0, seed)
    feeds = [Feed(split, ENCODING, torch.device("cpu")) for split in (train, none)]
    torch.manual_seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        network = Training(
            name="student",
            stage=Stage(
                network=plan.name,
                epochs=budget.epochs,
                batch=32,
                optimizer=Optimizer(lr=0.01),
                label=Label(weight=0),
                distil=distil,
            ),
            network=Network(plan, _NEURON),
            train=feeds[0],
            validation=feeds[1],  # none: labels do not choose the epoch either
            readout=Readout(),
            seed=seed,
            key="order",
            path=Path(folder) / "student.safetensors",
            teacher=Teacher(renamed(teacher(), by), feeds[0]),
        ).run()
    return _spikes(to_intnet(network.blocks, network.input_shape))


def accuracy(spikes: np.ndarray, by: int) -> float:
    """Of output spikes on the test set, where class c has the name (c + by) % 4."""
    return score(spikes, (_TEST.labels + by) % CLASSES)


def teacher_accuracy(by: int) -> float:
    """Of a teacher itself, in its own names."""
    return accuracy(_spikes(renamed(teacher(), by)), by)


_TEST = samples(1000, seed=0)


def _spikes(net: IntNet) -> np.ndarray:
    events = ENCODING.encode(_TEST.pixels, np.arange(len(_TEST)))
    blocks = evaluation.in_blocks(events, evaluation.BLOCK)
    return np.concatenate([evaluation.simulate(net, block).layers[-1].spikes for block in blocks])


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Accuracy by loss as SVG: bars are means, dots single students; the same bytes for the same rows."""
    try:
        import matplotlib
    except ImportError:
        raise SystemExit("--plot needs matplotlib: uv run --group plots python ...") from None
    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    with plt.rc_context({"svg.hashsalt": "order", "svg.fonttype": "none", "font.size": 9}):
        figure, axes = plt.subplots(figsize=(8, 0.32 * len(rows) + 1.1), layout="constrained")
        for place, row in enumerate(rows):
            axes.barh(place, row["mean"], color="tab:blue" if row["differ"] else "tab:gray", height=0.7)
            axes.plot(row["by_student"], [place] * len(row["by_student"]), ".", color="black", markersize=3)
        axes.axvline(CHANCE, color="tab:red", linestyle="--", label="chance")
        axes.axvline(teacher_accuracy(0), color="tab:green", linestyle=":", label="the teacher")
        axes.set(xlim=(0, 1.02), xlabel="accuracy by the first spike: mean, and single students as dots")
        axes.set_yticks(range(len(rows)), [row["loss"] for row in rows])
        axes.invert_yaxis()
        axes.set_title("Equal counts, other order: what a student learns without labels")
        figure.legend(loc="outside lower right", ncols=2, frameon=False)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    main()
