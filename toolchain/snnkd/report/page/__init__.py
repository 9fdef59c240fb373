"""Runs as a page: one HTML file that needs no other, no network and no script.

Everything of a run that is shown is escaped by the templates, and the page forbids scripts and outside files itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from snnkd import __version__
from snnkd.report.page.comparison import comparison
from snnkd.report.page.facts import Facts, gather
from snnkd.report.page.overview import overview
from snnkd.report.page.sections import SECTIONS
from snnkd.report.page.templates import template

__all__ = ["gather", "page"]


def page(runs: Sequence[Facts]) -> str:
    """Renders at least one run; several side by side first, then one by one."""
    return template("page.html").render(
        version=__version__,
        comparison=comparison(runs) if len(runs) > 1 else None,
        runs=[_shown(facts, number) for number, facts in enumerate(runs)],
    )


def _shown(facts: Facts, number: int) -> dict[str, Any]:
    made = ((section, section.of(facts)) for section in SECTIONS)
    sections = [
        {"name": section.name, "title": section.title, "data": data} for section, data in made if data is not None
    ]
    return {"id": f"run{number}", "overview": overview(facts), "sections": sections}
