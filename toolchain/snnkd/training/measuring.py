"""What a network does on a whole split, all of it from one run.

`measure` runs the integer network on the fast engine, `measure_training` the training network in torch; the two agree.
What follows, from the rule for early exit to warnings, reads their result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from math import prod
from typing import Any

import numpy as np
import torch

from snnkd.analysis import cautions, early_exit, evaluation
from snnkd.analysis.early_exit import Course
from snnkd.ir.network import IntNet
from snnkd.ir.readout import EarlyExit, Readout
from snnkd.training.dynamics import S_SCALE
from snnkd.training.feed import Feed
from snnkd.training.group import ALONE, Group
from snnkd.training.network import Network


@dataclass(frozen=True)
class Measured:
    """What was measured of a network on a split. Of an empty split, accuracy is 0 and all else is empty.

    accuracy: the fraction of images whose class is right.
    rate: spikes per neuron and step, for each layer.
    silent, saturated: the fractions of neurons that never fire and that always do, for each layer that is meant to
        fire; the output layer of a membrane readout is not. A sigma-delta neuron may always send: saturated is empty.
    overflows: wraps of u and clips of v, for each layer.
    answers: how many images got each class.
    undecided: for how many images the best classes were equal, so that the lower number won.
    spikes: of all neurons, mean per image.
    course: the class after each step, in the order of the images; None where nobody asked for it.
    """

    accuracy: float
    rate: list[float]
    silent: list[float]
    saturated: list[float]
    overflows: list[int]
    answers: list[int]
    undecided: int
    spikes: float
    course: Course | None = None

    @property
    def activity(self) -> dict[str, float | int]:
        """What its layers do as columns of a table: rate.layer0, rate.layer1, ..., overflows.layer0, ..."""
        kinds = {"rate": self.rate, "silent": self.silent, "saturated": self.saturated, "overflows": self.overflows}
        return {f"{kind}.layer{k}": value for kind, values in kinds.items() for k, value in enumerate(values)}


def measure(net: IntNet, feed: Feed, course: bool = False, group: Group = ALONE) -> Measured:
    """Runs an integer network once over a split, on the fast engine, and measures it.

    With `course` the result also has the class after each step. Where a class is read from v, the output layer alone
    then runs a second time, to record v at every step. Images come in blocks: beside one block's trace only sums are
    held, and of the course two int64 per image and step. Each process of a `group` runs its share of the blocks, and
    has all results but a course.
    Raises LimitError where the engine cannot run here, FormatError where `net` cannot read the feed's events.
    """
    totals = _Totals([prod(layer.shape) for layer in net.layers])
    for indices in islice(feed.blocks(evaluation.BLOCK), group.rank, None, group.size):
        trace = evaluation.simulate(net, feed.events(indices))
        totals.add_answers(trace.classes(net), trace.undecided(net), feed.split.labels[indices])
        if course:
            totals.courses.append(evaluation.course(net, trace))
        for number, layer in enumerate(trace.layers):
            totals.spikes[number] += _sent(layer.spikes).reshape(-1)
            totals.overflows[number] += layer.overflows + layer.saturations
    totals.join(group)
    return totals.measured(feed, net.readout, net.is_sigma_delta)


@torch.no_grad()
def measure_training(network: Network, feed: Feed, readout: Readout) -> Measured:
    """Runs a training network once over a split, on the feed's device, and measures it.

    The result equals that of `measure` on its integer network, number by number; it has no course.
    """
    network.eval()
    totals: _Totals | None = None
    for indices in feed.blocks():
        events, labels = feed.batch(indices)
        output = network(events)
        counts = output.layers[-1].sum(dim=0).long().cpu().numpy()  # a membrane readout does not look at them
        v = (output.v_read * S_SCALE).long().cpu().numpy()
        totals = totals or _Totals([spikes[0, 0].numel() for spikes in output.layers])
        totals.add_answers(readout.classify(counts, v), readout.undecided(counts, v), labels.cpu().numpy())
        for number, (spikes, block) in enumerate(zip(output.layers, network.layers, strict=True)):
            totals.spikes[number] += spikes.count_nonzero(dim=(0, 1)).flatten().cpu().numpy()
            totals.overflows[number] += block.neuron.overflows + block.neuron.saturations
    return (totals or _Totals([])).measured(feed, readout, network.kind == "sigma-delta")


def _sent(values: np.ndarray) -> np.ndarray:
    """Counts how often each neuron sent something: values (N, T, *shape), spikes of 0 and 1 or messages."""
    if values.dtype != np.uint8:
        return np.count_nonzero(values, axis=(0, 1))
    per_sample = values.sum(axis=1, dtype=np.uint16)  # an encoding has 4096 steps at most
    return per_sample.sum(axis=0, dtype=np.int64)


class _Totals:
    """Sums over the blocks of a split.

    images: those that are right and those that are undecided, (2,). answers: images by class, (classes,). spikes:
    (neurons,) of each layer. overflows: of each layer, (layers,). All int64. courses: one of each block, where they are
    asked for.
    """

    def __init__(self, neurons: list[int]):
        self.images = np.zeros(2, dtype=np.int64)
        self.answers = np.zeros(neurons[-1] if neurons else 0, dtype=np.int64)
        self.spikes = [np.zeros(count, dtype=np.int64) for count in neurons]
        self.overflows = np.zeros(len(neurons), dtype=np.int64)
        self.courses: list[Course] = []

    def add_answers(self, classes: np.ndarray, undecided: np.ndarray, labels: np.ndarray) -> None:
        """Counts the classes, the undecided ones and the labels of a block of images, (N,) each."""
        self.images += (classes == labels).sum(), undecided.sum()
        self.answers += np.bincount(classes, minlength=len(self.answers))

    def join(self, group: Group) -> None:
        """Adds the sums of the other processes of a group."""
        group.add([self.images, self.answers, *self.spikes, self.overflows])

    def measured(self, feed: Feed, readout: Readout, graded: bool) -> Measured:
        """Divides by the number of images and steps."""
        if not len(feed):
            return Measured(0.0, [], [], [], [], [], 0, 0.0)
        correct, undecided = self.images.tolist()
        opportunities = len(feed) * feed.encoding.steps
        meant_to_fire = self.spikes[:-1] if readout.kind == "membrane" else self.spikes
        return Measured(
            accuracy=correct / len(feed),
            rate=[float(spikes.mean()) / opportunities for spikes in self.spikes],
            silent=[float((spikes == 0).mean()) for spikes in meant_to_fire],
            saturated=[] if graded else [float((spikes == opportunities).mean()) for spikes in meant_to_fire],
            overflows=self.overflows.tolist(),
            answers=self.answers.tolist(),
            undecided=undecided,
            spikes=sum(int(spikes.sum()) for spikes in self.spikes) / len(feed),
            course=_joined(self.courses),
        )


def _joined(courses: list[Course]) -> Course | None:
    """One course of all blocks, None of no block."""
    if not courses:
        return None
    return Course(np.concatenate([c.classes for c in courses]), np.concatenate([c.lead for c in courses]))


def chosen_exit(net: IntNet, feed: Feed, tolerance: float) -> EarlyExit | None:
    """Runs `net` over a split and chooses its rule for early exit, see `early_exit.choose`.

    tolerance: the fraction of images that may be lost to it. Returns None where no rule saves a step, and of an empty
    split.
    """
    course = measure(net, feed, course=True).course
    return None if course is None else early_exit.choose(course, feed.split.labels, tolerance)


def by_step(course: Course | None, labels: np.ndarray, rule: EarlyExit | None) -> dict[str, Any]:
    """Says what inference would give that ends before the last step.

    course: as `measure` returns it, None of an empty split. labels: (N,) of its images. rule: the network's.
    Returns `by_step`, the accuracy where every run ends after 1, 2, ... T steps, [] of an empty split; and
    `early_exit`, the rule's fields with its accuracy and mean steps, None without a rule or images.
    """
    if course is None:
        return {"by_step": [], "early_exit": None}
    summary: dict[str, Any] = {"by_step": course.accuracy(labels), "early_exit": None}
    if rule is not None:
        classes, steps = early_exit.stops(course, rule)
        reached = {"accuracy": float((classes == labels).mean()), "steps": float(steps.mean())}
        summary["early_exit"] = {**asdict(rule), **reached}
    return summary


def doubts(measured: Measured, feed: Feed, data: str) -> list[str]:
    """Lists, in sentences, why an accuracy may mean little: layers that learn nothing or leave their number format,
    and answers that are all alike.

    feed: what was measured on; data: the same in words, such as 'the test images'.
    """
    texts = [text for _, text in warnings(measured.activity, data)]
    if len(feed):
        right, labels = round(measured.accuracy * len(feed)), cautions.counted(feed.split.labels)
        answers = {number: count for number, count in enumerate(measured.answers) if count}
        texts += cautions.of_answers(answers, right, measured.undecided, labels, data)
    return texts


def warnings(activity: Mapping[str, Any], data: str) -> Iterator[tuple[str, str]]:
    """Yields (column, text) for each layer that learns nothing or leaves its number format: what to do about it.

    activity: columns as in `Measured.activity`; columns of other names are passed over. data: what was measured on, in
    words.
    """
    for column, value in activity.items():
        kind, _, layer = column.partition(".")
        if kind == "silent" and value == 1:
            lower = "lower neuron.threshold_gain, or with sigma-delta neurons neuron.message_threshold"
            yield column, f"{layer} is silent: no neuron of it ever fires; {lower}"
        elif kind == "saturated" and value > 0.5:
            yield column, f"{layer} is saturated: {value:.0%} fire at every step; raise neuron.threshold_gain"
        elif kind == "overflows" and value > 0:
            first = "use fewer encoding.bits (direct encoding)" if layer == "layer0" else "put fewer neurons before it"
            yield (
                column,
                f"{layer} overflows: sums or states left their bits {value:,} times on {data}; {first}, raise "
                "neuron.voltage_decay or the stage's optimizer.weight_decay, or lower its optimizer.lr",
            )
