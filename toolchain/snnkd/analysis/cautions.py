"""What makes a result say less than it seems to, as sentences for the user: silent layers, answers all alike or
no better than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from snnkd.analysis import proportion
from snnkd.ir.network import IntNet

Counts = Mapping[int, int]  # how many samples have, or got, each class; classes of none are left out


def silent(net: IntNet, events: Sequence[int]) -> list[int]:
    """Returns the numbers of the layers that no event leaves.

    A last layer that is read by its membrane need not fire, and is never among them. events: of the input and of each
    layer in order, as `SpikeTrace.events` counts them.
    """
    meant_to_fire = len(net.layers) - (net.readout.kind == "membrane")
    return [k for k in range(meant_to_fire) if events[k + 1] == 0]


def silent_layers(net: IntNet, events: Sequence[int], data: str) -> list[str]:
    """Returns a warning that names the layers of `net` that are silent on `data`, and why the first one is; [] where
    all fire.

    events: as `silent` takes them. data: what they came from, in words.
    """
    if events[0] == 0:
        return [f"the input holds no event in {data}: nothing that was measured there says anything about the network"]
    layers = silent(net, events)
    if not layers:
        return []
    names = ", ".join(net.names[k] for k in layers)
    if not net.layers[layers[0]].neuron.can_fire:
        cause = f"{net.names[layers[0]]} cannot fire, its threshold lies above all that v can be"
    else:
        cause = "lower its thresholds, or give --input with more events or steps"
    return [f"{names}: no neuron fires in {data}, so nothing is shown of its spikes; {cause}"]


def of_answers(answers: Counts, right: int, undecided: int, labels: Counts, data: str) -> list[str]:
    """Returns a warning for each reason for which answers hardly tell classes apart; [] where they do.

    answers, labels: how many samples got each class, and have it, as `counted` says it. right: how many got their own.
    undecided: in how many only the lower number of a class decided. data: what the samples are, in words.
    """
    samples, warnings = sum(answers.values()), of_accuracy(right, labels, data)
    if len(answers) == 1 and len(labels) > 1:
        warnings = [
            f"all {samples:,} answers on {data} are class {next(iter(answers))}, though there are {len(labels)} "
            "classes: the network tells nothing apart there; see its readout (--readout) and the range of its input"
        ]
    if 2 * undecided > samples:
        warnings.append(
            f"{undecided:,} of {samples:,} answers on {data} are ties, which the lower number of a class wins: more "
            "steps, or --readout membrane, would decide them"
        )
    return warnings


def of_accuracy(right: int, labels: Counts, data: str) -> list[str]:
    """Returns a warning where `right` right answers do not show that anything was learned: all samples are of one
    class, or the same answer to all of them would be right about as often.

    labels: how many samples have each class. data: what the samples are, in words.
    """
    samples = sum(labels.values())
    if samples < 2:
        return []
    commonest = max(labels, key=labels.__getitem__)
    if len(labels) == 1:
        text = (
            f"all {samples:,} labels of {data} are class {commonest}: an accuracy there says nothing of other classes"
        )
        return [text]
    most = labels[commonest]
    if proportion.interval(right, samples)[0] > most / samples:
        return []
    return [
        f"{right:,} of {samples:,} answers on {data} are right, which does not show that anything was learned: class "
        f"{commonest} for all of them is right in {most:,}"
    ]


def of_classes(classes: np.ndarray, undecided: np.ndarray, labels: np.ndarray, data: str) -> list[str]:
    """Returns the warnings of `of_answers`, from arrays (N,): the class of each sample, whether it was undecided, and
    its label."""
    right = int((classes == labels).sum())
    return of_answers(counted(classes), right, int(undecided.sum()), counted(labels), data)


def counted(classes: np.ndarray) -> dict[int, int]:
    """Counts how often each class is in `classes` (N,); those that are not are left out."""
    found, counts = np.unique(classes, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))
