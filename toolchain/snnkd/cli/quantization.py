"""`snnkd quantize`: a network of another tool, with real weights or too many bits, as one with few."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from snnkd.base.errors import LimitError
from snnkd.cli import output
from snnkd.cli.inspection import NetFile
from snnkd.cli.options import InputFile, InputShape, Json, Labels, shape_of


def quantize(
    file: NetFile,
    bits: Annotated[int, typer.Option(help="Bits of a weight, sign included: 2 to 8.")],
    out: Annotated[Path, typer.Option(help="The .net file that is written.")],
    scale: Annotated[str, typer.Option(help="auto: by layer; or a factor of all weights, thresholds stay.")] = "auto",
    inputs: InputFile = None,
    labels: Labels = None,
    input_shape: InputShape = None,
    as_json: Json = False,
) -> None:
    """Round the weights of a network to few bits, each layer at the scale at which that loses least.

    For networks whose weights were never made integers, or have more bits than a target takes. With --input, and
    --labels for an accuracy, the network before, in float64, and after are compared on these events.

    Example: snnkd quantize foreign.net --bits 8 --out student.net
    """
    from snnkd.analysis import quantization
    from snnkd.base import files
    from snnkd.formats import netx
    from snnkd.runs.subject import Subject, network_file

    files.check_output("--out", out, ".net", [file, inputs, labels])
    quantized = quantization.quantize(network_file(file), bits, _factor(scale), shape_of(input_shape))
    samples = Subject(quantized.net, file, str(file)).samples(None, inputs, labels)
    effect = quantization.effect(quantized, samples.events(), samples.labels, samples.data)
    netx.save(quantized.net, out)
    result = {
        "file": str(out),
        "bits": bits,
        "unit": quantized.unit,
        "layers": [
            {**vars(row), "threshold": dict(zip(("before", "after"), row.threshold, strict=True))}
            for row in quantized.layers
        ],
        **effect.to_json(),
    }
    output.result(result, as_json, _quantized)


def _factor(scale: str) -> float | None:
    try:
        return None if scale == "auto" else float(scale)
    except ValueError as error:
        raise LimitError(f"--scale {scale}: expected auto or a number above 0") from error


def _quantized(data: dict[str, Any]) -> Any:
    columns = ["layer", "scale", "step", "threshold", "clipped", "error", "spikes before", "after"]
    rows = [
        [
            row["layer"],
            f"{row['scale']:.4g}",
            str(row["step"]),
            "-" if row["threshold"]["after"] is None else "{before:,} -> {after:,}".format(**row["threshold"]),
            f"{row['clipped']:,}",
            f"{row['error']:.2%}",
            f"{spikes['before']:,}",
            f"{spikes['after']:,}",
        ]
        for row, spikes in zip(data["layers"], data["spikes"][-len(data["layers"]) :], strict=True)
    ]
    lines = [f"the same class in {data['classes_equal']:.2%} of {data['samples']:,} samples: {data['data']}"]
    if data["unit"] != 1:
        lines.insert(
            0, f"all weights x {data['unit']:g}, since their thresholds are integers already (--scale says otherwise)"
        )
    if data["accuracy"] is not None:
        before, after = data["accuracy"]["before"], data["accuracy"]["after"]
        lines.append(f"accuracy: {before:.2%} before, in float64; {after:.2%} after, in integers")
    if any(row["scale"] != data["unit"] * row["sums"] for row in data["layers"]):
        sums = ", ".join(f"{row['sums']:.4g}" for row in data["layers"])
        lines.insert(0, f"messages are scaled as well; all that the layers add up is multiplied by {sums}")
    title = f"weights of {data['bits']} bits"
    return output.group(output.table(title, columns, rows), *lines, f"written: {data['file']}")
