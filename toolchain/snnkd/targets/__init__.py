"""Targets as data: what a chip can hold, what its operations cost, and where each number comes from."""

from snnkd.targets.shipped import available, load
from snnkd.targets.target import Limits, Target

__all__ = ["Limits", "Target", "available", "load"]
