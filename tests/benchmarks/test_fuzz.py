"""A few mutations of the files of every reader: each is refused in clear words or loads, and nothing is lost.

`toolchain/benchmarks/fuzz.py` tries thousands, in processes whose time and memory it limits; tests/formats/ has short
runs of it for networks, whose HDF5 needs that."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "toolchain/benchmarks"))

import fuzz
import fuzz_readers

MUTATIONS = {
    "npy": 40,
    "trace": 40,
    "npz": 40,
    "logits": 20,
    "recipe": 6,
    "network": 6,
    "target": 6,
    "measurement": 20,
    "bundle": 2,
    "recording": 40,
    "spikes": 2,
    "checkpoint": 20,
}


def test_every_reader_is_tried():
    assert set(MUTATIONS) | {"net", "nir"} == set(fuzz_readers.READERS)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.training if name == "checkpoint" else ()) for name in MUTATIONS]
)
def test_mutated_files(name, tmp_path):
    reader = fuzz_readers.READERS[name]
    (tmp_path / "valid").mkdir()
    sources = reader.valid(tmp_path / "valid")
    for source in sources:
        assert fuzz.attempt(reader, source) == ("loaded", "")
    suffixes = sorted({source.suffix for source in sources})
    outcomes = set()
    for index in range(MUTATIONS[name]):
        path = tmp_path / str(index) / f"mutated{suffixes[index % len(suffixes)]}"
        path.parent.mkdir()
        reader.mutate(1, index, [source for source in sources if source.suffix == path.suffix], path)
        outcome, detail = fuzz.attempt(reader, path)
        outcomes.add(outcome)
        assert outcome in fuzz.GOOD, f"mutation {index}: {detail}"
    assert "refused" in outcomes or MUTATIONS[name] < 10
