"""Stages that another run has trained alike are taken over, others are trained."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import snnkd
from snnkd import recipe
from snnkd.base import provenance
from snnkd.data import datasets
from snnkd.recipe.lineage import lineage
from snnkd.training.chain import Chain

pytestmark = pytest.mark.training

SMALL = {"network": "dense-8x8-student", "epochs": 1, "batch": 50}
TAUGHT = {**SMALL, "distil": {"losses": {"kl": 1.0}, "teacher": "teacher"}}
TEACHER = {"network": "dense-8x8-ta", "epochs": 1, "batch": 50}


def made(*changes: str, **chain: dict[str, Any]) -> recipe.Recipe:
    shared = {"name": "reuse", "data": {"train_limit": 100}, "encoding": {"steps": 3}}
    return recipe.parse({**shared, "chain": chain}, list(changes))


def trained(folder: Path, plan: recipe.Recipe, **options: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    return snnkd.train(
        plan, snnkd.TrainingOptions(folder=folder, device="cpu", on_epoch=rows.append, **options)
    ).to_json(), rows


@pytest.fixture
def first(tmp_path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return trained(tmp_path, made(teacher=TEACHER, student=TAUGHT))


def test_a_teacher_is_not_trained_twice(tmp_path: Path, first: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    first_run, before = first
    assert first_run["reused"] == {}
    changed = made("chain.student.distil.losses={l2 = 1.0}", teacher=TEACHER, student=TAUGHT)
    second_run, after = trained(tmp_path, changed, reuse=True)
    assert second_run["reused"] == {"teacher": first_run["run"]} and second_run["run"] != first_run["run"]
    assert after[0] == before[0] and [row["stage"] for row in after] == ["teacher", "student"]  # seconds and all
    runs = (first_run, second_run)
    left, right = (Path(run["run"], "checkpoints", "teacher.safetensors").read_bytes() for run in runs)
    assert left == right
    again, _ = trained(tmp_path, changed, resume=True)
    assert again["run"] == second_run["run"] and again["reused"] == second_run["reused"]
    assert json.loads(Path(second_run["run"], "reused.json").read_text()) == second_run["reused"]


def test_a_student_of_a_teacher_taken_over_is_the_one_of_a_whole_training(tmp_path: Path, same_net: Any) -> None:
    taken, taught = tmp_path / "taken", made(teacher=TEACHER, student=TAUGHT)
    trained(taken, made(teacher=TEACHER))
    reused, _ = trained(taken, taught, reuse=True)
    whole, _ = trained(tmp_path / "whole", taught, reuse=True)
    assert list(reused["reused"]) == ["teacher"] and not whole["reused"]
    assert reused["accuracy"] == whole["accuracy"]
    same_net(snnkd.load(reused["net"]), snnkd.load(whole["net"]))


@pytest.mark.parametrize("change", ["chain.teacher.optimizer.lr=0.5", "seed=2", "neuron.voltage_decay=0.5"])
def test_a_changed_field_trains_again(
    tmp_path: Path, first: tuple[dict[str, Any], list[dict[str, Any]]], change: str
) -> None:
    second_run, _ = trained(tmp_path, made(change, teacher=TEACHER, student=TAUGHT), reuse=True)
    assert second_run["reused"] == {}


def test_an_unfinished_stage_is_not_taken_over(tmp_path: Path) -> None:
    plan = made("chain.teacher.epochs=2", teacher=TEACHER, student=TAUGHT)

    def killed(row: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        snnkd.train(plan, snnkd.TrainingOptions(folder=tmp_path, device="cpu", on_epoch=killed))
    assert list(tmp_path.glob("*/checkpoints/teacher.safetensors"))
    damaged = tmp_path / "reuse-000" / "checkpoints" / "teacher.safetensors"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"no checkpoint")
    assert trained(tmp_path, plan, reuse=True)[0]["reused"] == {}


def test_a_stage_depends_only_on_what_it_learns_from() -> None:
    def key(plan: recipe.Recipe, name: str) -> str:
        return provenance.digest(lineage(plan, name))

    short, long = made(teacher=TEACHER, student=TAUGHT), made(teacher=TEACHER, ta=SMALL, student=TAUGHT)
    assert key(short, "teacher") == key(long, "teacher") and key(short, "student") == key(long, "student")
    slower = made("chain.teacher.epochs=2", teacher=TEACHER, student=TAUGHT)
    assert key(short, "student") != key(slower, "student")


def test_a_stage_starts_the_same_in_every_chain(tmp_path: Path) -> None:
    data = datasets.load("digits")
    chains = [made(student=SMALL), made(teacher=TEACHER, student=TAUGHT), made("seed=2", student=SMALL)]
    networks = [Chain(plan, data, tmp_path).network("student").state_dict() for plan in chains]
    same = [[torch.equal(state[name], networks[0][name]) for name in state if "weight" in name] for state in networks]
    assert all(same[1]) and same[1] and not any(same[2])
