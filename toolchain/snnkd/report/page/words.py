"""Figures as a reader expects them; a figure is never parted from its unit."""

from __future__ import annotations

NOT_KNOWN = "not known"
NONE = "-"
_SPACE = "\N{NO-BREAK SPACE}"


def percent(share: float | None) -> str:
    """Writes a share in percent with two digits: 0.9778 as '97.78 %'."""
    return NONE if share is None else f"{100 * share:.2f}{_SPACE}%"


def share(value: float) -> str:
    """Writes a share in percent with two figures: 0.163 as '16 %'."""
    return f"{100 * value:.{0 if value >= 0.1 else 1}f}{_SPACE}%"


def count(value: float | None) -> str:
    """Writes a number of things: 12345 as '12,345'."""
    return NONE if value is None else f"{value:,.0f}"


def points(difference: float) -> str:
    """Writes a difference of two shares in percentage points: 0.0123 as '+1.23'."""
    return f"{100 * difference:+.2f}"


def between(share: float, low: float, high: float) -> str:
    """Writes a share with its interval: '97.78 % (95.68 to 98.87)'."""
    return f"{percent(share)} ({100 * low:.2f} to {100 * high:.2f})"
