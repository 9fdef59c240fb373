"""Results for people: profiles on the terminal."""

from snnkd.report.terminal import profile_table

__all__ = ["profile_table"]
