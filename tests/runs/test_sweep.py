"""Sweeps: their cells, who trains what others wait for, and a small one from end to end, in this process."""

import contextlib
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import snnkd
from snnkd.base import lock
from snnkd.base.errors import LimitError, RecipeError
from snnkd.recipe.overrides import alternatives
from snnkd.runs import cells, sweep
from snnkd.runs.sweep_results import Row, Sweep

SHORT = [f"chain.{stage}.{field}" for stage in ("teacher", "ta", "student") for field in ("epochs=1", "batch=100")]
SMALL = [
    *SHORT,
    "data.train_limit=200",
    *(f"chain.{stage}.network=dense-8x8-{stage}" for stage in ("teacher", "ta", "student")),
]


def test_an_override_has_one_value_or_several():
    assert alternatives("a.b=20,40") == ["a.b=20", "a.b=40"]
    assert alternatives("a=[1, 2],[3]") == ["a=[1, 2]", "a=[3]"]
    assert alternatives("a={x = 1, y = [2, 3]}") == ["a={x = 1, y = [2, 3]}"]
    assert alternatives('a="x,y", z') == ['a="x,y"', "a=z"]
    assert alternatives("a") == ["a"] and alternatives("a=[1,2") == ["a=[1,2"]


def test_seeds():
    assert cells.seeds("1-3") == [1, 2, 3] and cells.seeds("7, 2-3") == [7, 2, 3]
    for text in ("", "3-1", "a", "1-", "0-99999999", "-1"):
        with pytest.raises(LimitError, match="--seeds"):
            cells.seeds(text)


def test_the_grid_has_every_choice_with_every_seed():
    grid = cells.grid(["digits"], [1, 2], ["chain.student.epochs=20,40", "encoding.steps=3"])
    assert [(cell.label, cell.seed) for cell in grid] == [
        ("digits student.epochs=20", 1),
        ("digits student.epochs=20", 2),
        ("digits student.epochs=40", 1),
        ("digits student.epochs=40", 2),
    ]
    assert [cell.recipe.chain["student"].epochs for cell in grid] == [20, 20, 40, 40]
    assert {cell.recipe.encoding.steps for cell in grid} == {3}
    assert grid[3].recipe.name == "digits-student.epochs-40-seed2"
    with pytest.raises(LimitError, match="2 such cells"):
        cells.grid(["digits"], [1, 1])
    with pytest.raises(RecipeError, match="no stage 'pupil'"):
        cells.grid(["digits"], [1], ["chain.pupil.epochs=20,40"])


def test_what_cells_share_is_trained_once_and_the_others_wait():
    one, other, second = cells.grid(["digits"], [1], ["chain.student.epochs=20,40"]) + cells.grid(["digits"], [2])
    users = Counter(key for cell in (one, other, second) for key in cell.stages.values())
    first = sweep._next([one, other, second], [], set(), users)
    assert first is not None and (first.cell, first.until) == (one, "ta")
    assert sweep._next([other], [first], set(), users) is None
    apart = sweep._next([other, second], [first], set(), users)
    assert apart is not None and (apart.cell, apart.until) == (second, None)
    assert apart.stages == set(second.stages.values())
    for cell in (one, other):  # both at once, as soon as the assistant is there
        job = sweep._next([cell], [apart], first.stages, users)
        assert job is not None and (job.cell, job.until) == (cell, None)


def test_statistics_are_over_seeds_and_by_pairs():
    rows = [Row("a", seed, "r", "digits", accuracy=0.5 + 0.1 * seed, spikes=10.0) for seed in (1, 2)]
    rows += [Row("b", seed, "r", "digits", accuracy=0.6 + 0.1 * seed, spikes=20.0) for seed in (1, 2)]
    rows += [Row("c", 1, error="it diverged"), Row("d", 1, "r", "mnist", accuracy=0.9)]
    a, b, c, d = Sweep("sweep", rows, []).cells
    assert a.difference is None and a.accuracy is not None and a.accuracy.seeds == [1, 2]
    assert a.accuracy.mean == pytest.approx(0.65) and a.accuracy.interval is not None
    assert a.accuracy.interval[1] - 0.65 == pytest.approx(12.7062 * 0.05, rel=1e-4)  # t(0.975, 1) s / sqrt(2)
    assert b.difference is not None and b.difference.mean == pytest.approx(0.1)
    assert b.difference.interval == pytest.approx((0.1, 0.1))
    assert (c.accuracy, c.difference, c.failed) == (None, None, [1])
    assert d.difference is None and d.accuracy is not None and d.accuracy.interval is None


class InThisProcess(ThreadPoolExecutor):
    """The pool without its processes, which tests/runs/test_pool.py is about."""

    slots = 1


@pytest.mark.training
def test_a_sweep_goes_on_has_the_same_bits_and_is_compared(tmp_path, monkeypatch, call):
    monkeypatch.setattr(sweep, "open_pool", lambda *_, **__: contextlib.nullcontext(InThisProcess(1)))
    folder, changes = tmp_path / "sweep", [*SMALL, "chain.student.distil.losses={kl = 1.0},{l2 = 0.1}"]
    words = ["sweep", "digits", "--seeds", "1", "--device", "cpu", "--out", folder, "--json"]
    words += [word for text in changes for word in ("--set", text)]
    kl, l2 = cells.grid(["digits"], [1], changes)
    alone = [snnkd.train(cell.recipe, snnkd.TrainingOptions(tmp_path / "alone", device="cpu")) for cell in (kl, l2)]

    # A node of another host has died when it had trained the first cell's teacher.
    begun, _ = sweep._work(kl.recipe, "teacher", sweep._Place(folder, tmp_path, "cpu"))
    assert not (begun / "summary.json").exists() and (begun / "checkpoints/teacher.safetensors").exists()
    (begun / lock.NAME).write_text(json.dumps({"what": "train", "pid": 1, "host": "elsewhere", "since": "then"}))
    code, printed, errors = call(*words)
    assert code == 0 and "process 1 on elsewhere" in errors, errors
    result = json.loads(printed)
    rows = result["rows"]
    assert [(row["cell"], row["accuracy"]) for row in rows] == [
        (cell.label, one.accuracy.integer) for cell, one in zip((kl, l2), alone, strict=True)
    ]
    for row, one in zip(rows, alone, strict=True):
        assert (folder / row["run"] / "student.net").read_bytes() == Path(one.net).read_bytes()
    assert json.loads((folder / rows[1]["run"] / "reused.json").read_text()).keys() == {"teacher", "ta"}
    assert result["cells"][1]["difference"]["mean"] == pytest.approx(rows[1]["accuracy"] - rows[0]["accuracy"])

    # The same cells under other labels, and as many whose data set is not there.
    code, printed, errors = call(*words, "--set", "data.set=digits,nowhere.npz")
    assert code == 1 and "2 of 4 cells were finished before" in errors
    good, bad = json.loads(printed)["rows"][::2], json.loads(printed)["rows"][1::2]
    assert [row["run"] for row in good] == [row["run"] for row in rows]
    assert all("nowhere.npz" in row["error"] and row["accuracy"] is None for row in bad)

    code, compared, _ = call("compare", folder, "--json")
    assert code == 0
    assert {**json.loads(printed), "warnings": []} == json.loads(compared)
    assert call("compare", folder)[1].count("failed: ") == 2
