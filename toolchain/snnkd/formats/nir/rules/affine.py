"""Affine and Linear: a dense layer. y = W x (+ b)."""

from __future__ import annotations

from math import prod

import numpy as np

from snnkd.formats.nir.graph import Node
from snnkd.formats.nir.real import RealDense
from snnkd.ir.network import Shape


def synapse(node: Node, shape: Shape, dt: float) -> RealDense:
    """Returns the dense layer. Raises FormatError where the weights do not fit what it reads, of any shape but (n,) or
    (n, 1, 1)."""
    weight = node.array("weight")
    if weight.ndim != 2 or 0 in weight.shape:
        raise node.error(f"weight: expected (O, I), found {weight.shape}")
    if len(shape) == 3 and prod(shape[1:]) != 1:
        raise node.error(f"reads {shape}, in NIR along the last axis only; put a Flatten node before it")
    if weight.shape[1] != prod(shape):
        raise node.error(f"weight: expected (O, {prod(shape)}) for inputs {shape}, found {weight.shape}")
    bias = node.array("bias").reshape(-1) if node.kind == "Affine" else np.zeros(1)
    if bias.size not in (1, len(weight)):
        raise node.error(f"bias: expected {len(weight)} values, found {bias.size}")
    return RealDense(weight, np.broadcast_to(bias, len(weight)))
