"""A run on recordings, from files to a bundle whose C encodes raw events; and what recipes of them may not say."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

from snnkd import recipe
from snnkd.base.errors import RecipeError

NETWORK = """
role = "student"
input = [2, 6, 6]

[[layers]]
kind = "dense"
neurons = 12

[[layers]]
kind = "dense"
neurons = 2
"""

RECIPE = """
[data]
set = "mine"
variants = 2
shift = 1
drop = 0.1
jitter_us = 100

[encoding]
kind = "events"
steps = 5
window_us = 1000
sensor = [12, 12]
pool = 2

[chain.student]
network = "small.toml"
epochs = 3
batch = 8
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Events on the left or on the right, 20 recordings of each to train on and 10 to test."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(1)
    for part, count in (("train", 20), ("test", 10)):
        for label, first in (("left", 0), ("right", 6)):
            folder = tmp_path / "mine" / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                t = np.sort(random.integers(0, 5000, 60))
                columns = [
                    t,
                    random.integers(first, first + 6, 60),
                    random.integers(0, 12, 60),
                    random.integers(0, 10, 60) > 0,
                ]
                np.save(folder / f"{number:02}.npy", np.stack(columns, axis=1))
    (tmp_path / "small.toml").write_text(NETWORK)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path


@pytest.mark.training
@pytest.mark.compiler("gcc")
@pytest.mark.parametrize("change", ['cell = "binary"', 'cell = "count"', 'polarity = "signed"'])
def test_from_recordings_to_a_bundle(mine, call, change):
    (mine / "recipe.toml").write_text(RECIPE.replace("pool = 2", f"pool = 2\n{change}"))
    if "signed" in change:
        (mine / "small.toml").write_text(NETWORK.replace("[2, 6, 6]", "[1, 6, 6]"))

    def json_of(*words):
        status, output, errors = call(*words, "--json")
        assert status == 0, errors
        return json.loads(output)

    trained = json_of("train", "recipe.toml", "--data-root", ".")
    assert trained["accuracy"]["integer"] == trained["accuracy"]["float"] > 0.8
    assert json_of("verify", "--against", "c99")["equal"]
    assert json_of("profile", "--energy")["samples"] == 20
    files = sorted((mine / "mine/test").rglob("*.npy"))
    run = trained["run"]
    told = json_of("encode", f"{run}/student.net", *files, "--out", "events.npy")
    assert told["shape"][:2] == [20, 5]
    assert json_of("encode", run, *files, "--out", "again.npy")["events"] == told["events"]
    json_of("encode", "recipe.toml", *files, "--out", "third.npy")
    np.save("labels.npy", np.repeat([0, 1], 10))
    arguments = ("--input", "events.npy", "--labels", "labels.npy")
    (row,) = json_of("evaluate", f"{run}/student.net", *arguments)["rows"]
    assert row["correct"] / row["total"] == trained["accuracy"]["integer"]
    json_of("handoff", "--target", "c99", "--out", "b.zip")
    with zipfile.ZipFile("b.zip") as bundle:
        names = bundle.namelist()
        golden = next(bundle.read(name).decode() for name in names if name.endswith("golden.h"))
        readme = next(bundle.read(name).decode() for name in names if name.endswith("README.md"))
    assert "#define GOLDEN_HAS_RECORDINGS 1" in golden and "snnkd_events_add" in readme
    checks = {check["name"]: check for check in json_of("handoff", "--verify", "b.zip")["checks"]}
    assert checks["gcc"]["outcome"] == "equal" and "encoded events of 16 samples" in checks["gcc"]["detail"]
    assert all(check["outcome"] != "different" for check in checks.values())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("encoding.count=5", "expected either window_us or count"),
        ("encoding.pool=5", "encoding.pool 5: does not divide 12 x 12 pixels"),
        ("encoding.crop=[0, 0]", "encoding.crop: expected 4 integers"),
        ("encoding.polarity=merged", r"reads \(2, 6, 6\), expected \(1, 6, 6\)"),
        ("encoding.kind=rate", "pool is for kind 'events', which reads recordings"),
        ("data.set=mnist", "encoding.kind: expected one for images: data.set is 'mnist'"),
        ("data.drop=1", "data.drop"),
    ],
)
def test_what_does_not_fit_is_named(mine, change, words):
    with pytest.raises(RecipeError, match=words):
        recipe.load("recipe.toml", [change])


def test_the_sensor_of_own_recordings_has_to_be_said(mine):
    (mine / "recipe.toml").write_text(RECIPE.replace("sensor = [12, 12]\n", ""))
    with pytest.raises(
        RecipeError, match=r"encoding\.sensor: missing; it is \[rows, columns\] of the sensor of 'mine'"
    ):
        recipe.load("recipe.toml")
    assert recipe.load("best/nmnist-conv").encoder().sensor == (34, 34)
    with pytest.raises(RecipeError, match=r"expected one for recordings, which encoding\.kind 'events' reads"):
        recipe.load("digits", ["data.set=nmnist"])


def test_a_recording_with_nothing_in_view_is_warned_about(mine, call):
    np.save("late.npy", np.array([[90_000, 1, 1, 1]]))
    status, _, errors = call("encode", "recipe.toml", "late.npy", "--out", "e.npy")
    assert status == 0 and "sample 0: no event in it after encoding" in errors
    status, _, errors = call("encode", "recipe.toml", "nowhere.npy", "--out", "e.npy")
    assert status == 2 and "nowhere.npy: no such file" in errors
