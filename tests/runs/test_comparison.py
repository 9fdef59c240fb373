"""Runs in a list and side by side: made folders, without a training."""

import json

import numpy as np
import pytest

from snnkd import recipe, runs
from snnkd.base.files import to_json
from snnkd.runs import answers, listing
from snnkd.runs.answers import Answers

LABELS = np.arange(100) % 10


def made(folder, seed, right, changes=(), images=LABELS, profiled=True):
    """A finished run in which the first `right` images are recognized; returns its name."""
    loaded = recipe.load("digits", [f"seed={seed}", *changes])
    run = runs.create(loaded, {"seed": seed, "data": f"split {seed}"}, folder)
    given = np.where(np.arange(len(images)) < right, images, (images + 1) % 10)
    run.write(answers.NAME, Answers(images, given).to_csv())
    if profiled:
        energy = {"loihi2": {"dynamic_uJ": {"low": 0.5, "typical": 1.0 * right, "high": 2.0 * right}}}
        run.write("profile.json", to_json({"energy": energy}))
    summary = {"accuracy": {"float": None, "integer": right / len(images)}, "networks": {}, "spikes": 10.0 * seed}
    run.write("summary.json", to_json(summary))
    return run.folder.name


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def compared(call, folder):
    def run(*names):
        status, printed, errors = call("compare", *names, "--runs", folder, "--json")
        assert status == 0, errors
        return json.loads(printed)

    return run


# runs


def test_runs_are_listed_finished_or_not(call, folder):
    made(folder, 1, 80)
    runs.create(recipe.load("digits", ["seed=7"]), {"seed": 7}, folder)
    status, printed, errors = call("runs", folder, "--json")
    assert status == 0, errors
    first, second = json.loads(printed)["runs"]
    assert set(first) == {"run", "recipe", "seed", "accuracy", "spikes", "date"}
    assert (first["recipe"], first["seed"], first["accuracy"], first["spikes"]) == ("digits", 1, 0.8, 10.0)
    assert (second["seed"], second["accuracy"], second["spikes"]) == (7, None, None)
    _, printed, _ = call("runs", folder)
    assert "80.00" in printed and "not finished" in printed


def test_a_run_that_cannot_be_read_is_passed_over(call, folder):
    made(folder, 1, 80)
    (folder / "other").mkdir()
    (folder / "other/recipe.toml").write_text("name = ")
    status, printed, errors = call("runs", folder, "--json")
    assert status == 0 and len(json.loads(printed)["runs"]) == 1
    assert "passed over" in errors and "other" in errors


def test_a_folder_that_is_not_there(call, tmp_path):
    status, _, errors = call("runs", tmp_path / "nothing")
    assert status == 2 and "no such folder" in errors


def test_the_run_of_an_older_snnkd_has_no_spikes(folder):
    run = runs.create(recipe.load("digits"), {"seed": 1}, folder)
    run.write("summary.json", json.dumps({"accuracy": {"integer": 0.5}, "networks": {}}))
    assert listing.row(run.folder).spikes is None


# compare


def test_two_runs_image_by_image(folder, compared):
    names = made(folder, 1, 80), made(folder, 1, 90, ["chain.student.epochs=7"])
    data = compared(*names)
    assert data["recipe"] == [{"field": "chain.student.epochs", "values": [40, 7]}]
    (pair,) = data["pairs"]
    assert (pair["images"], pair["first_right"], pair["second_right"]) == (100, 0, 10)
    assert pair["difference"] == pytest.approx(0.1) and pair["p"] == pytest.approx(2 / 2**10)
    assert 0 < pair["interval"][0] < 0.1 < pair["interval"][1]
    assert [band["typical"] for band in data["energy"]["loihi2"]] == [80, 90]
    assert data["by_seed"] is None and data["warnings"] == []


def test_seeds_of_two_recipes_are_paired(folder, compared):
    first = [made(folder, seed, right) for seed, right in ((1, 80), (2, 70), (3, 75))]
    second = [made(folder, seed, right, ["chain.student.epochs=7"]) for seed, right in ((3, 85), (1, 88), (9, 10))]
    data = compared(*first, *second)
    assert [pair["difference"] for pair in data["pairs"]] == pytest.approx([0.08, 0.1])
    seeds = data["by_seed"]
    assert seeds["seeds"] == [1, 3] and seeds["difference"] == pytest.approx(0.09)
    assert [path.rsplit("/")[-1] for path in seeds["second"]] == [second[1], second[0]]
    assert {row["field"] for row in data["recipe"]} == {"seed", "chain.student.epochs"}


def test_what_cannot_be_compared_image_by_image_says_why(folder, compared):
    first = made(folder, 1, 80, profiled=False)
    other, without = made(folder, 2, 80, images=LABELS[::-1]), made(folder, 3, 80)
    (folder / without / answers.NAME).unlink()
    data = compared(first, other, without)
    assert data["pairs"][0]["why"] == "not the same test images" and data["pairs"][0]["p"] is None
    assert f"no answers.csv in {folder / without}" in data["pairs"][1]["why"]
    assert data["energy"]["loihi2"][0] is None and f"snnkd profile {folder / first}" in data["warnings"][0]


def test_one_run_cannot_be_compared(call, folder):
    name = made(folder, 1, 80)
    for names in ([name], [name, folder / name]):
        status, _, errors = call("compare", *names, "--runs", folder)
        assert status == 2 and "expected two runs or more" in errors


def test_networks_are_told_by_their_names(folder, compared):
    first, second = made(folder, 1, 80), made(folder, 1, 80, ["chain.student.network=dense-8x8-student"])
    fields = {row["field"] for row in compared(first, second)["recipe"]}
    assert fields == {"chain.student.network"}


# answers.csv


def test_answers_by_class():
    labels, given = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 2])
    seen = Answers(labels, given)
    assert seen.confusion(3).tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 0]]
    rows = seen.by_class(("cat", "dog", "fox"))
    assert [(row.name, row.images, row.accuracy) for row in rows] == [
        ("cat", 3, pytest.approx(2 / 3)),
        ("dog", 2, 0.5),
        ("fox", 0, None),
    ]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_answers_come_back(tmp_path, count):
    labels, given = np.arange(count), np.arange(count)[::-1]
    (tmp_path / answers.NAME).write_text(Answers(labels, given).to_csv())
    found = answers.read(tmp_path)
    assert found is not None and found.labels.tolist() == labels.tolist() and found.answers.tolist() == given.tolist()


@pytest.mark.parametrize(
    "text", ["image,label,answer\n0,1\n", "image,label\n0,1,1\n", "\xff", "image,label,answer\n0,a,1\n"]
)
def test_damaged_answers_are_refused(call, folder, text):
    first, second = made(folder, 1, 80), made(folder, 2, 80)
    (folder / first / "SHA256SUMS").unlink()
    (folder / first / answers.NAME).write_text(text, encoding="latin-1")
    status, _, errors = call("compare", first, second, "--runs", folder)
    assert status == 2 and f"{folder / first / answers.NAME}" in errors
