"""What a network does on test images, for people to look at: answers, activity by step, and a few samples in detail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from snnkd.analysis import early_exit, evaluation, health
from snnkd.analysis.early_exit import Course
from snnkd.analysis.health import Health
from snnkd.data.samples import Samples
from snnkd.ir.network import IntNet
from snnkd.ir.trace import SpikeTrace
from snnkd.report.page import pictures

SAMPLES = 1000  # test images that are run
_HELD = 1 << 28  # bytes of traces at a time
ROWS, COLUMNS = 64, 128  # of a raster; neurons and steps beyond are put together
_RIGHT_OF = 2 / 3  # of the samples that are shown: so many that are right, where there are as many wrong ones


@dataclass(frozen=True)
class Panel:
    """One layer in one sample: its raster as the URI of a picture, and how many events it sent."""

    name: str
    shape: str
    picture: str
    events: int
    neurons: int
    per_row: int


@dataclass(frozen=True, eq=False)
class Sample:
    """One test image. index: in the test set; end: after how many steps early exit ends its run, None where it has no
    rule; picture: the URI of what the network sees, None for what is no image; scores: (T, classes), after each step.
    """

    index: int
    label: int
    answer: int
    end: int | None
    picture: str | None
    panels: list[Panel]
    scores: np.ndarray

    @property
    def right(self) -> bool:
        return self.answer == self.label


@dataclass(frozen=True, eq=False)
class Seen:
    """data: what the samples are. classes: their names. labels: (N,); course: what the readout says after each step;
    ends: (N,) steps with early exit, None without a rule. rates: by layer, 'input' first, (layers + 1, T), events per
    neuron and step. shown: samples in detail. health: what is wrong or wasted in all of them."""

    data: str
    classes: tuple[str, ...]
    labels: np.ndarray
    course: Course
    ends: np.ndarray | None
    rates: np.ndarray
    shown: list[Sample]
    health: Health

    @property
    def answers(self) -> np.ndarray:
        """Returns the class of each sample after all steps, (N,)."""
        return self.course.classes[:, -1]

    @property
    def confusion(self) -> np.ndarray:
        """Counts the samples by class and answer, (classes, classes)."""
        size = max(len(self.classes), int(self.answers.max(initial=0)) + 1)
        counts = np.zeros((size, size), np.int64)
        np.add.at(counts, (self.labels, self.answers), 1)
        return counts


def look(net: IntNet, samples: Samples, classes: tuple[str, ...], shown: int, most: int = SAMPLES) -> Seen:
    """Runs `net` on `most` of `samples`, which has at least one and knows the labels, and looks at `shown` in detail.

    They are taken from all over the set, in which classes may follow each other.
    """
    assert samples.labels is not None, "test images have labels"
    taken = np.unique(np.linspace(0, len(samples) - 1, min(most, len(samples))).round().astype(int))
    labels, data = samples.labels[taken], samples.data
    if len(taken) < len(samples):
        data = f"{len(taken):,} of the {len(samples):,} test images, evenly taken"
    courses: list[Course] = []
    watch = health.Watch(net)
    events = np.zeros((len(net.layers) + 1, samples.steps), np.int64)
    for indices in evaluation.in_blocks(taken, evaluation.block_of(net, samples.steps, False, _HELD)):
        run = evaluation.simulate(net, np.concatenate([samples.events(k, k + 1) for k in indices.tolist()]))
        courses.append(evaluation.course(net, run))
        watch.add(run, courses[-1])
        events += [np.count_nonzero(values, axis=(0, *range(2, values.ndim))) for _, values in _values(run)]
    course = evaluation.joined(courses)
    ends = None if net.early_exit is None else early_exit.stops(course, net.early_exit)[1]
    neurons = np.array([prod(net.input_shape), *(prod(layer.shape) for layer in net.layers)])
    rates = events / (neurons[:, None] * len(taken))
    answers = course.classes[:, -1]
    details = [
        _sample(net, samples, int(taken[k]), int(answers[k]), None if ends is None else int(ends[k]))
        for k in choose(labels, answers, shown)
    ]
    return Seen(data, classes, labels, course, ends, rates, details, watch.result())


def choose(labels: np.ndarray, answers: np.ndarray, most: int) -> list[int]:
    """Chooses `most` samples to show, in their order: a third wrong ones, or as many as there are; of as many classes
    as they can be of."""
    right, wrong = (_in_turn(np.flatnonzero(which), labels) for which in (labels == answers, labels != answers))
    kept = right[: max(round(most * _RIGHT_OF), most - len(wrong))]
    seen = set(labels[kept])
    wrong.sort(key=lambda index: labels[index] in seen)
    return sorted([*kept, *wrong[: most - len(kept)]])


def _in_turn(indices: np.ndarray, labels: np.ndarray) -> list[int]:
    """The first sample of each class, then all others, each in their order."""
    first = [int(indices[labels[indices] == label][0]) for label in np.unique(labels[indices])]
    return [*first, *(index for index in indices.tolist() if index not in set(first))]


def _values(run: SpikeTrace) -> Iterator[tuple[str, np.ndarray]]:
    yield "input", run.input
    for layer in run.layers:
        yield layer.name, layer.spikes


def _sample(net: IntNet, samples: Samples, index: int, answer: int, end: int | None) -> Sample:
    assert samples.labels is not None
    run = evaluation.simulate(net, samples.events(index, index + 1))
    last = evaluation.output(net, run) if net.readout.reads_v else run.layers[-1]
    pixels = samples.images[index] if isinstance(samples.images, np.ndarray) else run.input[0].sum(axis=0)
    return Sample(
        index=index,
        label=int(samples.labels[index]),
        answer=answer,
        end=end,
        picture=pictures.image(pixels),
        panels=[_panel(name, values[0]) for name, values in _values(run)],
        scores=early_exit.scores(net.readout, last.spikes, last.membrane)[0],
    )


def _panel(name: str, values: np.ndarray) -> Panel:
    """values: (T, *shape)."""
    flat = values.reshape(len(values), -1).T
    shape = "x".join(map(str, values.shape[1:]))
    picture = pictures.raster(flat, (ROWS, COLUMNS))
    return Panel(name, shape, picture, int(np.count_nonzero(flat)), len(flat), pictures.grouped(len(flat), ROWS))
