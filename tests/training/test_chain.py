"""A chain of stages on a tiny problem: teachers, the baseline, and which checkpoints belong to it."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from snnkd import recipe
from snnkd.analysis import evaluation
from snnkd.base import memory
from snnkd.base.errors import LimitError, MismatchError
from snnkd.data.datasets import DataSet, Split
from snnkd.formats import netx
from snnkd.ir.network import IntNet
from snnkd.recipe import stages as stage_files
from snnkd.training import footprint
from snnkd.training.chain import Chain, pick_device
from snnkd.training.deploy import to_intnet
from snnkd.training.tuning import torch_threads

pytestmark = pytest.mark.training

open_stage = stage_files.opened
CLASSES = 3
SIZES = [("large", 12), ("middle", 8), ("small", 5)]


def split(count: int, seed: int) -> Split:
    labels = np.arange(count) % CLASSES
    return Split(np.random.default_rng(seed).integers(0, 256, (count, 1, 6, 6)).astype(np.uint8), labels)


DATA = DataSet("bars", ("a", "b", "c"), split(60, 1), split(30, 2), split(30, 3), "digest")


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


def test_a_teacher_stays_as_its_own_stage_left_it(tmp_path, weights, equal):
    chain = Chain(chain_recipe(), DATA, tmp_path)
    chain.train(["teacher"], resume=False)
    before = weights(chain.load("teacher"))
    rows = []
    chain.train(["teacher", "ta", "student"], resume=True, on_epoch=rows.append)
    assert equal(weights(chain.load("teacher")), before)
    assert [row["stage"] for row in rows] == ["teacher", "teacher", "ta", "student", "student"]
    assert {"loss.label", "loss.kl", "loss.sliding_l2"} <= rows[-1].keys() and "loss.kl" not in rows[0]


def test_the_baseline_is_the_student_without_its_teacher(tmp_path, weights, equal):
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


def test_variants_that_no_epoch_sees_take_no_memory(tmp_path, weights, equal):
    """An epoch sees one variant: a hundred million of them are as many as there are epochs."""
    networks = []
    for number, variants in enumerate((2, 100_000_000)):
        chain = Chain(chain_recipe(**{"data.variants": variants}), DATA, tmp_path / str(number))
        footprint.check(chain, chain.recipe.chain)
        chain.train(["teacher", "student"], False)
        networks.append(weights(chain.load("student")))
    assert equal(*networks)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"networks.large.layers": "[{kind='dense',neurons=1000000000000},{kind='dense',neurons=3}]"},
            "weights of 'la",
        ),
        ({"chain.ta.epochs": 10**12, "data.variants": 10**12}, "a teacher's answers to 60 images in 1,000,000,000,000"),
        (
            {"encoding.steps": 4096, "networks.small.layers": "[{kind='dense',neurons=2000},{kind='dense',neurons=3}]"},
            "",
        ),
    ],
    ids=["weights", "answers", "fits"],
)
def test_what_does_not_fit_in_memory_is_refused_before_anything_is_trained(tmp_path, monkeypatch, change, words):
    monkeypatch.setattr(memory, "available", lambda: 4 << 30)
    chain = Chain(chain_recipe(**change), DATA, tmp_path)
    if not words:
        footprint.check(chain, chain.recipe.chain)
        monkeypatch.setattr(memory, "available", lambda: 100 << 20)
        words = "a batch of 16 images, 4,096 steps of 2,003 neurons"
    with pytest.raises(LimitError, match=r"chain\.\w+: .*" + words + r".* of memory, and"):
        footprint.check(chain, chain.recipe.chain)


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a CUDA device")
def test_a_device_that_is_not_there_is_named():
    assert pick_device("auto") == torch.device("cpu")
    with pytest.raises(LimitError, match="--device cuda"):
        pick_device("cuda")


NET = {
    "encoding": {"kind": "direct", "steps": 5},
    "networks": {
        "dense": {"input": [1, 6, 6], "layers": [{"kind": "dense", "neurons": n} for n in (8, CLASSES)]},
        "conv": {
            "input": [1, 6, 6],
            "layers": [
                {"kind": "conv", "channels": 3, "kernel": 3, "stride": 2},
                {"kind": "dense", "neurons": CLASSES},
            ],
        },
    },
}


def stages(**chain: dict) -> recipe.Recipe:
    return recipe.parse({"name": "tiny", "data": {"set": "bars", "shift": 1, "variants": 2}, **NET, "chain": chain})


def saved(path: Path, network: str, **metadata: object) -> IntNet:
    """A trained network of another recipe, in the file `path`."""
    chain = Chain(stages(other={"network": network, "epochs": 2, "batch": 16}), DATA, path.parent / "other")
    chain.train(["other"], resume=False)
    trained = chain.load("other")
    options = {"message_bits": 8, "encoding": chain.recipe.encoder().to_json(), **metadata}
    netx.save(to_intnet(trained.blocks, trained.input_shape, **options), path)
    return netx.load(path)


def test_an_ann_teaches_with_its_logits_of_the_best_epoch(tmp_path, weights, equal):
    taught = {"network": "dense", "epochs": 2, "batch": 16, "distil": {"losses": {"kl": 1.0}}}
    taught_by_ann = stages(teacher={"network": "conv", "neuron": "relu", "epochs": 3, "batch": 16}, student=taught)
    chain, rows = Chain(taught_by_ann, DATA, tmp_path), []
    chain.train(["teacher", "student", "baseline"], resume=False, on_epoch=rows.append)
    assert [row["stage"] for row in rows] == ["teacher"] * 3 + ["student"] * 2 + ["baseline"] * 2
    assert "validation.float" in rows[0] and "validation.integer" not in rows[0]
    assert "loss.kl" in rows[3] and "validation.integer" in rows[3] and "loss.kl" not in rows[-1]
    ann = chain.ann("teacher")
    teacher = chain._training("student", {"teacher": ann}).teacher  # pyright: ignore
    indices = np.arange(10)
    torch.testing.assert_close(teacher.sat(indices, 0).sum(dim=0).T, ann.logits(chain.feed(DATA.train))[:10])
    assert ann.accuracy(chain.feed(DATA.validation)) == max(row["validation.float"] for row in rows[:3])
    before = weights(chain.load("student"))
    again: list[dict] = []
    chain.train(["teacher", "student"], resume=True, on_epoch=again.append)
    assert again == rows[:5] and equal(weights(chain.load("student")), before)


def test_a_network_of_a_file_teaches_and_is_not_trained(tmp_path):
    path = tmp_path / "old.net"
    net = saved(path, "conv")
    taught = {"network": "dense", "epochs": 2, "batch": 16, "distil": {"losses": {"kl": 1.0}}}
    chain, rows = Chain(stages(teacher={"net": str(path)}, student=taught), DATA, tmp_path / "run"), []
    chain.train(["teacher", "student"], resume=False, on_epoch=rows.append)
    assert [row["stage"] for row in rows] == ["student"] * 2
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["student.safetensors"]
    feed = chain._training("student", None).train
    sat = chain._training("student", {"teacher": chain.net("teacher")}).teacher.sat(np.arange(20), 1)  # pyright: ignore
    spikes = evaluation.simulate(net, feed.events(np.arange(20), 1)).layers[-1].spikes
    assert sat.shape == (5, CLASSES, 20) and sat.any()
    np.testing.assert_array_equal(sat.numpy(), spikes.transpose(1, 2, 0))


def test_a_file_is_read_once(tmp_path, monkeypatch):
    path = tmp_path / "old.net"
    saved(path, "conv")
    taught = {"network": "dense", "epochs": 1, "batch": 16, "distil": {"losses": {"kl": 1.0}, "teacher": "teacher"}}
    from_file = stages(teacher={"net": str(path)}, ta={**taught, "network": "conv", "start": str(path)}, student=taught)
    chain, opened = Chain(from_file, DATA, tmp_path / "run"), []
    monkeypatch.setattr(stage_files, "opened", lambda stage, shape: opened.append(stage) or open_stage(stage, shape))
    chain.train(["teacher", "ta", "student"], resume=False)
    assert chain.net("teacher") is chain.net("teacher") and chain.network("ta") is not None
    assert [stage.net or stage.start for stage in opened] == [str(path)] * 2, "the teacher's, and the start of ta"


@pytest.mark.parametrize("threads", [1, 3])
def test_a_training_has_the_threads_that_are_set_when_it_starts(tmp_path, threads):
    chain = Chain(chain_recipe(), DATA, tmp_path)
    with torch_threads(threads):
        assert chain._training("teacher", {}).threads == threads


@pytest.mark.parametrize("network", ["dense", "conv"])
@pytest.mark.parametrize("bits", [8, 4])
def test_a_stage_starts_from_the_network_of_a_file(tmp_path, same_net, network, bits, weights, equal):
    path = tmp_path / "old.net"
    net = saved(path, network)
    started_from = stages(student={"network": network, "start": str(path), "epochs": 1, "batch": 16})
    neuron = {"voltage_decay": 0.5, "threshold": 3.0}
    table = started_from.to_dict() | {"neuron": neuron, "quantization": {"weight_bits": bits}}
    chain = Chain(recipe.parse(table), DATA, tmp_path / "run")
    initial = chain.network("student")
    initial.calibrate(chain.feed(DATA.train).batch(np.arange(10))[0])  # changes nothing: the thresholds are the file's
    options = {"message_bits": 8, "encoding": net.encoding}
    started = to_intnet(initial.blocks, initial.input_shape, **options)
    step = 1 << (9 - bits)
    for started_layer, layer in zip(started.layers, net.layers, strict=True):
        nearest = np.clip(np.rint(layer.weight / step) * step, -256, 256 - step)
        np.testing.assert_array_equal(started_layer.weight, nearest)
        for name in ("threshold", "current_decay", "voltage_decay"):
            assert getattr(started_layer.neuron, name).item() == getattr(layer.neuron, name).item()
    if bits == 8:
        same_net(started, net)
    assert equal(weights(chain.network("baseline")), weights(initial))
    chain.train(["student"], resume=False)
    path.unlink()
    trained = chain.load("student")  # needs the file no longer
    assert not equal(weights(trained), weights(initial))
    for block, layer in zip(trained.layers, net.layers, strict=True):
        assert int(block.neuron.v_th_mantissa) == layer.neuron.threshold
    chain.train(["student"], resume=False)  # a chain has read it
    with pytest.raises(MismatchError, match=r"old\.net: no such file"):
        Chain(chain.recipe, DATA, tmp_path / "run").train(["student"], resume=False)


def test_a_file_that_changed_is_not_taken_for_the_one_that_the_recipe_means(tmp_path):
    path = tmp_path / "old.net"
    saved(path, "conv")
    taught = {"network": "dense", "epochs": 1, "batch": 16, "distil": {"losses": {"kl": 1.0}}}
    taught_by_file = stages(teacher={"net": str(path)}, student=taught)
    chain = Chain(taught_by_file, DATA, tmp_path / "run")
    chain.train(["teacher", "student"], resume=False)
    path.write_bytes(path.read_bytes() + b" ")
    resumed = Chain(taught_by_file, DATA, tmp_path / "run")
    with pytest.raises(MismatchError, match=r"old\.net: not the file that the recipe means"):
        resumed.train(["teacher", "student"], resume=True)
    assert resumed.load("student"), "what was trained stays usable"
    renewed = Chain(stages(teacher={"net": str(path)}, student=taught), DATA, tmp_path / "run")
    with pytest.raises(MismatchError, match=r"student\.safetensors: belongs to another recipe"):
        renewed.load("student")
