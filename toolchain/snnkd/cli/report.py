"""`snnkd report`: runs as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from snnkd.cli import output
from snnkd.cli.options import DEFAULT_RUNS, DataRoot, Json, Runs


def report(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help="Run folders or their names; the newest finished run unless given."),
    ] = None,
    html: Annotated[Path, typer.Option("--html", metavar="FILE.html", help="The page.")] = Path("report.html"),
    data_root: DataRoot = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Write a run as one page to show: accuracy, learning, spikes of samples, energy, parity; several side by side.

    Example: snnkd report --html report.html
    """
    from snnkd.base import files
    from snnkd.base.errors import LimitError
    from snnkd.report.page import gather, page
    from snnkd.runs import subject

    for name in names or []:
        if subject.is_file(name):
            raise LimitError(f"{name}: a page is of a run, with what it learned and reached; name its folder")
    subjects = [subject.opened(name, runs, data_root) for name in names or [None]]
    files.check_output("--html", html, ".html", [path for one in subjects for path in one.inputs])
    facts = [gather(one, len(subjects)) for one in subjects]
    text = page(facts)
    files.write_text(html, text)
    found = {
        "file": str(html),
        "bytes": len(text.encode()),
        "runs": [str(one.run.folder) for one in facts],
        "warnings": [f"{one.name}: left out {lack}" for one in facts for lack in one.lacks],
    }
    output.result(found, as_json, _written)


def _written(data: dict[str, Any]) -> str:
    return f"written: {data['file']}, {data['bytes'] / 1e6:.2f} MB, of {', '.join(data['runs'])}"
