"""SumPool2d and AvgPool2d: a convolution of each channel with equal weights, 1 or 1 / (kH kW).

It is folded into the synapse before or behind it; alone before neurons, it is a grouped convolution.
"""

from __future__ import annotations

import numpy as np

from snnkd.formats.nir.graph import Node
from snnkd.formats.nir.real import RealConv
from snnkd.ir.network import Shape


def synapse(node: Node, shape: Shape, dt: float) -> RealConv:
    """Returns the convolution with groups = C. Padding counts as zeros, in an average too (PyTorch's default). Raises
    FormatError for inputs that are no (C, H, W), or smaller than its window."""
    if len(shape) != 3:
        raise node.error(f"reads {shape}, expected (C, H, W)")
    kernel, stride, padding = node.pair("kernel_size", 1), node.pair("stride", 1), node.pair("padding", 0)
    if kernel[0] > shape[1] + 2 * padding[0] or kernel[1] > shape[2] + 2 * padding[1]:
        raise node.error(f"its window {kernel} is larger than its padded input {shape}")
    weight = np.ones((shape[0], 1, *kernel))
    if node.kind == "AvgPool2d":
        weight /= kernel[0] * kernel[1]
    return RealConv(weight, np.zeros(shape[0]), shape, stride, padding, groups=shape[0])
