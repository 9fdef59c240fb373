"""Targets as data: what a chip can hold, what its operations cost, and where each number comes from."""

from snnkd.targets.target import COST_UNITS, LIMIT_UNITS, Limits, Target, available, load

__all__ = ["COST_UNITS", "LIMIT_UNITS", "Limits", "Target", "available", "load"]
