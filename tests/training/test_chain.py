"""A chain of stages on a tiny problem: teachers, the baseline, and which checkpoints belong to it."""

import dataclasses

import numpy as np
import pytest
import torch

from snnkd import recipe
from snnkd.datasets import DataSet, Split
from snnkd.errors import LimitError, MismatchError
from snnkd.training.blocks import Network
from snnkd.training.chain import Chain, pick_device

CLASSES = 3
SIZES = [("large", 12), ("middle", 8), ("small", 5)]


def split(count: int, seed: int) -> Split:
    labels = np.arange(count) % CLASSES
    return Split(np.random.default_rng(seed).integers(0, 256, (count, 1, 6, 6)).astype(np.uint8), labels)


DATA = DataSet("bars", ("a", "b", "c"), split(60, 1), split(30, 2), split(30, 3), "digest")


def weights(network: Network) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def chain_recipe(**changes: object) -> recipe.Recipe:
    layers = {name: [{"kind": "dense", "neurons": n}, {"kind": "dense", "neurons": CLASSES}] for name, n in SIZES}
    return recipe.parse(
        {
            "name": "tiny",
            "data": {"set": "bars", "shift": 1, "variants": 2},
            "encoding": {"kind": "poisson", "steps": 5},
            "networks": {name: {"input": [1, 6, 6], "layers": table} for name, table in layers.items()},
            "chain": {
                "teacher": {"network": "large", "epochs": 2, "batch": 16},
                "ta": {"network": "middle", "epochs": 1, "batch": 16, "distil": {"losses": {"l1": 1.0}}},
                "student": {
                    "network": "small",
                    "epochs": 2,
                    "batch": 16,
                    "distil": {"losses": {"kl": 1.0, "sliding_l2": 0.1}, "teacher": "teacher", "normalize": True},
                },
            },
        },
        [f"{key}={value}" for key, value in changes.items()],
    )


def test_a_teacher_stays_as_its_own_stage_left_it(tmp_path):
    chain = Chain(chain_recipe(), DATA, tmp_path)
    chain.train(["teacher"], resume=False)
    before = weights(chain.load("teacher"))
    rows = []
    chain.train(["teacher", "ta", "student"], resume=True, on_epoch=rows.append)
    assert equal(weights(chain.load("teacher")), before)
    assert [row["stage"] for row in rows] == ["teacher", "teacher", "ta", "student", "student"]
    assert {"loss.label", "loss.kl", "loss.sliding_l2"} <= rows[-1].keys() and "loss.kl" not in rows[0]


def test_the_baseline_is_the_student_without_its_teacher(tmp_path):
    chain = Chain(chain_recipe(), DATA, tmp_path)
    rows = []
    chain.train(["teacher", "ta", "student", "baseline"], resume=False, on_epoch=rows.append)
    assert equal(weights(chain.network("baseline")), weights(chain.network("student")))
    assert chain.plan("baseline") == chain.plan("student")
    assert not equal(weights(chain.load("baseline")), weights(chain.load("student")))
    assert not any(name in rows[-1] for name in ("loss.kl", "loss.sliding_l2"))
    alone = Chain(chain_recipe(**{"chain.student.label.weight": 0}), DATA, tmp_path / "imitation")
    alone.train(["teacher", "baseline"], resume=False)  # a student that has no label loss gets one as the baseline
    assert alone.load("baseline")


def test_a_checkpoint_belongs_to_its_stage_and_those_before_it(tmp_path):
    Chain(chain_recipe(), DATA, tmp_path).train(["teacher", "ta", "student"], resume=False)
    later = Chain(chain_recipe(**{"chain.student.optimizer.lr": 0.5}), DATA, tmp_path)
    later.load("teacher"), later.load("ta")
    with pytest.raises(MismatchError):
        later.load("student")
    earlier = Chain(chain_recipe(**{"chain.teacher.epochs": 3}), DATA, tmp_path)
    other_data = Chain(chain_recipe(), dataclasses.replace(DATA, digest="other"), tmp_path)
    for chain, name in ((earlier, "student"), (earlier, "teacher"), (other_data, "teacher")):
        with pytest.raises(MismatchError, match=rf"{name}\.safetensors"):
            chain.load(name)


def test_train_limit_takes_each_class_in_its_share(tmp_path):
    chain = Chain(chain_recipe(**{"data.train_limit": 20}), DATA, tmp_path)
    every = np.bincount(DATA.train.labels)
    limited = np.bincount(chain._training("teacher", {}).train.split.labels, minlength=len(every))
    assert limited.sum() == 20
    assert (np.abs(limited - every * 20 / every.sum()) < 1).all()


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a CUDA device")
def test_a_device_that_is_not_there_is_named():
    assert pick_device("auto") == torch.device("cpu")
    with pytest.raises(LimitError, match="--device cuda"):
        pick_device("cuda")
