"""Damaged files of every kind but networks are data or one of snnkd's errors, and stay as they are."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "toolchain/benchmarks"))

import fuzz_readers


@pytest.mark.parametrize("name", ["npy", "npz", "recipe", "target"])  # the others take seconds to be made
def test_mutated_files(tmp_path: Path, name: str) -> None:
    outcomes = list(fuzz_readers.fuzzed(fuzz_readers.READERS[name], tmp_path, 40, seed=1))
    assert [told for _, told in outcomes if told] == []
    assert len(outcomes) == 40 and "refused" in {outcome for outcome, _ in outcomes}
