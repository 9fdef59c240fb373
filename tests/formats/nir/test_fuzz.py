"""A short run of the fuzzer: no mutated `.nir` fails otherwise than with one clear line, and none loads wrongly."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "toolchain/benchmarks/fuzz.py"


def test_mutated_files(tmp_path):
    command = [sys.executable, str(SCRIPT), "nir", "--n", "50", "--seed", "1", "--json"]
    command += ["--keep", str(tmp_path / "failing")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["failures"] == []
    assert found["n"] == 50 and set(found["outcomes"]) == {"loaded", "refused"}
