"""The sections of a run's page, in their order. A section is a function of the run's facts that returns what its
template `templates/sections/<name>.html` shows, or None where the run lacks it. To add one, add both, and a line here.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from snnkd.report.page.facts import Facts
from snnkd.report.page.sections.accuracy import accuracy, confusion, learning, steps
from snnkd.report.page.sections.behaviour import activity, samples
from snnkd.report.page.sections.cores import cores
from snnkd.report.page.sections.cost import energy
from snnkd.report.page.sections.health import health
from snnkd.report.page.sections.proof import parity, reproduce
from snnkd.report.page.sections.structure import structure


class Section(NamedTuple):
    """name: of its template, and of the place in the page; title: above it."""

    name: str
    title: str
    of: Callable[[Facts], dict[str, Any] | None]


SECTIONS = (
    Section("structure", "The network", structure),
    Section("accuracy", "What it reaches", accuracy),
    Section("learning", "How it learned", learning),
    Section("samples", "A sample's way through the layers", samples),
    Section("confusion", "Which classes it mixes up", confusion),
    Section("activity", "Activity by layer and step", activity),
    Section("steps", "Accuracy against steps", steps),
    Section("health", "Health", health),
    Section("cores", "On the cores", cores),
    Section("energy", "Energy", energy),
    Section("parity", "Parity", parity),
    Section("reproduce", "How to reproduce it", reproduce),
)
