"""CubaLIF and CubaLI: tau_syn I' = -I + w_in S;  tau_mem v' = (v_leak - v) + R I; CubaLI never fires.

Forward Euler, the new I used in the same step, as snntorch and spikingjelly do: I = I (1 - e) + e w_in x, v = v (1 - d)
+ d r I + d v_leak with e = dt / tau_syn, d = dt / tau_mem. In units of an input's weight I is divided by e w_in, v by
e w_in d r.
"""

from __future__ import annotations

import numpy as np

from snnkd.formats.nir.graph import Node
from snnkd.formats.nir.real import RealNeuron
from snnkd.formats.nir.values import fraction, positive, spread, threshold_above_reset
from snnkd.ir.network import Shape


def neuron(node: Node, shape: Shape, dt: float) -> RealNeuron:
    """Returns the neurons. Raises FormatError as `leaky.neuron` does, also for tau_syn and w_in."""
    current, voltage = (fraction(node, name, shape, dt) for name in ("tau_syn", "tau_mem"))
    leak, w_in = spread(node, "v_leak", shape), np.ones(())
    if "w_in" in node.values:
        w_in = positive(node, "w_in", spread(node, "w_in", shape))
    gain = current * w_in * voltage * positive(node, "r", spread(node, "r", shape))
    if node.kind == "CubaLI":
        return RealNeuron(current, voltage, np.full((), np.inf), voltage * leak / gain)
    threshold, reset, notes = threshold_above_reset(node, shape)
    return RealNeuron(current, voltage, threshold / gain, voltage * (leak - reset) / gain, notes)
