"""What may go into a network: arrays of events, checked; and the raw events of recordings, which an encoder reads."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from snnkd.base.errors import FormatError
from snnkd.ir import layouts
from snnkd.ir.network import IntNet


@dataclass(frozen=True, eq=False)
class RawEvents:
    """The raw events of N recordings, one after the other: events: (events, 4) int64: microseconds from the start,
    column, row, polarity. ends: (N,) int64, where each recording ends in it."""

    events: np.ndarray
    ends: np.ndarray

    def first(self, most: int) -> RawEvents:
        """Returns as many of the first recordings, at least one, as have at most `most` events together."""
        count = max(1, int(np.searchsorted(self.ends, most, side="right")))
        return RawEvents(self.events[: self.ends[count - 1]], self.ends[:count])


def check_input(net: IntNet, spikes: np.ndarray, source: str = "input") -> np.ndarray:
    """Checks events for `net` and returns them as (N, T, *net.input_shape), uint8 or int32.

    spikes: integers (N, T, C, H, W) or (N, T, features) whose sizes agree with `net.input_shape`. Events are 0 or 1;
    integers of magnitude below 2^message_bits on graded input; any int32 for an input layer that owns neurons, constant
    over T where it takes them as a bias. uint8 comes back without a copy, and where all steps share their memory
    (stride 0) they still do. source: what messages call them, such as the name of their file. Raises FormatError that
    names what was expected, what was found, and where it can be told how to turn it.
    """
    spikes = np.asarray(spikes)
    if not fits(net, spikes.shape, spikes.dtype):
        raise _unexpected(net, spikes, source)
    samples, steps = spikes.shape[:2]
    constant = spikes.strides[1] == 0 and steps > 1
    distinct = _checked_values(net, spikes[:, :1] if constant else spikes, source)
    events = distinct.reshape(samples, -1 if not constant else 1, *net.input_shape)
    return np.broadcast_to(events, (samples, steps, *net.input_shape)) if constant else events


def fits(net: IntNet, shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """Tells whether an array is events for `net`, whatever its values are."""
    if len(shape) not in (3, 5) or 0 in shape or dtype.kind not in "biu":
        return False
    alike = len(shape) == 2 + len(net.input_shape)
    return shape[2:] == net.input_shape if alike else prod(shape[2:]) == prod(net.input_shape)


def check_labels(
    labels: np.ndarray, samples: int, steps: int, classes: int | None = None, source: str = "labels"
) -> None:
    """Checks that `labels` are (N,) integers, one for each of `samples`, below the number of `classes` where it is
    known. source: what messages call them. Raises FormatError, as `check_input` does."""
    if labels.shape != (samples,) or labels.dtype.kind not in "iu":
        advice = layouts.of_labels(labels, samples, steps)
        raise FormatError(
            f"{source}: expected ({samples},) integers, one for each sample, found {labels.dtype} {labels.shape}"
            + (f"; {advice}" if advice else "")
        )
    if classes is not None and samples and (labels.min() < 0 or labels.max() >= classes):
        found = f"{labels.min()} to {labels.max()}"
        advice = "; do they count from 1? labels - 1" if labels.min() == 1 and labels.max() == classes else ""
        raise FormatError(f"{source}: expected classes 0 to {classes - 1}, as the network has, found {found}{advice}")


def _unexpected(net: IntNet, spikes: np.ndarray, source: str) -> FormatError:
    """The error of an array of another form."""
    expected = f"(N, T, {', '.join(map(str, net.input_shape))})"
    if len(net.input_shape) == 3:
        expected += f" or (N, T, {prod(net.input_shape)})"
    kind = "records" if spikes.dtype.names else str(spikes.dtype)
    advice = layouts.of_events(spikes, net.input_shape)
    return FormatError(
        f"{source}: expected integers of shape {expected}, found {kind} {spikes.shape}"
        + (f"; {advice}" if advice else "")
    )


def _checked_values(net: IntNet, spikes: np.ndarray, source: str) -> np.ndarray:
    low, high = int(spikes.min()), int(spikes.max())
    if net.layers[0].kind == "input":
        if net.reads_image and (spikes != spikes[:, :1]).any():
            advice = "repeat one: numpy.repeat(events[:, :1], events.shape[1], axis=1)"
            raise FormatError(
                f"{source}: layer0 takes the image as its bias, so all time steps must be the same; {advice}"
            )
        limits, what = (-(1 << 31), (1 << 31) - 1), "int32 for an input layer that owns neurons"
    elif net.message_bits:
        top = (1 << min(net.message_bits, 31)) - 1
        limits, what = (-top, top), f"graded events of {net.message_bits} bits"
    else:
        limits, what = (0, 1), "events 0 or 1 (the network's message_bits is 0)"
    if low < limits[0] or high > limits[1]:
        raise FormatError(f"{source}: expected {what}, in [{limits[0]}, {limits[1]}], found values {low} to {high}")
    if spikes.dtype == np.uint8:
        return spikes
    if spikes.dtype == np.bool_:
        return spikes.view(np.uint8)
    return spikes.astype(np.uint8 if limits == (0, 1) else np.int32)
