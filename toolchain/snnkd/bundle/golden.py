"""golden.npz: some samples, and every spike that a network answers them with."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from snnkd.analysis import evaluation
from snnkd.base.arrays import DAMAGE, check
from snnkd.base.errors import FormatError, in_a_line
from snnkd.bundle.figures import GOLDEN_SAMPLES
from snnkd.data.recordings.collection import raw_events
from snnkd.data.samples import Samples
from snnkd.ir.events import RawEvents
from snnkd.ir.network import IntNet
from snnkd.ir.trace import LayerTrace, SpikeTrace


def trace_of(net: IntNet, samples: Samples) -> SpikeTrace:
    """Runs the first GOLDEN_SAMPLES samples by the definition, states included."""
    return evaluation.simulate(net, samples.events(0, GOLDEN_SAMPLES), evaluation.DEFINITION, states=True)


def shown_of(samples: Samples) -> np.ndarray | RawEvents | None:
    """Returns what the golden samples are encoded from, None where they came as events."""
    images = samples.images
    if images is None or isinstance(images, np.ndarray):
        return None if images is None else images[:GOLDEN_SAMPLES]
    return raw_events(images[:GOLDEN_SAMPLES])


def to_bytes(net: IntNet, samples: Samples, run: SpikeTrace) -> bytes:
    """Writes golden.npz of `trace_of`'s trace: `input` (N, T, *input_shape); `layerK` (N, T, *shape) spikes, messages;
    `layerK_v` (N, *shape), of sigma-delta neurons `layerK_act` or `layerK_sigma`, after the last step; the same with
    `_steps` (N, T, *shape) of the last layer where the readout needs it; `counts` (N, outputs) and `classes` (N,); and
    where they are known `labels` (N,), `images` (N, C, H, W), or of recordings `recorded` (events, 4): microseconds, x,
    y, polarity, each one's up to its `recorded_ends` (N,)."""
    arrays: dict[str, Any] = {"input": np.ascontiguousarray(run.input)}
    for layer, (held, by_step) in zip(run.layers, _names(net), strict=True):
        arrays |= {layer.name: layer.spikes, held: layer.v_last}
        arrays |= {by_step: layer.membrane} if by_step else {}
    arrays |= {"counts": run.counts, "classes": run.classes(net)}
    if samples.labels is not None:
        arrays["labels"] = samples.labels[:GOLDEN_SAMPLES]
    shown = shown_of(samples)
    if isinstance(shown, RawEvents):
        arrays |= {"recorded": shown.events.astype(np.uint32), "recorded_ends": shown.ends}
    elif shown is not None:
        arrays["images"] = shown
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def read(data: bytes, net: IntNet, source: str) -> tuple[SpikeTrace, np.ndarray | RawEvents | None]:
    """Reads the trace in a golden.npz of `net`, and what it is encoded from, images or recordings.

    Raises FormatError that names `source` and the array.
    """
    try:
        check(data, source)
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            present = {name: arrays[name] for name in arrays.files}
    except DAMAGE as error:
        raise FormatError(f"{source}: not an .npz file ({in_a_line(error)})") from error
    samples, steps = present["input"].shape[:2] if "input" in present else (0, 0)
    layers = []
    for name, layer, (held, by_step) in zip(net.names, net.layers, _names(net), strict=True):
        every = (samples, steps, *layer.shape)
        expected = {name: every, held: (samples, *layer.shape)} | ({by_step: every} if by_step else {})
        for key, shape in expected.items():
            if key not in present or present[key].shape != shape:
                there = present[key].shape if key in present else "none"
                raise FormatError(f"{source}: {key}: expected an array {shape}, found {there}")
        read = {layer.neuron.membrane: present[by_step]} if by_step else {}
        layers.append(LayerTrace(name, present[name], present[held], **read))
    return SpikeTrace("golden", present["input"], tuple(layers)), _shown(present, samples, source)


def _names(net: IntNet) -> list[tuple[str, str]]:
    """Of each layer the names of its membrane after the last step, and after each one, '' where that is not needed."""
    held = [f"{name}_{layer.neuron.membrane}" for name, _, layer in net.inputs()]
    return [(name, f"{name}_steps" if kept else "") for name, kept in zip(held, net.recorded(False), strict=True)]


def _shown(present: dict[str, np.ndarray], samples: int, source: str) -> np.ndarray | RawEvents | None:
    if "recorded" not in present:
        return present.get("images")
    events, ends = present["recorded"], present.get("recorded_ends", np.zeros(0))
    right = events.ndim == 2 and events.shape[1:] == (4,) and events.dtype.kind == "u" and ends.dtype.kind == "i"
    if not right or ends.shape != (samples,) or (np.diff(ends, prepend=0) < 0).any() or ends[-1:].sum() != len(events):
        raise FormatError(f"{source}: recorded, recorded_ends: expected ({samples},) ends of recordings (events, 4)")
    return RawEvents(events.astype(np.int64), ends)
