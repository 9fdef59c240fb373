"""`snnkd train` killed in the middle of the student's stage and taken up again ends as if nothing had happened."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors.numpy import load_file

pytestmark = pytest.mark.training

EPOCHS, KILL_AFTER = 10, 3
CHANGES = [
    "encoding.kind=poisson",
    "encoding.steps=5",
    "data.shift=1",
    "data.variants=2",
    "data.train_limit=200",
    "chain.teacher.epochs=2",
    "chain.ta.epochs=1",
    f"chain.student.epochs={EPOCHS}",
    "chain.student.network=conv-8x8-student",
    "chain.student.distil.normalize=true",
]


def train(folder: Path, *options: str) -> subprocess.Popen[str]:
    """Starts a training in `folder`; one thread each, so that two of them do not wait for each other."""
    main = "from snnkd.cli import main; main()"
    command = [sys.executable, "-c", main, "train", "digits", "--device", "cpu", "--json", *options]
    for change in CHANGES:
        command += ["--set", change]
    folder.mkdir(exist_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finished(process: subprocess.Popen[str]) -> dict:
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    return json.loads(out)


def metrics(folder: Path) -> list[dict[str, str]]:
    """Rows of metrics.csv without the time that they took; none where there is no file yet."""
    path = folder / "runs" / "digits-001" / "metrics.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def student_rows(folder: Path) -> int:
    return sum(row["stage"] == "student" for row in metrics(folder))


def contents(path: Path) -> dict[str, object]:
    """All that is in a .net file: attributes, and each dataset's type, shape and bytes."""
    found: dict[str, object] = {}
    with h5py.File(path, "r") as file:
        for name, value in file.attrs.items():
            found[f"@{name}"] = value.tolist() if isinstance(value, np.ndarray) else value

        def add(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                found[name] = (str(item.dtype), item.shape, np.asarray(item[()]).tobytes())

        file.visititems(add)
    return found


@pytest.mark.slow
def test_killed_and_resumed_training_ends_bit_identical(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    uninterrupted, victim = train(whole), train(broken)
    try:
        while student_rows(broken) < KILL_AFTER:
            assert victim.poll() is None, victim.communicate()[1]
            time.sleep(0.01)
        victim.send_signal(signal.SIGKILL)
        victim.communicate()
        reached = student_rows(broken)
        assert KILL_AFTER <= reached < EPOCHS
        run = broken / "runs" / "digits-001"
        assert not (run / "summary.json").exists() and not (run / "student.net").exists()
        resumed = finished(train(broken, "--resume"))
        expected = finished(uninterrupted)
    finally:
        for process in (uninterrupted, victim):
            process.kill()
            process.communicate()

    assert [path.name for path in (broken / "runs").iterdir()] == ["digits-001"]
    assert len(metrics(whole)) == 2 + 1 + EPOCHS
    assert metrics(broken) == metrics(whole)
    for name in ("accuracy", "networks", "test_images", "steps", "epochs"):
        assert resumed[name] == expected[name], name
    assert resumed["accuracy"]["integer"] == resumed["accuracy"]["float"]
    ours, theirs = (contents(folder / "runs" / "digits-001" / "student.net") for folder in (broken, whole))
    assert {"@snnkd_provenance", "@snnkd_encoding", "@snnkd_readout"} <= ours.keys() and len(ours) > 20
    assert ours == theirs
    for stage in ("teacher", "ta", "student"):
        place = Path("runs", "digits-001", "checkpoints", f"{stage}.safetensors")
        left, right = (load_file(folder / place) for folder in (broken, whole))
        assert left.keys() == right.keys()
        for name in left:
            np.testing.assert_array_equal(left[name], right[name], err_msg=f"{stage}: {name}")
