"""Run folders, one for each training, the stages that fill them, and what commands work on.

What is in `folder` is imported when it is first used: a command on a FILE.net needs no recipes.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnkd.runs.folder import RUNS, Run, create, find, note_reused, resumable, write_metrics

__all__ = ["RUNS", "Run", "create", "find", "note_reused", "resumable", "write_metrics"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'snnkd.runs' has no attribute '{name}'")
    return getattr(importlib.import_module("snnkd.runs.folder"), name)
