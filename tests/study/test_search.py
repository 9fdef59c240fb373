"""`snnkd search` from end to end: what is refused, stopped and found, twice alike, killed and taken up again."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from snnkd import recipe as recipes
from snnkd import study
from snnkd.base.errors import LimitError, MismatchError, SnnkdError
from snnkd.engines import c99
from snnkd.recipe import outline
from snnkd.study.trials import Trial

pytest.importorskip("optuna")
pytestmark = pytest.mark.training
ROOT = Path(__file__).resolve().parents[2]
WANTED = 4


def told(trials: list[Trial]) -> list[dict]:
    """All that a search says of its trials but for how long they took."""
    return [{**trial.to_json(), "seconds": 0, "measured": trial.measured} for trial in trials]


@pytest.fixture(scope="module")
def found(Inline, make_space, tmp_path_factory: pytest.TempPathFactory) -> tuple[study.Found, list[str], Path]:
    """A search, the calls that it made, and its space."""
    pool, space = Inline(), make_space()
    return study.search(space, tmp_path_factory.mktemp("found"), WANTED, pool), pool.calls, space


def test_what_becomes_of_candidates(found) -> None:
    result, calls, _ = found
    counted = result.counted()
    assert counted["finished"] + counted["stopped"] == WANTED and set(counted) == {"finished", "stopped", "refused"}
    assert calls.count("shared") == 1  # the one teacher
    assert calls.count("student") == 1 + WANTED + counted["finished"]
    for trial in result.trials:
        if trial.status == "refused":
            assert "byte of flash, max_flash is 1,000" in trial.reason and not trial.measured
        else:
            assert list(trial.measured) == ([1, 2] if trial.status == "finished" else [1])
            assert 0 < trial.last.flash <= 1000 and trial.last.energy_uJ is None
            plan = c99.plan(
                outline.student(recipes.load(Path(result.out) / f"candidates/000{trial.number}/recipe.toml"))
            )
            assert trial.last.ram == plan.ram and trial.last.flash <= plan.flash  # as it was checked before
    assert result.reference.flash < 2000


def test_the_front(found) -> None:
    result, *_ = found
    finished = [trial for trial in result.trials if trial.status == "finished"]
    assert result.front and all(trial in finished for trial in result.front)
    for trial in finished:
        beaten = [
            other
            for other in finished
            if other.last.accuracy >= trial.last.accuracy
            and other.last.flash <= trial.last.flash
            and (other.last.accuracy, other.last.flash) != (trial.last.accuracy, trial.last.flash)
        ]
        assert (trial in result.front) == (not beaten)


def test_killed_and_taken_up_again_with_other_test_images(Inline, found, make_space, tmp_path: Path) -> None:
    """The same trials, to the last bit: seeds are fixed, and neither the kill nor the test data leave a trace."""
    result, *_ = found
    space = make_space(test_seed=2)
    with pytest.raises(KeyboardInterrupt):
        study.search(space, tmp_path, WANTED, Inline(4))
    again = study.search(space, tmp_path, WANTED, Inline())
    assert told(again.trials) == told(result.trials) and again.reference == result.reference


def test_stops_on_the_way_change_nothing(found, tmp_path: Path) -> None:
    """A finished candidate is, bit for bit, what its recipe gives when it is trained at once."""
    from snnkd.study import training

    result, *_ = found
    best = result.front[0]
    candidate = Path(result.out) / "candidates" / f"{best.number:04d}"
    shutil.copy(candidate / training.RECIPE, tmp_path)
    at_once, _ = training.student(tmp_path, Path(result.out) / "teachers", 2, Path(), None)
    assert at_once == best.measured[2]


def test_done_is_done(Inline, found) -> None:
    result, _, space = found
    pool = Inline()
    assert told(study.search(space, Path(result.out), WANTED, pool).trials) == told(result.trials)
    assert not pool.calls


def test_another_space_in_the_same_folder(Inline, found, make_space) -> None:
    with pytest.raises(MismatchError, match="holds the trials of another space"):
        study.search(make_space(("seed = 5", "seed = 6")), Path(found[0].out), WANTED, Inline())


def test_where_nothing_fits(Inline, make_space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from snnkd.study import searching

    monkeypatch.setattr(searching, "PATIENCE", 3)
    pool, said = Inline(), r"3 candidates in a row were refused; the last one: needs [\d,]+ byte of flash"
    with pytest.raises(LimitError, match=said):
        study.search(make_space(("max_flash = 1000", "max_flash = 100")), tmp_path, WANTED, pool)
    assert not pool.calls


def test_a_training_that_fails_ends_one_candidate(
    Inline, make_space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from snnkd.study import training

    whole = training.student

    def student(candidate: Path, *arguments):
        if candidate.name == "0001":
            raise SnnkdError("student, epoch 1: the loss is not finite")
        return whole(candidate, *arguments)

    monkeypatch.setattr(training, "student", student)
    result = study.search(make_space(("max_flash = 1000", "min_accuracy = 0.99")), tmp_path, 2, Inline())
    assert {trial.status for trial in result.trials} <= {"failed", "stopped", "outside", "refused"}
    (failed,) = [trial for trial in result.trials if trial.status == "failed"]
    assert failed.number == 1 and "not finite" in failed.reason and not result.front


def test_the_command(found, inline, call, tmp_path: Path) -> None:
    result, _, space = found
    out = Path(result.out)
    code, printed, errors = call("search", space, "--trials", WANTED, "--out", out, "--json")
    assert (code, errors) == (0, "")
    data = json.loads(printed)
    best = data["front"][0]
    section = (ROOT / "docs/cli.md").read_text().split("## `snnkd search")[1].split("\n## ")[0]
    assert all(f"`{key}`" in section for key in [*data, *best, *best["measures"]])
    assert data["trials"] == result.counted() and best["number"] == result.front[0].number
    rows = list(csv.DictReader((out / "trials.csv").open()))
    assert [row["status"] for row in rows] == [trial.status for trial in result.trials]
    assert float(rows[best["number"]]["accuracy"]) == best["measures"]["accuracy"]
    assert len((out / "front.csv").read_text().splitlines()) == 1 + len(result.front)
    page, picture = (out / "front.html").read_text(), (out / "front.svg").read_text()
    assert f">{best['number']}<" in page and picture.startswith("<svg") and "the front" in picture

    taken = tmp_path / "taken.toml"
    assert call("search", out, "--take", best["number"], "--out", taken)[0] == 0
    recipe = recipes.load(taken)
    assert recipe.chain["student"].epochs == 40  # the economy is over
    assert recipe.neuron.voltage_decay == best["parameters"]["neuron.voltage_decay"]
    refused = next(trial for trial in result.trials if trial.status == "refused")
    code, _, errors = call("search", out, "--take", refused.number, "--out", taken)
    assert code == 2 and f"--take {refused.number}: not in" in errors
    code, _, errors = call("search", space, "--take", 0, "--out", taken)
    assert code == 2 and "expected the folder of a search" in errors
