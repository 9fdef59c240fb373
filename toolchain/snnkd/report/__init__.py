"""Results for people: profiles and robustness on the terminal, and a plot."""

from snnkd.report.robustness import robustness_plot, robustness_table
from snnkd.report.terminal import profile_table

__all__ = ["profile_table", "robustness_plot", "robustness_table"]
