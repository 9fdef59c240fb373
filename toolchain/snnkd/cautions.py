"""What makes a result say less than it seems to, as sentences for the user: silent layers, answers all alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snnkd.network import IntNet


def silent(net: IntNet, events: Sequence[int]) -> list[int]:
    """Numbers of the layers that no event leaves, but for outputs that are read by their membrane, as those are meant.

    events: of the input and of each layer in order, as `SpikeTrace.events` counts them.
    """
    meant = len(net.layers) - (net.readout.kind == "membrane")
    return [k for k in range(meant) if events[k + 1] == 0]


def silent_layers(net: IntNet, events: Sequence[int], data: str) -> list[str]:
    """Names the layers of `net` that are silent on `data`, the first one with its cause; [] where all fire.

    events: as `silent` has them.
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
    """Says where answers tell classes hardly apart; [] where they do.

    answers: how many samples got each class. undecided: in how many only the lower number of a class decided. labels:
    how many classes the samples have. data: what they are.
    """
    samples, given = sum(answers), [k for k, count in enumerate(answers) if count]
    told = []
    if len(given) == 1 and labels > 1:
        told.append(
            f"all {samples:,} answers on {data} are class {given[0]}, though there are {labels} classes: the network "
            "tells nothing apart there; see its readout (--readout) and the range of its input"
        )
    if 2 * undecided > samples:
        told.append(
            f"{undecided:,} of {samples:,} answers on {data} are ties, which the lower number of a class wins: more "
            "steps, or --readout membrane, would decide them"
        )
    return told


def of_classes(classes: np.ndarray, undecided: np.ndarray, labels: np.ndarray, data: str) -> list[str]:
    """`of_answers` for arrays (N,): the class of each sample, whether it was undecided, and its label."""
    return of_answers(np.bincount(classes).tolist(), int(undecided.sum()), len(np.unique(labels)), data)
