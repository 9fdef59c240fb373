"""The network that a NIR graph says, in real numbers: one layer of neurons behind the other, as the integer network has
them, and the linear steps between two of them as one synapse.

All arrays are float64; shapes are (C, H, W) or (features,).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from snnkd.ir.network import Shape, conv_size

Pair = tuple[int, int]
_MAX_ELEMENTS = 1 << 24  # of one synapse


class Inexact(Exception):
    """Two linear steps have no form as one synapse; says why."""


@dataclass(frozen=True, eq=False)
class RealDense:
    """y = weight @ x + bias. weight: (O, I); bias: (O,); delay: (O, I) steps, None for none; shapes of x and y."""

    weight: np.ndarray
    bias: np.ndarray
    delay: np.ndarray | None = None

    @property
    def shape(self) -> Shape:
        """The shape of y."""
        return (len(self.weight),)


@dataclass(frozen=True, eq=False)
class RealConv:
    """Cross-correlation of (C, H, W). weight: (O, C / groups, kH, kW); bias: (O,); reads: (C, H, W) of its input."""

    weight: np.ndarray
    bias: np.ndarray
    reads: Shape
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    @property
    def shape(self) -> Shape:
        """The shape (O, H, W) of the output."""
        size = conv_size(self.reads[1:], self.weight.shape[2:], self.stride, self.padding, self.dilation)
        return (len(self.weight), *size)


@dataclass(frozen=True)
class Reshape:
    """The same values in another shape: flattened."""

    shape: Shape


@dataclass(frozen=True, eq=False)
class Wait:
    """The same values later: delay (n,) steps of each, in the order (C, H, W)."""

    delay: np.ndarray

    @property
    def shape(self) -> Shape:
        """The shape of what it gives: flat."""
        return (len(self.delay),)


Synapse = RealDense | RealConv


@dataclass(frozen=True, eq=False)
class RealNeuron:
    """u = u * (1 - current_decay) + input;  v = v * (1 - voltage_decay) + u + leak;  a spike and v = 0 where v >
    threshold. Each of shape () or the layer's; threshold is infinite where neurons never fire.

    notes: what was assumed, for the report.
    """

    current_decay: np.ndarray
    voltage_decay: np.ndarray
    threshold: np.ndarray
    leak: np.ndarray
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class RealLayer:
    """A layer. name: that of the node of its neurons; nodes: all that it is made of; notes: what the rules say."""

    name: str
    nodes: tuple[str, ...]
    synapse: Synapse
    neuron: RealNeuron
    shape: Shape
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class RealNet:
    """All layers in order. input_shape: as the integer network has it; dt: seconds of a step, `why` it is that."""

    file: str
    input_shape: Shape
    layers: tuple[RealLayer, ...]
    dt: float
    why: str
    steps: int | None = None
    notes: tuple[str, ...] = ()


def identity(shape: Shape) -> Synapse:
    """Returns the synapse that hands its input on. Raises Inexact where that is too large."""
    if len(shape) == 3:
        return RealConv(np.ones((shape[0], 1, 1, 1)), np.zeros(shape[0]), shape, groups=shape[0])
    _check_size("one dense layer", shape[0], shape[0])
    return RealDense(np.eye(shape[0]), np.zeros(shape[0]))


def _check_size(what: str, *extents: int) -> None:
    if prod(extents) > _MAX_ELEMENTS:
        raise Inexact(f"{what} of {' x '.join(f'{extent:,}' for extent in extents)} weights, more than 2^24")


def simplified(synapse: Synapse) -> Synapse:
    """Returns a convolution whose kernel is as large as its input as the dense layer that it is."""
    if isinstance(synapse, RealDense):
        return synapse
    whole = synapse.weight.shape[2:] == synapse.reads[1:] and synapse.dilation == (1, 1)
    if not whole or synapse.padding != (0, 0) or synapse.groups != 1:
        return synapse
    return RealDense(synapse.weight.reshape(len(synapse.weight), -1), synapse.bias)


def composed(first: Synapse | Wait | None, second: Synapse | Wait | Reshape) -> Synapse | Wait | None:
    """Returns the one step that does `first`, then `second`; None does nothing. Raises Inexact where there is none.

    What lies flat is read in the order (C, H, W).
    """
    if isinstance(second, Reshape):
        return _flattened(first) if isinstance(first, RealConv) else first
    if first is None:
        return second
    if isinstance(second, Wait):
        return Wait(first.delay + second.delay) if isinstance(first, Wait) else _later(_flattened(first), second)
    if isinstance(second, RealConv):
        if not isinstance(first, RealConv):
            raise Inexact("a convolution behind delays or a dense layer, without neurons between them")
        return _conv_of_conv(first, second)
    if isinstance(first, Wait):
        return RealDense(second.weight, second.bias, np.broadcast_to(first.delay, second.weight.shape))
    return _dense_of_dense(_flattened(first), second)


def finished(step: Synapse | Wait | None, shape: Shape) -> Synapse:
    """Returns the synapse that a step on a signal of `shape` is. Raises Inexact where that is too large."""
    if isinstance(step, Wait):
        same = identity((prod(shape),))
        assert isinstance(same, RealDense)
        return _later(same, step)
    return identity(shape) if step is None else step


def _later(dense: RealDense, wait: Wait) -> RealDense:
    before = 0 if dense.delay is None else dense.delay
    return replace(dense, delay=np.broadcast_to(before + wait.delay[:, None], dense.weight.shape))


def summed(synapses: list[Synapse]) -> Synapse:
    """Returns the one synapse that adds up what all of them do with the same input. Raises Inexact where there is
    none: each connection can have one delay only."""
    total = synapses[0]
    for other in synapses[1:]:
        if isinstance(total, RealConv) and isinstance(other, RealConv) and _same_grid(total, other):
            total = replace(total, weight=total.weight + other.weight, bias=total.bias + other.bias)
        else:
            total = _sum_of_dense(_flattened(total), _flattened(other))
    return total


def _same_grid(a: RealConv, b: RealConv) -> bool:
    return all(getattr(a, key) == getattr(b, key) for key in ("reads", "stride", "padding", "dilation", "groups")) and (
        a.weight.shape == b.weight.shape
    )


def _sum_of_dense(a: RealDense, b: RealDense) -> RealDense:
    delays = [np.zeros(s.weight.shape, np.int64) if s.delay is None else s.delay for s in (a, b)]
    both = (a.weight != 0) & (b.weight != 0) & (delays[0] != delays[1])
    if both.any():
        raise Inexact("a connection with several delays")
    delay = np.where(a.weight != 0, delays[0], delays[1])
    return RealDense(a.weight + b.weight, a.bias + b.bias, delay if delay.any() else None)


def _dense_of_dense(first: RealDense, second: RealDense) -> RealDense:
    if first.delay is not None:
        raise Inexact("a delay between two dense layers without neurons between them")
    _check_size("one dense layer", len(second.weight), first.weight.shape[1])
    weight, bias = second.weight @ first.weight, second.weight @ first.bias + second.bias
    return RealDense(weight, bias)


def _flattened(synapse: Synapse) -> RealDense:
    """A convolution as the dense layer that reads and gives flattened values."""
    if isinstance(synapse, RealDense):
        return synapse
    (out, rows, columns), (channels, high, wide) = synapse.shape, synapse.reads
    (top, left), (down, right) = synapse.padding, synapse.stride
    padded = (out, rows, columns, channels, high + 2 * top, wide + 2 * left)
    _check_size("one dense layer", *padded)
    matrix, weight = np.zeros(padded), _ungrouped(synapse)
    y, x = np.ogrid[:rows, :columns]
    for row, column in np.ndindex(*weight.shape[2:]):
        seen = y * down + row * synapse.dilation[0], x * right + column * synapse.dilation[1]
        matrix[:, y, x, :, seen[0], seen[1]] += weight[:, :, row, column]
    matrix = matrix[..., top : top + high, left : left + wide].reshape(out * rows * columns, -1)
    return RealDense(matrix, np.repeat(synapse.bias, rows * columns))


def correlated(conv: RealConv, images: np.ndarray) -> np.ndarray:
    """Computes the convolution of images (N, C, H, W): (N, O, H, W) float64."""
    high, wide = conv.padding
    padded = np.pad(images.astype(np.float64), ((0, 0), (0, 0), (high, high), (wide, wide)))
    out, rows, columns = conv.shape
    grouped = padded.reshape(len(images), conv.groups, -1, *padded.shape[2:])
    weight = conv.weight.reshape(conv.groups, out // conv.groups, *conv.weight.shape[1:])
    sums = np.zeros((len(images), conv.groups, out // conv.groups, rows, columns))
    for row in range(weight.shape[3]):
        for column in range(weight.shape[4]):
            top, left = row * conv.dilation[0], column * conv.dilation[1]
            seen = grouped[
                ...,
                top : top + conv.stride[0] * (rows - 1) + 1 : conv.stride[0],
                left : left + conv.stride[1] * (columns - 1) + 1 : conv.stride[1],
            ]
            sums += np.einsum("ngchw,goc->ngohw", seen, weight[:, :, :, row, column], optimize=True)
    return sums.reshape(len(images), out, rows, columns) + conv.bias[:, None, None]


def _conv_of_conv(first: RealConv, second: RealConv) -> RealConv:
    """The kernel that sees through both: output i of `second` reads output i * s2 + a * d2 - p2 of `first`, which reads
    pixel j * s1 + b * d1 - p1."""
    _check_border(first, second)
    kernel = tuple(
        s1 * d2 * (k2 - 1) + d1 * (k1 - 1) + 1
        for s1, d1, k1, d2, k2 in zip(
            first.stride, first.dilation, first.weight.shape[2:], second.dilation, second.weight.shape[2:], strict=True
        )
    )
    _check_size("one convolution", second.shape[0], first.reads[0], *kernel)
    depthwise = first.groups == second.groups == first.reads[0] == first.shape[0]
    a, b = (_ungrouped(first), _ungrouped(second)) if not depthwise else (first.weight, second.weight)
    weight = np.zeros((len(b), a.shape[1], *kernel))
    for row, column in np.ndindex(*second.weight.shape[2:]):
        top, left = row * second.dilation[0] * first.stride[0], column * second.dilation[1] * first.stride[1]
        for y, x in np.ndindex(*first.weight.shape[2:]):
            at = (top + y * first.dilation[0], left + x * first.dilation[1])
            tap = a[:, :, y, x]
            if depthwise:
                tap = tap.repeat(len(b) // len(a), axis=0) * b[:, :, row, column]
            else:
                tap = b[:, :, row, column] @ tap
            weight[:, :, at[0], at[1]] += tap
    through = _ungrouped(second).sum(axis=(2, 3)) @ first.bias
    folded = RealConv(
        weight,
        second.bias + through,
        first.reads,
        _pair(s1 * s2 for s1, s2 in zip(first.stride, second.stride, strict=True)),
        _pair(p1 + s1 * p2 for p1, s1, p2 in zip(first.padding, first.stride, second.padding, strict=True)),
        groups=first.groups if depthwise else 1,
    )
    if folded.shape != second.shape:
        raise Inexact(f"folded into one convolution, it gives {folded.shape[1:]} pixels, not {second.shape[1:]}")
    return folded


def _pair(values: Iterable[int]) -> Pair:
    high, wide = values
    return high, wide


def _check_border(first: RealConv, second: RealConv) -> None:
    """What `second` pads with zeros must be what `first` gives beyond its border: no weight of its own may see a
    pixel there."""
    if second.padding == (0, 0):
        return
    if first.bias.any():
        raise Inexact("the next convolution pads with zeros, where this one would give its bias")
    for size, out, s, p, d, k, pad in zip(
        first.reads[1:],
        first.shape[1:],
        first.stride,
        first.padding,
        first.dilation,
        first.weight.shape[2:],
        second.padding,
        strict=True,
    ):
        reach = d * (k - 1)
        if pad and (reach >= s + p or out * s < size + p):
            raise Inexact(
                f"the next convolution pads by {pad}, and there windows of {reach + 1} at a stride of {s} would see "
                f"pixels of the {size}; use a stride of the window's size and sizes that it divides, or no padding"
            )


def _ungrouped(conv: RealConv) -> np.ndarray:
    """(O, C, kH, kW) weights, with zeros between the groups."""
    out, part = conv.weight.shape[:2]
    _check_size("one convolution", out, part * conv.groups, *conv.weight.shape[2:])
    full = np.zeros((out, part * conv.groups, *conv.weight.shape[2:]))
    for group in range(conv.groups):
        rows = slice(group * out // conv.groups, (group + 1) * out // conv.groups)
        full[rows, group * part : (group + 1) * part] = conv.weight[rows]
    return full
