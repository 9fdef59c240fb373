"""The command line: a thin layer over `snnkd.pipeline` and `snnkd.evaluation`."""

from snnkd.cli.app import main

__all__ = ["main"]
