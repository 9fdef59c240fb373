"""The command line: a thin layer over `snnkd.runs.pipeline` and `snnkd.analysis.evaluation`."""

from snnkd.cli.app import main

__all__ = ["main"]
