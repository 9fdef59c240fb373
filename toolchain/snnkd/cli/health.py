"""What `inspect --health` found, in words and tables."""

from __future__ import annotations

from typing import Any

from snnkd.cli import output

NONE = "-"


def render_health(data: dict[str, Any]) -> Any:
    """Renders the layers in numbers, and each finding with its cause and what to change."""
    title = f"health in {data['samples']:,} samples of {data['steps']:,} steps"
    columns = ["layer", "neurons", "silent", "always on", "alike", "unread", "threshold", "codes", "bits left"]
    lines = [
        "",
        output.table(title, columns, [_row(layer) for layer in data["layers"]]),
        "threshold: the median, of the highest voltage that the weights allow",
        f"data: {data['data']}; a, u and v: {data['measured']:,} samples of it",
        f"answers: {data['ties']:,} ties, {data['hanging']:,} that the last step decided",
    ]
    return output.group(*lines, *_findings(data["findings"]))


def _row(layer: dict[str, Any]) -> list[str]:
    weights, share = layer["weights"], layer["threshold_share"]
    return [
        layer["name"],
        *(f"{layer[key]:,}" for key in ("neurons", "silent", "saturated", "duplicates", "unread")),
        NONE if share is None else f"{share:.1%}",
        NONE if weights is None else f"{weights['codes_used']} of {weights['codes']}",
        ", ".join(f"{name} {NONE if bits is None else bits}" for name, bits in layer["bits_left"].items()),
    ]


def _findings(findings: list[dict[str, Any]]) -> list[Any]:
    if not findings:
        return ["nothing to be found"]
    lines: list[Any] = [""]
    for found in findings:
        lines += [
            f"{found['layer']}, {found['kind']}: {found['count']:,} of {found['total']:,} {found['what']}",
            f"    cause:  {found['cause']}",
            f"    change: {found['change']}",
        ]
    return lines
