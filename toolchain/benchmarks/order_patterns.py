"""The order task: classes that differ in when events come and in nothing else, a teacher, and how answers are scored.

64 input pixels in four groups of 16, which fire one group after the other; the classes are the four cyclic orders
(ABCD, BCDA, CDAB, DABC). In every sample every pixel sends exactly one event, so that counting events at an input, or
at all of them, says nothing of the class.

The teacher is an integer network that is built, not trained: its output o reads the group that comes first in class o,
and fires five times in a row from the step on at which more than half of that group has come. Each of its outputs fires
five times in every sample, whatever the class, so that its spike counts say nothing either: the class is in the order
of its spikes alone.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snnkd.data.datasets import Split
from snnkd.data.encoding import Encoding
from snnkd.ir.network import Cuba, Dense, IntNet

CLASSES = 4
SHAPE = (1, 8, 8)
STEPS = 20
CHANCE = 1 / CLASSES
ENCODING = Encoding("latency", STEPS)  # an intensity of 1 to 255 is one event, the brighter the earlier

_GROUP = 64 // CLASSES
_APART = 3  # steps from the first possible event of a group to that of the next one
_SPREAD = 7  # steps over which the events of one group are spread, at random
_MOST = 9  # of a group's 16 events: the 7 that are left over never make a neuron fire again
_BURST = 5  # spikes of an output; the last event comes at step 15, so that none of them is cut off


def samples(count: int, seed: int) -> Split:
    """`count` images (N, 1, 8, 8) for ENCODING, all classes in equal shares; group p % 4 of pixel p comes as number
    (p - class) % 4."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    place = (np.arange(_GROUP * CLASSES) - labels[:, None]) % CLASSES
    step = place * _APART + random.integers(0, _SPREAD, place.shape)
    intensity = 255 - (step * 256 + 128) // STEPS  # the middle of the intensities that latency encoding sends at `step`
    return Split(intensity.astype(np.uint8).reshape(count, *SHAPE), labels)


def teacher() -> IntNet:
    """Four integrators without a leak, five of each kind: they fire once, and their spikes reach the output of their
    group with delays of 0 to 4 steps."""
    first = np.repeat(np.arange(CLASSES), _BURST)  # the group that a hidden neuron reads, and its output
    reads = (first[:, None] == np.arange(_GROUP * CLASSES) % CLASSES).astype(np.int32)
    sends = (np.arange(CLASSES)[:, None] == first).astype(np.int32)
    delay = np.broadcast_to(np.tile(np.arange(_BURST, dtype=np.int32), CLASSES), sends.shape)
    layers = (Dense(2 * reads, _integrator(2 * _MOST - 1)), Dense(2 * sends, _integrator(1), delay=delay))
    return IntNet(SHAPE, layers, steps=STEPS)


def _integrator(threshold: int) -> Cuba:
    current, voltage, above = (np.array(value, dtype=np.int32) for value in (4096, 0, threshold))
    return Cuba(current, voltage, above)


def renamed(net: IntNet, by: int) -> IntNet:
    """`net` with output o as output (o + by) % 4: the same spikes, and the same task with other names of classes."""
    (*before, last) = net.layers
    assert isinstance(last, Dense)
    return replace(net, layers=(*before, replace(last, weight=np.roll(last.weight, by, axis=0))))


def score(spikes: np.ndarray, labels: np.ndarray) -> float:
    """Accuracy of output spikes (N, T, classes) where the answer is the neuron that fires first.

    Neurons that fire first together, or all where none fires, share the answer: each counts 1 / their number, which is
    the mean accuracy of drawing one of them.
    """
    late = np.full_like(spikes[:, :1], 1)  # a neuron that never fires comes last
    first = np.concatenate([spikes, late], axis=1).argmax(axis=1)
    answers = first == first.min(axis=1, keepdims=True)
    return float((answers[np.arange(len(labels)), labels] / answers.sum(axis=1)).mean())
