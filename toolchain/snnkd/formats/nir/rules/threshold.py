"""Threshold: a spike where x > threshold, without memory: a neuron whose states are gone after each step."""

from __future__ import annotations

import numpy as np

from snnkd.formats.nir.graph import Node
from snnkd.formats.nir.real import RealNeuron
from snnkd.formats.nir.values import spread
from snnkd.ir.network import Shape


def neuron(node: Node, shape: Shape, dt: float) -> RealNeuron:
    """Returns the neurons. Raises FormatError for a threshold below 0: with no input, they would fire for ever."""
    threshold = spread(node, "threshold", shape)
    if threshold.min() < 0:
        raise node.error(f"threshold: expected values of at least 0, found {threshold.min():g}")
    return RealNeuron(np.ones(()), np.ones(()), threshold, np.zeros(()))
