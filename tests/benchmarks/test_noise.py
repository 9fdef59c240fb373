"""The table of toolchain/benchmarks/noise.py: means over severities and seeds, and pairs of the same seed."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("scipy")

sys.path.insert(0, str(Path(__file__).parents[2] / "toolchain/benchmarks"))

import noise
from snnkd.data.corruption import CORRUPTIONS
from snnkd.runs.robustness import CLEAN


def rows(group: str, seed: int, lost: int) -> list[noise.Row]:
    """Of 100 images, 90 right where they are clean, and `lost` times the severity fewer under each corruption."""
    levels = [(CLEAN, 0), *noise.LEVELS]
    return [
        noise.Row(group, seed, f"{group}{seed}", name, severity, 90 - lost * severity, 100) for name, severity in levels
    ]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("| ").split("|")]


def test_a_row_is_a_group_of_seeds() -> None:
    measured = [*rows("alone", 1, 10), *rows("alone", 2, 12), *rows("both", 1, 8), *rows("both", 2, 10)]
    table = [line for line in noise.page(measured, "alone").splitlines() if line.startswith("|")]
    head, _, alone, both = map(cells, table)
    assert head == ["network", "seeds", "clean", *CORRUPTIONS, "all", "difference"]
    assert alone[:3] == ["alone", "2", "90.00 ± 0.00"] and set(alone[3:-1]) == {"57.00 ± 38.12"}  # 60 and 54
    assert both[-1] == "+6.00 ± 0.00"


def test_of_one_seed_the_interval_is_that_of_the_images() -> None:
    alone = next(line for line in noise.page(rows("alone", 1, 10)).splitlines() if line.startswith("| alone"))
    assert cells(alone)[2:4] == ["90.00 ± 5.96", "60.00 ± 9.43"]


def test_rows_come_back_from_the_csv(tmp_path: Path) -> None:
    noise._write(tmp_path / noise.CSV, rows("alone", 1, 10))
    assert noise._read(tmp_path / noise.CSV) == rows("alone", 1, 10)


def test_the_plot_has_a_point_for_each_group_and_level() -> None:
    shown = noise._of_plot([*rows("alone", 1, 10), *rows("alone", 2, 12), *rows("both", 1, 8)])
    assert len(shown) == 2 * (1 + len(noise.LEVELS))
    point = next(row for row in shown if (row["run"], row["corruption"], row["severity"]) == ("alone", "blur", 3))
    assert point["accuracy"] == pytest.approx(0.57) and point["interval"][0] < 0.57 < point["interval"][1]
