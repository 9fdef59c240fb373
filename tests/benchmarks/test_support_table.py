"""docs/support.md says what is true of the networks and graphs that it was made from."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "toolchain/benchmarks"))

import support_table


def test_the_page_is_current():
    assert support_table.PAGE.read_text() == support_table.page(), "run python toolchain/benchmarks/support_table.py"
