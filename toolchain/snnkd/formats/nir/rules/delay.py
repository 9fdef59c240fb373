"""Delay: y(t) = x(t - delay), elementwise; becomes the delays of a dense layer's synapses, in whole steps."""

from __future__ import annotations

from math import prod

import numpy as np

from snnkd.formats.nir.graph import Node
from snnkd.formats.nir.real import Wait
from snnkd.formats.nir.values import spread
from snnkd.ir.arithmetic import DELAY_MAX
from snnkd.ir.network import Shape


def synapse(node: Node, shape: Shape, dt: float) -> Wait:
    """Returns the step on flat values. Raises FormatError for delays that are no whole steps in [0, 62], and behind a
    convolution, whose synapses have none."""
    if len(shape) == 3 and prod(shape[1:]) != 1:
        raise node.error(f"delays {shape}: only synapses of dense layers have delays; flatten before it")
    seconds = np.broadcast_to(spread(node, "delay", shape), shape).reshape(-1)
    steps = np.rint(seconds / dt)
    if (np.abs(seconds / dt - steps) > 1e-3).any() or steps.min() < 0 or steps.max() > DELAY_MAX:
        raise node.error(
            f"delay: expected whole steps of {dt:g} s, 0 to {DELAY_MAX}, found {seconds.min():g} to {seconds.max():g} "
            "(--dt is the time step)"
        )
    return Wait(steps.astype(np.int64))
