"""LIF and LI: tau v' = (v_leak - v) + R I; LI never fires.

Forward Euler: v = v (1 - d) + d r x + d v_leak with d = dt / tau. In units of an input's weight, v is divided by d r:
the threshold is too, and v_leak becomes a bias. v is counted from v_reset.
"""

from __future__ import annotations

import numpy as np

from snnkd.formats.nir.graph import Node
from snnkd.formats.nir.real import RealNeuron
from snnkd.formats.nir.values import fraction, positive, spread, threshold_above_reset
from snnkd.ir.network import Shape


def neuron(node: Node, shape: Shape, dt: float) -> RealNeuron:
    """Returns the neurons. Raises FormatError for a tau shorter than dt, an r that is not above 0, or a threshold below
    v_reset."""
    decay, leak = fraction(node, "tau", shape, dt), spread(node, "v_leak", shape)
    gain = decay * positive(node, "r", spread(node, "r", shape))
    if node.kind == "LI":
        return RealNeuron(np.ones(()), decay, np.full((), np.inf), decay * leak / gain)
    threshold, reset, notes = threshold_above_reset(node, shape)
    return RealNeuron(np.ones(()), decay, threshold / gain, decay * (leak - reset) / gain, notes)
