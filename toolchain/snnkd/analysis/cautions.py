"""What makes a result say less than it seems to, as sentences for the user: silent layers, answers all alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snnkd.ir.network import IntNet


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


def of_answers(answers: Sequence[int], undecided: int, labels: int, data: str) -> list[str]:
    """Returns a warning for each reason for which answers hardly tell classes apart; [] where they do.

    answers: how many samples got each class. undecided: in how many only the lower number of a class decided. labels:
    how many classes the samples have. data: what the samples are, in words.
    """
    samples, answered = sum(answers), [k for k, count in enumerate(answers) if count]
    warnings = []
    if len(answered) == 1 and labels > 1:
        warnings.append(
            f"all {samples:,} answers on {data} are class {answered[0]}, though there are {labels} classes: the "
            "network tells nothing apart there; see its readout (--readout) and the range of its input"
        )
    if 2 * undecided > samples:
        warnings.append(
            f"{undecided:,} of {samples:,} answers on {data} are ties, which the lower number of a class wins: more "
            "steps, or --readout membrane, would decide them"
        )
    return warnings


def of_classes(classes: np.ndarray, undecided: np.ndarray, labels: np.ndarray, data: str) -> list[str]:
    """Returns the warnings of `of_answers`, from arrays (N,): the class of each sample, whether it was undecided, and
    its label."""
    return of_answers(np.bincount(classes).tolist(), int(undecided.sum()), len(np.unique(labels)), data)
