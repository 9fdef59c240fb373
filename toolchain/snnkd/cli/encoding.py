"""`snnkd encode`: recordings or images as the events of a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from snnkd.cli import output
from snnkd.cli.options import DEFAULT_RUNS, Json, Runs


def encode(
    name: Annotated[str, typer.Argument(metavar="RECIPE|RUN|FILE.net", help="Whose encoder it is.")],
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="Recordings (.bin .aedat .npy .npz .h5), or images.")
    ],
    out: Annotated[Path, typer.Option(help="The .npy that the events are written to.")],
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Make a network's input events of recordings or images, without the data set: what --input takes.

    Example: snnkd encode student.net recording.bin --out events.npy
    """
    import numpy as np

    from snnkd.base import files
    from snnkd.data.inputs import encode as encoded
    from snnkd.runs.subject import encoder_of

    files.check_output("--out", out, ".npy", [*inputs, name])
    encoder, shape = encoder_of(name, runs)
    events = np.ascontiguousarray(encoded(encoder, shape, inputs))
    with files.atomic(out) as temporary, temporary.open("wb") as file:
        np.save(file, events)
    by_sample = np.array([np.abs(sample.astype(np.int64)).sum() for sample in events])
    for sample in np.flatnonzero(by_sample == 0):
        output.warn(f"sample {sample}: no event in it after encoding")
    data: dict[str, Any] = {
        "out": str(out),
        "shape": list(events.shape),
        "encoding": encoder.to_json(),
        "events": by_sample.tolist(),
    }
    output.result(data, as_json, _shown)


def _shown(data: dict[str, Any]) -> str:
    sizes, first = " x ".join(map(str, data["shape"])), [f"{count:,}" for count in data["events"][:8]]
    more = ", ..." if len(data["events"]) > len(first) else ""
    return (
        f"events: {data['out']}, {sizes} (samples, steps, channels, rows, columns)\n"
        f"in each sample: {', '.join(first)}{more}"
    )
