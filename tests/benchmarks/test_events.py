"""The folds of toolchain/benchmarks/events_folds.py and its intervals; the made events of saccades.py."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "toolchain/benchmarks"))

pytest.importorskip("scipy")
pytestmark = pytest.mark.training

import events_folds  # noqa: E402
import saccades  # noqa: E402
from events_folds import Row  # noqa: E402


def test_every_recording_is_in_one_fold_each_class_in_its_share() -> None:
    labels, origins = np.arange(1_000) % 7, np.arange(1_000) * 3
    found = events_folds.folds(labels, origins)
    counts = np.array([np.bincount(labels[found == fold], minlength=7) for fold in range(5)])
    assert counts.sum() == 1_000 and (np.ptp(counts, axis=0) <= 1).all()
    order = np.random.default_rng(1).permutation(1_000)
    again = events_folds.folds(labels[order], origins[order])
    assert (again == found[order]).all(), "whatever the order of the files"


def test_differences_are_of_pairs_with_intervals(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        for fold in range(2):
            for name, right in (("a", 60 + seed + fold), ("b", 66 + seed + 3 * fold)):
                events_folds.add(tmp_path / "rows.csv", Row(name, fold, seed, right, 100, 1.5, "x"))
    events_folds.add(tmp_path / "rows.csv", Row("b", 2, 1, 0, 100, 1.5, "x"))  # it has no partner yet
    rows = events_folds.read(tmp_path / "rows.csv")
    assert len(rows) == 13 and rows[0] == Row("a", 0, 1, 61, 100, 1.5, "x")
    lines = events_folds.table(rows, ["a", "b"]).splitlines()
    assert lines[2] == "| a | 62.50 ± 2.48 | - | - | 6 |"
    assert "| +7.00 ± 0.00 | +7.00 ± 12.71 | 7 |" in lines[3]  # by seeds 7, 7, 7; by folds 6 and 8


def test_thresholds_are_fitted_to_the_counts_of_both_polarities() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 1, 28, 28)).astype(np.uint8)
    true = saccades.Setup(((0.0, 0.0), (3.0, -1.0), (1.0, 2.0)), rise=0.5, fall=0.2)
    real = list(saccades.made_of(true, images))
    found = saccades._counted(replace(true, rise=0.3, fall=0.3), images, real)
    assert (found.rise, found.fall) == pytest.approx((0.5, 0.2), rel=0.1)
