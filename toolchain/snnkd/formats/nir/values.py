"""Parameters of neurons, spread over their shape, and what all rules of neurons ask of them."""

from __future__ import annotations

from math import prod

import numpy as np

from snnkd.formats.nir.graph import Node
from snnkd.ir.network import Shape


def spread(node: Node, name: str, shape: Shape) -> np.ndarray:
    """Returns a parameter that broadcasts over `shape`: of shape (), (C, 1, 1) or `shape`.

    It may be one number, one for each neuron, or one for each channel. Raises FormatError for others.
    """
    values = node.array(name)
    if values.size == 1:
        return values.reshape(())
    if values.size == prod(shape):
        return values.reshape(shape)
    if len(shape) == 3 and values.size == shape[0]:
        return values.reshape(shape[0], 1, 1)
    raise node.error(f"{name}: {values.shape} fits neither neurons of shape {shape} nor their channels")


def fraction(node: Node, name: str, shape: Shape, dt: float) -> np.ndarray:
    """Returns dt / tau, what a state loses in a step, in [0, 1]. Raises FormatError for a tau below dt."""
    tau = spread(node, name, shape)
    if tau.min() <= 0:
        raise node.error(f"{name}: expected seconds above 0, found {tau.min():g}")
    decay = dt / tau
    if decay.max() > 1 + 1e-6:
        raise node.error(
            f"{name}: {tau.min():g} s is shorter than the time step, {dt:g} s; give the file's own with --dt (norse "
            "writes its time constants divided by its dt of 1e-3: --dt 1e-6)"
        )
    return np.minimum(decay, 1.0)


def positive(node: Node, name: str, values: np.ndarray) -> np.ndarray:
    """Returns `values`. Raises FormatError where one is not above 0."""
    if values.min() <= 0:
        raise node.error(
            f"{name}: expected values above 0, found {values.min():g}: its neurons would turn signs around"
        )
    return values


def threshold_above_reset(node: Node, shape: Shape) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Returns (threshold - v_reset, v_reset, notes): what is left of both where v is counted from v_reset.

    Raises FormatError where the threshold lies below v_reset: such neurons fire for ever.
    """
    threshold = spread(node, "v_threshold", shape)
    if "v_reset" not in node.values:
        return _checked(node, threshold), np.zeros(()), ("v_reset is missing: taken as 0, a reset to zero",)
    reset = spread(node, "v_reset", shape)
    notes = ("v is counted from v_reset, and starts there",) if reset.any() else ()
    return _checked(node, threshold - reset), reset, notes


def _checked(node: Node, threshold: np.ndarray) -> np.ndarray:
    if threshold.min() < 0:
        raise node.error(f"v_threshold: lies {-threshold.min():g} below v_reset: its neurons would fire at every step")
    return threshold
