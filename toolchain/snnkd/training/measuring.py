"""What a network does on a whole split: the integer network by the fast engine, the training network by torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import numpy as np
import torch

from snnkd import cautions, early_exit, evaluation
from snnkd.early_exit import Course
from snnkd.network import IntNet
from snnkd.readout import EarlyExit, Readout
from snnkd.training.dynamics import S_SCALE
from snnkd.training.feed import Feed
from snnkd.training.network import Network


@dataclass(frozen=True)
class Measured:
    """An integer network on a split. accuracy: a fraction; by layer: spikes per neuron and step, the fractions of
    neurons that never and that always fire, but for the output layer of a membrane readout, which is not meant to fire,
    and the number of wraps and clips of the states. answers: how many images got each class; undecided: in how many
    of them only the lower number decided. Of an empty split the accuracy is 0 and nothing else is known.
    """

    accuracy: float
    rate: list[float]
    silent: list[float]
    saturated: list[float]
    overflows: list[int]
    answers: list[int]
    undecided: int

    @property
    def activity(self) -> dict[str, float | int]:
        """What its layers do as columns of a table: rate.layer0, rate.layer1, ..., overflows.layer0, ..."""
        kinds = {"rate": self.rate, "silent": self.silent, "saturated": self.saturated, "overflows": self.overflows}
        return {f"{kind}.layer{k}": value for kind, values in kinds.items() for k, value in enumerate(values)}


def measure(net: IntNet, feed: Feed) -> Measured:
    """Accuracy and activity of an integer network; in blocks, so that memory does not grow with the split."""
    totals = _Totals([prod(layer.shape) for layer in net.layers])
    for indices in feed.blocks(evaluation.BLOCK):
        trace = evaluation.simulate(net, feed.events(indices))
        totals.answered(trace.classes(net), trace.undecided(net), feed.split.labels[indices])
        for number, layer in enumerate(trace.layers):
            per_sample = layer.spikes.sum(axis=1, dtype=np.uint16)  # an encoding has 4096 steps at most
            totals.spikes[number] += per_sample.sum(axis=0, dtype=np.int64).reshape(-1)
            totals.overflows[number] += layer.overflows + layer.saturations
    return totals.measured(feed, net.readout)


@torch.no_grad()
def measure_training(network: Network, feed: Feed, readout: Readout) -> Measured:
    """The same of the training network, on the feed's device: `measure` of its integer network gives the same."""
    network.eval()
    totals: _Totals | None = None
    for indices in feed.blocks():
        events, labels = feed.batch(indices)
        output = network(events)
        counts = output.layers[-1].sum(dim=0).long().cpu().numpy()
        v = (output.v_last * S_SCALE).long().cpu().numpy()
        totals = totals or _Totals([spikes[0, 0].numel() for spikes in output.layers])
        totals.answered(readout.classify(counts, v), readout.undecided(counts, v), labels.cpu().numpy())
        for number, (spikes, block) in enumerate(zip(output.layers, network.layers, strict=True)):
            totals.spikes[number] += spikes.sum(dim=(0, 1)).long().flatten().cpu().numpy()
            totals.overflows[number] += block.neuron.overflows + block.neuron.saturations
    return (totals or _Totals([])).measured(feed, readout)


class _Totals:
    """Sums over the blocks of a split. correct, undecided: images; answers: images by class; by layer: spikes of each
    neuron (neurons,), and overflows."""

    def __init__(self, neurons: list[int]):
        self.correct = self.undecided = 0
        self.answers = np.zeros(neurons[-1] if neurons else 0, dtype=np.int64)
        self.spikes = [np.zeros(count, dtype=np.int64) for count in neurons]
        self.overflows = [0] * len(neurons)

    def answered(self, classes: np.ndarray, undecided: np.ndarray, labels: np.ndarray) -> None:
        """Adds the answers (N,) to a block of images with their labels."""
        self.correct += int((classes == labels).sum())
        self.answers += np.bincount(classes, minlength=len(self.answers))
        self.undecided += int(undecided.sum())

    def measured(self, feed: Feed, readout: Readout) -> Measured:
        if not len(feed):
            return Measured(0.0, [], [], [], [], [], 0)
        opportunities = len(feed) * feed.encoding.steps
        meant = self.spikes[:-1] if readout.kind == "membrane" else self.spikes
        return Measured(
            self.correct / len(feed),
            [float(spikes.mean()) / opportunities for spikes in self.spikes],
            [float((spikes == 0).mean()) for spikes in meant],
            [float((spikes == opportunities).mean()) for spikes in meant],
            self.overflows,
            self.answers.tolist(),
            self.undecided,
        )


def chosen_exit(net: IntNet, feed: Feed, tolerance: float) -> EarlyExit | None:
    """The rule for early exit that `early_exit.choose` finds on a split; None of an empty one."""
    return early_exit.choose(_course(net, feed), feed.split.labels, tolerance) if len(feed) else None


def by_step(net: IntNet, feed: Feed) -> dict[str, Any]:
    """Of an integer network on a split: `by_step`, its accuracy if all runs end after so many steps, and `early_exit`,
    its rule with the accuracy and the mean steps with it, None where it has none; nothing of an empty split."""
    if not len(feed):
        return {"by_step": [], "early_exit": None}
    course, labels = _course(net, feed), feed.split.labels
    found: dict[str, Any] = {"by_step": course.accuracy(labels), "early_exit": None}
    if net.early_exit is not None:
        classes, steps = early_exit.stops(course, net.early_exit)
        measured = {"accuracy": float((classes == labels).mean()), "steps": float(steps.mean())}
        found["early_exit"] = {**asdict(net.early_exit), **measured}
    return found


def _course(net: IntNet, feed: Feed) -> Course:
    return evaluation.courses(net, (feed.events(indices) for indices in feed.blocks(evaluation.BLOCK)))


def doubts(measured: Measured, feed: Feed, data: str) -> list[str]:
    """Sentences on an accuracy: layers that learn nothing or leave their number format, answers that are all alike.

    data: what `feed` holds, in words.
    """
    told = [text for _, text in warnings(measured.activity, data)]
    if len(feed):
        told += cautions.of_answers(measured.answers, measured.undecided, len(np.unique(feed.split.labels)), data)
    return told


def warnings(activity: Mapping[str, Any], data: str) -> Iterator[tuple[str, str]]:
    """(column, text) for each layer that learns nothing or leaves its number format, and what to do about it.

    activity: columns as in `Measured.activity`, others are passed over; data: what they were measured on.
    """
    for column, value in activity.items():
        kind, _, layer = column.partition(".")
        if kind == "silent" and value == 1:
            yield column, f"{layer} is silent: no neuron of it ever fires; lower neuron.threshold_gain"
        elif kind == "saturated" and value > 0.5:
            yield column, f"{layer} is saturated: {value:.0%} fire at every step; raise neuron.threshold_gain"
        elif kind == "overflows" and value > 0:
            first = "use fewer encoding.bits (direct encoding)" if layer == "layer0" else "put fewer neurons before it"
            yield (
                column,
                f"{layer} overflows: u or v left its 24 bits {value:,} times on {data}; {first}, raise "
                "neuron.voltage_decay or the stage's optimizer.weight_decay, or lower its optimizer.lr",
            )
