"""Numbers with their origin, as targets hold them: each with its unit, its kind and its source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["measured", "vendor", "literature", "assumed"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Quantity:
    """A limit or a cost. low <= typical <= high, equal where one value is known; `kind` is that of the typical one.

    For a limit, `high` is the ceiling that refuses a network and `typical` what is reached in practice.
    """

    low: float
    typical: float
    high: float
    unit: str
    kind: Kind
    source: str


@dataclass(frozen=True)
class ErrorFactor:
    """How far measurements were from such an estimate: measured / estimate lies between low and high."""

    of: str
    low: float
    high: float
    unit: str
    kind: Kind
    source: str
