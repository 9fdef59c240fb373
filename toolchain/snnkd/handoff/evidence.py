"""What a bundle's figures are measured on, and these figures: of the integer network, by the fast engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnkd import cautions, early_exit, evaluation, trace
from snnkd.early_exit import Course
from snnkd.errors import FormatError
from snnkd.handoff.manifest import Accuracy, Work
from snnkd.network import IntNet

GOLDEN_SAMPLES = 16


@dataclass(frozen=True, eq=False)
class Evidence:
    """Events (N, T, *input_shape) that a network is measured on; `data` says what they are.

    labels: (N,) integers, or None where nobody knows the classes: then there is no accuracy. images: (M, C, H, W)
    uint8, what the first M events are encoded from, at least GOLDEN_SAMPLES of them, or None where events came as such.
    """

    data: str
    events: np.ndarray
    labels: np.ndarray | None = None
    images: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.labels is None:
            return
        if self.labels.shape != (len(self.events),) or self.labels.dtype.kind not in "iu":
            raise FormatError(
                f"labels: expected ({len(self.events)},) integers, one for each sample, found {self.labels.dtype} "
                f"{self.labels.shape}"
            )


def measure(net: IntNet, evidence: Evidence) -> tuple[Accuracy | None, Work, list[str]]:
    """Measures the accuracy where there are labels, and the work of an inference, over all samples; with what these
    figures do not show, as sentences."""
    samples, steps = evidence.events.shape[:2]
    found = evaluation.profile(net, evidence.events, [], evidence.data)
    rows = {row["name"]: row for row in found["layers"]}
    layers = [row for name, row in rows.items() if name != "input"]
    work = Work(
        data=evidence.data,
        samples=samples,
        steps=steps,
        input_events=rows["input"]["spikes"] / samples,
        spikes=sum(row["spikes"] for row in layers) / samples,
        synops=sum(row["synops"] for row in layers) / samples,
        synops_most=_synops_most(net) * steps,
        updates=net.neurons * steps,
        early_exit_steps=found["early_exit"]["steps"] if "early_exit" in found else None,
    )
    accuracy, doubts = _accuracy(net, evidence)
    return accuracy, work, [*found["warnings"], *doubts]


def _accuracy(net: IntNet, evidence: Evidence) -> tuple[Accuracy | None, list[str]]:
    if evidence.labels is None:
        return None, []
    courses, undecided = [], []
    for run in evaluation.blocks(net, evidence.events):
        courses.append(evaluation.course(net, run))
        undecided.append(run.undecided(net))
    course = Course(*(np.concatenate([getattr(part, key) for part in courses]) for key in ("classes", "lead")))
    sooner = None if net.early_exit is None else early_exit.stops(course, net.early_exit)[0]
    accuracy = Accuracy(
        data=evidence.data,
        samples=len(evidence.events),
        integer=course.accuracy(evidence.labels)[-1],
        early_exit=None if sooner is None else float((sooner == evidence.labels).mean()),
    )
    samples = f"the {len(evidence.events):,} samples"
    return accuracy, cautions.of_classes(course.classes[:, -1], np.concatenate(undecided), evidence.labels, samples)


def _synops_most(net: IntNet) -> int:
    """Synops of one step in which every input and neuron sends an event."""
    return sum(int(trace.fan_out(layer, shape)[0].sum()) for _, shape, layer in net.inputs())
