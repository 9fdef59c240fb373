"""Scale: y = s x, elementwise; folded into the weights before or behind it."""

from __future__ import annotations

import numpy as np

from snnkd.formats.nir.graph import Node
from snnkd.formats.nir.real import RealConv, RealDense, Synapse
from snnkd.formats.nir.values import spread
from snnkd.ir.network import Shape

_LARGEST = 4096  # values whose factors are a matrix


def synapse(node: Node, shape: Shape, dt: float) -> Synapse:
    """Returns the linear step. Raises FormatError where the factors of pixels of one channel differ: a kernel is the
    same for all of them."""
    factors = np.broadcast_to(spread(node, "scale", shape), shape)
    if len(shape) == 1:
        if shape[0] > _LARGEST:
            raise node.error(
                f"scale: {shape[0]:,} flat values, more than {_LARGEST:,}; scale before they are flattened"
            )
        return RealDense(np.diag(factors), np.zeros(shape))
    by_channel = factors[:, :1, :1]
    if (factors != by_channel).any():
        raise node.error("scale: differs between pixels of a channel, which no convolution does; scale by channel")
    return RealConv(by_channel[:, None], np.zeros(shape[0]), shape, groups=shape[0])
