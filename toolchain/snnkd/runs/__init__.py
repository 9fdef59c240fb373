"""Run folders, one for each training, and the stages that fill them."""

from snnkd.runs.folder import RUNS, Run, create, find, note_reused, resumable, write_metrics

__all__ = ["RUNS", "Run", "create", "find", "note_reused", "resumable", "write_metrics"]
