"""The templates of pages and pictures, by their file names."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from snnkd.base import packages


def template(name: str) -> Any:
    """Reads the template of that name; what it is given is escaped. Raises LimitError without Jinja."""
    return _environment().get_template(name)


@cache
def _environment() -> Any:
    packages.require("report", "jinja2")
    import jinja2

    return jinja2.Environment(
        autoescape=True,
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
