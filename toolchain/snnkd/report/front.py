"""The files that a search leaves in its folder for people."""

from __future__ import annotations

from pathlib import Path

from snnkd.base import files
from snnkd.report.page import front
from snnkd.study import Found, to_csv


def write(found: Found) -> list[str]:
    """Writes trials.csv, front.csv, front.html and, of two objectives or more, front.svg. Returns their paths."""
    made = {
        "trials.csv": to_csv(found.trials),
        "front.csv": to_csv(found.front),
        "front.html": front.page(found),
        "front.svg": front.picture(found),
    }
    paths = {Path(found.out) / name: text for name, text in made.items() if text is not None}
    for path, text in paths.items():
        files.write_text(path, text)
    return [str(path) for path in paths]
