"""golden.npz: some samples, and every spike that a network answers them with."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from snnkd.analysis import evaluation
from snnkd.base.errors import FormatError
from snnkd.bundle.figures import GOLDEN_SAMPLES
from snnkd.data.samples import Samples
from snnkd.ir.network import IntNet
from snnkd.ir.trace import LayerTrace, SpikeTrace


def trace_of(net: IntNet, samples: Samples) -> SpikeTrace:
    """Runs the first GOLDEN_SAMPLES samples by the definition, states included."""
    return evaluation.simulate(net, samples.events(0, GOLDEN_SAMPLES), evaluation.DEFINITION, states=True)


def to_bytes(net: IntNet, samples: Samples, run: SpikeTrace) -> bytes:
    """Writes golden.npz of `trace_of`'s trace: `input` (N, T, *input_shape); `layerK` (N, T, *shape) spikes; `layerK_v`
    (N, *shape) after the last step; `counts` (N, outputs) and `classes` (N,); and where they are known `labels` (N,),
    `images` (N, C, H, W)."""
    arrays: dict[str, Any] = {"input": np.ascontiguousarray(run.input)}
    for layer in run.layers:
        arrays |= {layer.name: layer.spikes, f"{layer.name}_v": layer.v_last}
    arrays |= {"counts": run.counts, "classes": run.classes(net)}
    if samples.labels is not None:
        arrays["labels"] = samples.labels[:GOLDEN_SAMPLES]
    if samples.images is not None:
        arrays["images"] = samples.images[:GOLDEN_SAMPLES]
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def read(data: bytes, net: IntNet, source: str) -> tuple[SpikeTrace, np.ndarray | None]:
    """Reads the trace and the images in a golden.npz of `net`. Raises FormatError that names `source` and the array."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            present = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError) as error:
        raise FormatError(f"{source}: not an .npz file ({error})") from error
    samples, steps = present["input"].shape[:2] if "input" in present else (0, 0)
    layers = []
    for name, layer in zip(net.names, net.layers, strict=True):
        for key, shape in ((name, (samples, steps, *layer.shape)), (f"{name}_v", (samples, *layer.shape))):
            if key not in present or present[key].shape != shape:
                there = present[key].shape if key in present else "none"
                raise FormatError(f"{source}: {key}: expected an array {shape}, found {there}")
        layers.append(LayerTrace(name, present[name], present[f"{name}_v"]))
    return SpikeTrace("golden", present["input"], tuple(layers)), present.get("images")
