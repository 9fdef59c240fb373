"""Options and arguments that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snnkd.base.errors import FormatError, LimitError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Runs = Annotated[Path, typer.Option(help="Folder of run folders.")]
DataRoot = Annotated[
    Path | None, typer.Option(help="Folder of the data sets; else SNNKD_DATA, else ./data.", show_default=False)
]
RunOrNet = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN|FILE.net", help="A run folder or its name, or a .net or .nir; the newest finished run."
    ),
]
RunName = Annotated[
    str | None, typer.Argument(metavar="RUN", help="A run folder or its name; the newest finished run unless given.")
]
RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe's name or the path of your own .toml.")]
InputFile = Annotated[
    Path | None,
    typer.Option(
        "--input", help="Events: .npy or .npz, integers (N, T, C, H, W) or (N, T, features).", show_default=False
    ),
]
Labels = Annotated[
    Path | None, typer.Option("--labels", help="Classes of --input: .npy or .npz, integers (N,).", show_default=False)
]
InputShape = Annotated[
    str | None,
    typer.Option(
        "--input-shape",
        metavar="C,H,W|FEATURES",
        help="Shape of the input, for a FILE.net that does not tell it.",
        show_default=False,
    ),
]
ReadoutKind = Annotated[
    str | None,
    typer.Option(
        "--readout",
        metavar="count|membrane|membrane-max|membrane-sum",
        help="How a class is read from the outputs, instead of what the file says.",
        show_default=False,
    ),
]
DEFAULT_RUNS = Path("runs")


def shape_of(text: str | None) -> tuple[int, ...] | None:
    """Reads the value of --input-shape. Raises FormatError for anything but one or three numbers of at least 1."""
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) not in (1, 3) or not all(part.strip().isdecimal() and int(part) for part in parts):
        raise FormatError(f"--input-shape {text}: expected C,H,W or one number of features, like 1,28,28 or 784")
    return tuple(map(int, parts))


def refuse_for_runs(options: dict[str, object]) -> None:
    """Refuses options that are for a FILE.net only, by name and value. Raises LimitError for the first one given."""
    reasons = {
        "--input": "a run has its own test images; give its student.net to use other events",
        "--input-shape": "a run tells the shape of its input; this option is for a FILE.net",
    }
    for option, value in options.items():
        if value is not None:
            raise LimitError(f"{option}: {reasons[option]}")
