"""IF and I: v' = R I, without a leak; I never fires.

Forward Euler gives v + dt r x. Where r is 1, sinabs and norse mean v + x.
"""

from __future__ import annotations

import numpy as np

from snnkd.formats.nir.graph import Node
from snnkd.formats.nir.real import RealNeuron
from snnkd.formats.nir.values import positive, spread, threshold_above_reset
from snnkd.ir.network import Shape


def gain(node: Node, shape: Shape, dt: float) -> np.ndarray:
    """Returns what an input of 1 adds to v. Raises FormatError for an r that is not above 0."""
    r = positive(node, "r", spread(node, "r", shape))
    return np.where(r == 1, 1.0, r * dt)


def neuron(node: Node, shape: Shape, dt: float) -> RealNeuron:
    """Returns neurons whose threshold is in units of the input: v / gain. Raises FormatError as `gain` does."""
    by = gain(node, shape, dt)
    if node.kind == "I":
        return RealNeuron(np.ones(()), np.zeros(()), np.full((), np.inf), np.zeros(()))
    threshold, _, notes = threshold_above_reset(node, shape)
    return RealNeuron(np.ones(()), np.zeros(()), threshold / by, np.zeros(()), notes)
