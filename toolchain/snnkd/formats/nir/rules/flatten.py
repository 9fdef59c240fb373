"""Flatten: all axes as one, in the order (C, H, W)."""

from __future__ import annotations

from math import prod

from snnkd.formats.nir.graph import Node
from snnkd.formats.nir.real import Reshape
from snnkd.ir.network import Shape


def synapse(node: Node, shape: Shape, dt: float) -> Reshape:
    """Returns the flat shape. Files count axes with or without the batch (start_dim 0 or 1). Raises FormatError where
    some axes stay."""
    start, end = node.integers("start_dim", -8, 8)[0], node.integers("end_dim", -8, 8)[0]
    last = (-1, len(shape) - 1, len(shape)) if len(shape) == 3 else (-1, 0, 1, 2)
    if start not in (0, 1, -len(shape)) or end not in last:
        raise node.error(f"start_dim {start}, end_dim {end}: only flattening all of {shape} is supported")
    return Reshape((prod(shape),))
