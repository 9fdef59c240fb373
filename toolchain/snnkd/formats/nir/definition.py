"""What a NIR graph computes, in float64: the formula of each primitive by forward Euler, node by node.

Rules and integers are compared with this. It knows neither: no node is folded into another, no number is rounded. The
states start at v_reset, or 0 where there is none; a spike is 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from snnkd.formats.nir.graph import Graph, Node
from snnkd.formats.nir.real import RealConv, correlated
from snnkd.formats.nir.rules import conv, integrate, pool
from snnkd.formats.nir.values import fraction, spread
from snnkd.ir.network import Shape

Signal = np.ndarray  # (N, T, *shape) float64


@dataclass(frozen=True, eq=False)
class Activity:
    """What the nodes of a graph gave on some events.

    signals: (N, T, *shape) of each node by name: spikes of neurons, v of those that never fire.
    """

    signals: dict[str, Signal]


def run(graph: Graph, events: np.ndarray, dt: float) -> Activity:
    """Runs `graph` on events (N, T, C, H, W), (N, T, C, 1, L) for (C, L), or (N, T, features), with steps of `dt` s.

    Raises FormatError for a loop, and for numbers that do not fit each other.
    """
    signals: dict[str, Signal] = {}
    for node in graph.ordered():
        read = [signals[name] for name in graph.before(node.name)]
        if node.kind == "Input":
            signals[node.name] = events.astype(np.float64)
        elif not read:
            raise node.error("reads nothing")
        else:
            signals[node.name] = FORMULAS[node.kind](node, _sum(node, read), dt)
    return Activity(signals)


def _sum(node: Node, read: list[Signal]) -> Signal:
    size = prod(read[0].shape[2:])
    if any(prod(signal.shape[2:]) != size for signal in read):
        raise node.error("reads nodes of different shapes")
    return sum((signal.reshape(read[0].shape) for signal in read[1:]), read[0])


def _affine(node: Node, x: Signal, dt: float) -> Signal:
    """y = W x + b."""
    y = x.reshape(*x.shape[:2], -1) @ node.array("weight").T
    return y + node.array("bias").reshape(-1) if node.kind == "Affine" else y


def _convolution(node: Node, x: Signal, dt: float) -> Signal:
    """y = W * x + b."""
    shape = x.shape[2:] if x.ndim == 5 else (x.shape[2], 1, 1)
    return _by_image(conv.synapse(node, shape, dt), x)


def _pooled(node: Node, x: Signal, dt: float) -> Signal:
    """The sum or the mean of a window."""
    window = pool.synapse(node, x.shape[2:], dt)
    share = 1.0 if node.kind == "SumPool2d" else 1 / prod(window.weight.shape[2:])
    return share * _by_image(replace(window, weight=np.ones_like(window.weight)), x)


def _by_image(convolution: RealConv, x: Signal) -> Signal:
    samples, steps = x.shape[:2]
    return correlated(convolution, x.reshape(-1, *convolution.reads)).reshape(samples, steps, *convolution.shape)


def _flat(node: Node, x: Signal, dt: float) -> Signal:
    return x.reshape(*x.shape[:2], -1)


def _scaled(node: Node, x: Signal, dt: float) -> Signal:
    """y = s x."""
    return x * spread(node, "scale", x.shape[2:])


def _delayed(node: Node, x: Signal, dt: float) -> Signal:
    """y(t) = x(t - delay)."""
    steps = np.broadcast_to(np.rint(spread(node, "delay", x.shape[2:]) / dt), x.shape[2:]).astype(np.int64)
    y = np.zeros_like(x)
    for wait in np.unique(steps):
        late = x[:, : max(x.shape[1] - wait, 0)]
        y[:, wait:] += np.where(steps == wait, late, 0)
    return y


def _threshold(node: Node, x: Signal, dt: float) -> Signal:
    """1 where x > threshold."""
    return (x > spread(node, "threshold", x.shape[2:])).astype(np.float64)


def _integrated(node: Node, x: Signal, dt: float) -> Signal:
    """v' = R I."""
    gain = integrate.gain(node, x.shape[2:], dt)
    return _stepped(node, x, lambda v, now: v + gain * now)


def _leaky(node: Node, x: Signal, dt: float) -> Signal:
    """tau v' = (v_leak - v) + R I."""
    shape = x.shape[2:]
    part, leak, r = fraction(node, "tau", shape, dt), spread(node, "v_leak", shape), spread(node, "r", shape)
    return _stepped(node, x, lambda v, now: v + part * (leak - v + r * now))


def _cuba(node: Node, x: Signal, dt: float) -> Signal:
    """tau_syn I' = -I + w_in S, then tau_mem v' = (v_leak - v) + R I."""
    shape = x.shape[2:]
    part, leak, r = fraction(node, "tau_mem", shape, dt), spread(node, "v_leak", shape), spread(node, "r", shape)
    w_in = spread(node, "w_in", shape) if "w_in" in node.values else 1.0
    current, fast = np.zeros((len(x), *shape)), fraction(node, "tau_syn", shape, dt)

    def step(v: np.ndarray, now: np.ndarray) -> np.ndarray:
        nonlocal current
        current = current + fast * (w_in * now - current)
        return v + part * (leak - v + r * current)

    return _stepped(node, x, step)


def _stepped(node: Node, x: Signal, step: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Signal:
    """What neurons give: spikes where v > v_threshold, and v = v_reset; v itself where they have no threshold."""
    shape: Shape = x.shape[2:]
    fires = "v_threshold" in node.values
    threshold = spread(node, "v_threshold", shape) if fires else None
    reset = spread(node, "v_reset", shape) if fires and "v_reset" in node.values else np.zeros(())
    v, y = np.broadcast_to(reset, (len(x), *shape)), np.zeros(x.shape)
    for t in range(x.shape[1]):
        v = step(v, x[:, t])
        if threshold is None:
            y[:, t] = v
        else:
            y[:, t] = v > threshold
            v = np.where(y[:, t] > 0, reset, v)
    return y


FORMULAS: dict[str, Callable[[Node, Signal, float], Signal]] = {
    "Output": lambda node, x, dt: x,
    "Affine": _affine,
    "Linear": _affine,
    "Conv1d": _convolution,
    "Conv2d": _convolution,
    "SumPool2d": _pooled,
    "AvgPool2d": _pooled,
    "Flatten": _flat,
    "Scale": _scaled,
    "Delay": _delayed,
    "Threshold": _threshold,
    "I": _integrated,
    "IF": _integrated,
    "LI": _leaky,
    "LIF": _leaky,
    "CubaLI": _cuba,
    "CubaLIF": _cuba,
}
