"""Conv1d and Conv2d: a convolution; Conv1d reads (C, L) as an image of one row, (C, 1, L)."""

from __future__ import annotations

import numpy as np

from snnkd.formats.nir.graph import Node
from snnkd.formats.nir.real import RealConv
from snnkd.ir.network import Shape


def synapse(node: Node, shape: Shape, dt: float) -> RealConv:
    """Returns the convolution. Raises FormatError where weights, stride, padding, dilation, groups and input do not go
    together."""
    weight, stride, dilation = node.array("weight"), node.pair("stride", 1), node.pair("dilation", 1)
    if node.kind == "Conv1d" and weight.ndim == 3:
        weight, stride, dilation = weight[:, :, None], (1, stride[1]), (1, dilation[1])
    if weight.ndim != 4 or 0 in weight.shape:
        raise node.error(f"weight: expected (O, C / groups, kernel), found {weight.shape}")
    if len(shape) == 1:
        shape = (shape[0], 1, 1)
    groups = node.integers("groups", 1)[0]
    if weight.shape[1] * groups != shape[0] or len(weight) % groups:
        raise node.error(f"weight: shape {weight.shape} with groups {groups} does not fit inputs {shape}")
    bias = node.array("bias").reshape(-1)
    if bias.size not in (1, len(weight)):
        raise node.error(f"bias: expected {len(weight)} values, found {bias.size}")
    padding = _padding(node, weight.shape[2:], stride, dilation)
    conv = RealConv(weight, np.broadcast_to(bias, len(weight)), shape, stride, padding, dilation, groups)
    if min(conv.shape) < 1:
        raise node.error(f"its kernel is larger than its padded input {shape}")
    return conv


def _padding(
    node: Node, kernel: tuple[int, ...], stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[int, int]:
    value = node.values["padding"]
    if not isinstance(value, str):
        pair = node.pair("padding", 0)
        return (0, pair[1]) if node.kind == "Conv1d" else pair
    if value == "valid":
        return 0, 0
    spread = [gap * (size - 1) for gap, size in zip(dilation, kernel, strict=True)]
    if value != "same" or stride != (1, 1) or any(extent % 2 for extent in spread):
        raise node.error(
            f"padding: '{value[:32]}' of kernel {kernel} at stride {stride} differs between sides; give numbers"
        )
    return spread[0] // 2, spread[1] // 2
