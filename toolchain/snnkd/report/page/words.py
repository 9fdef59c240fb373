"""Figures as a reader expects them."""

from __future__ import annotations

NOT_KNOWN = "not known"


def percent(share: float | None) -> str:
    """Writes a share in percent with two digits: 0.9778 as '97.78 %'."""
    return "–" if share is None else f"{100 * share:.2f} %"


def count(value: float | None) -> str:
    """Writes a number of things: 12345 as '12,345'."""
    return "–" if value is None else f"{value:,.0f}"


def points(difference: float) -> str:
    """Writes a difference of two shares in percentage points: 0.0123 as '+1.23'."""
    return f"{100 * difference:+.2f}"
