"""What an array looks like that is not laid out as expected, and the line of Python that turns it."""

from __future__ import annotations

from math import prod

import numpy as np

_RAW = {"t", "x"}  # fields that every structured array of raw events has
_ENCODE = "`snnkd encode FILE.net RECORDING --out events.npy` makes events of it"


def of_events(found: np.ndarray, shape: tuple[int, ...]) -> str:
    """Says what `found` looks like, which is no events (N, T, *shape), and how to turn it; '' where that is not known.

    shape: (C, H, W) or (features,) of the network's input.
    """
    if found.dtype.names and set(found.dtype.names) >= _RAW:
        return f"looks like one recording, raw events with the fields {', '.join(found.dtype.names)}: {_ENCODE}"
    if found.ndim and not len(found):
        return "there are no samples in it"
    if found.ndim > 1 and 0 in found.shape:
        return "there are no time steps in it, or no inputs"
    if found.dtype.kind == "f":
        return _of_floats(found)
    return _of_shape(found.shape, shape)


def _of_floats(found: np.ndarray) -> str:
    if (found == np.rint(found)).all() and np.abs(found).max(initial=0) < 1 << 31:
        return "its numbers are whole: events.astype(numpy.int32)"
    if found.min() >= 0 and found.max() <= 1:
        return (
            "looks like images or rates in [0, 1]: make uint8 of 0 to 255 of them and encode these with `snnkd encode`"
        )
    return "round or encode it first"


def _of_shape(found: tuple[int, ...], shape: tuple[int, ...]) -> str:
    for grid in dict.fromkeys((shape, (prod(shape),))):
        where, flat = len(grid), "flat " if len(grid) < len(shape) else ""
        if len(found) == where + 2 and found[1:-1] == grid:
            return f"looks like {flat}inputs with time last, as SLAYER has it: numpy.moveaxis(events, -1, 1)"
        if found == grid:
            return "looks like one image without samples and steps: numpy.repeat(events[None, None], STEPS, axis=1)"
        if len(found) == where + 1 and found[1:] == grid:
            return (
                f"looks like one sample of {found[0]} steps: events[None]; or like {found[0]} images without steps: "
                "`snnkd encode` makes events of these"
            )
        if len(found) == where + 1 and found[:-1] == grid:
            return "looks like one sample with time last: numpy.moveaxis(events, -1, 0)[None]"
    if len(shape) == 3 and (turned := _turned(found, shape)):
        return turned
    if len(found) == 2 and found[1] == 4:
        return f"looks like one recording, raw events (t, x, y, p): {_ENCODE}"
    return ""


def _turned(found: tuple[int, ...], shape: tuple[int, ...]) -> str:
    channels, height, width = shape
    if found[2:] == (height, width, channels):
        return "looks like inputs with channels last: numpy.moveaxis(events, -1, 2)"
    if found[2:] == (width, height, channels):
        return "looks like inputs (W, H, C), as NetX has them: events.transpose(0, 1, 4, 3, 2)"
    if channels == 1 and found[2:] == (height, width):
        return "looks like inputs without the axis of the one channel: events[:, :, None]"
    if len(found) == 5 and found[1:] == (height, width, channels, found[-1]):
        return "looks like inputs with channels and then time last: events.transpose(0, 4, 3, 1, 2)"
    return ""


def of_labels(found: np.ndarray, samples: int, steps: int) -> str:
    """Says what `found` looks like, which is no class for each of `samples`, and how to turn it; '' where that is not
    known. steps: of a sample."""
    if found.dtype.kind in "US":
        return "looks like names: numpy.unique(labels, return_inverse=True)[1] numbers them in alphabetical order"
    if found.ndim > 2:
        return "looks like events: are --input and --labels exchanged?"
    if found.ndim == 2 and 1 in found.shape:
        return "labels.reshape(-1) has one axis"
    if found.ndim == 2 and len(found) and (np.count_nonzero(found, axis=1) == 1).all():
        return "looks like one-hot rows: labels.argmax(axis=1)"
    if found.dtype.kind in "fb" and (found == np.rint(found.astype(float))).all():
        return "its numbers are whole: labels.astype(int)"
    if found.shape == (steps,) and steps != samples:
        return "as many as there are steps: are the events (T, N, ...), with time first? events.swapaxes(0, 1)"
    return ""
