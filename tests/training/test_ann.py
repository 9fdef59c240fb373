"""ANNs as teachers: what they are made of, what they read and learn, and what they hand to a student."""

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

import snnkd
from snnkd import recipe
from snnkd.base.errors import MismatchError, SnnkdError
from snnkd.cli.progress import TrainingProgress
from snnkd.cli.training import summary
from snnkd.data.datasets import Split
from snnkd.data.encoding import Encoding
from snnkd.recipe import tables
from snnkd.recipe.architecture import Architecture, Conv, Dense
from snnkd.recipe.tables import Label, Optimizer, Stage
from snnkd.training.feed import Feed
from snnkd.training.loop.ann import AnnTraining
from snnkd.training.teachers.ann import Ann, AnnTeacher, images
from snnkd.training.tuning import torch_threads

CLASSES, SEED, CPU = 3, 5, torch.device("cpu")
CONV = Architecture(
    name="conv",
    input=(2, 6, 6),
    layers=(Conv(channels=4, kernel=(3, 3), stride=(2, 2), padding=(1, 1)), Dense(neurons=7), Dense(neurons=CLASSES)),
)


pytestmark = pytest.mark.usefixtures("one_thread")


def split(count: int, seed: int) -> Split:
    """Bright bars in one of three places, on a noisy ground; the second channel is brighter."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    pictures = random.integers(0, 120, (count, 2, 6, 6)).astype(np.uint8)
    pictures[:, 1] += 35
    for picture, label in zip(pictures, labels, strict=True):
        picture[0, 2 * label : 2 * label + 2] += 100
    return Split(pictures, labels)


def feed(count: int = 60, seed: int = 1, variants: int = 1, steps: int = 4, shift: int = 2) -> Feed:
    augment = tables.Data(shift=shift, flip=True, variants=variants)
    return Feed(split(count, seed), Encoding("direct", steps), CPU, augment, seed=9)


def training(path: Path, *, epochs: int = 4, plan: Architecture = CONV, key: str = "key", **stage) -> AnnTraining:
    torch.manual_seed(SEED)
    options = {"optimizer": Optimizer(lr=0.02), "batch": 16} | stage
    return AnnTraining(
        name="teacher",
        stage=Stage(network="conv", neuron="relu", epochs=epochs, **options),
        network=Ann(plan),
        train=feed(variants=2, shift=0),  # a shifted bar is one of another class
        validation=feed(30, 2),
        seed=SEED,
        key=key,
        path=path / "teacher.safetensors",
    )


def without_seconds(history: list[dict]) -> list[dict]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def test_layers_are_those_of_the_description():
    """By hand: normalization and ReLU behind all layers but the last one, a bias where there is no norm."""
    torch.manual_seed(0)
    ann, x = Ann(CONV), torch.rand(5, 2, 6, 6)
    ann.mean.fill_(0.3), ann.std.fill_(0.7)
    conv, first, last = (m for m in ann.layers if isinstance(m, torch.nn.Conv2d | torch.nn.Linear))
    assert conv.bias is None and first.bias is None and last.bias is not None
    last.bias.data.sub_(1)

    def norm(values: torch.Tensor) -> torch.Tensor:
        dims = [d for d in range(values.ndim) if d != 1]
        centred = values - values.mean(dims, keepdim=True)
        return (centred / (values.var(dims, unbiased=False, keepdim=True) + 1e-5).sqrt()).relu()

    x_in = (x - 0.3) / 0.7
    hidden = norm(torch.nn.functional.conv2d(x_in, conv.weight, stride=2, padding=1)).flatten(1)  # pyright: ignore
    hidden = norm(hidden @ first.weight.T)
    expected = hidden @ last.weight.T + last.bias
    assert torch.allclose(ann.train()(x), expected, atol=1e-5)
    assert (expected < 0).any(), "no ReLU behind the last layer"
    weights, norms = 4 * 2 * 9 + 7 * 36 + 3 * 7, 2 * 4 + 2 * 7
    assert ann.size == weights + norms + CLASSES
    single = Ann(Architecture(name="one", input=(2, 6, 6), layers=(Conv(channels=3, kernel=(6, 6)),)))
    assert single(x).shape == (5, 3) and single.size == 3 * 2 * 36 + 3


def test_images_are_those_that_the_student_sees_and_standardized():
    whole = feed(variants=3)
    indices = np.random.default_rng(0).permutation(60)[:20]
    for number in range(3):
        seen = images(whole, indices, number)
        events = whole.events(indices, number)[:, 0]  # direct encoding sends the four highest bits
        np.testing.assert_array_equal((seen * 255).round().numpy().astype(np.uint8) >> 4, events)
        assert seen.is_contiguous(memory_format=torch.channels_last)
    assert not torch.equal(images(whole, indices, 1), images(whole, indices, 2))
    ann = Ann(CONV)
    ann.standardize(whole)
    values = whole.split.images.astype(np.float64) / 255
    np.testing.assert_allclose(ann.mean.flatten(), values.mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(ann.std.flatten(), values.std(axis=(0, 2, 3)), rtol=1e-6)
    black = Feed(Split(np.zeros((4, 2, 6, 6), np.uint8), np.arange(4) % 3), Encoding("direct", 2), CPU)
    ann.standardize(black)
    assert torch.isfinite(ann.eval()(images(black, np.arange(4)))).all()


def test_it_is_judged_and_teaches_in_eval_mode():
    """Else what an image gets would depend on the others of its block, and the running statistics on the judging."""
    torch.manual_seed(0)
    whole, ann = feed(), Ann(CONV)
    ann.train()
    ann(images(whole, np.arange(60)))
    before = {name: value.clone() for name, value in ann.state_dict().items()}
    logits = ann.logits(whole)
    assert all(torch.equal(before[name], value) for name, value in ann.state_dict().items())
    few = Feed(whole.split.take(np.arange(3)), whole.encoding, CPU)
    torch.testing.assert_close(ann.train().logits(few), logits[:3])


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_learns_and_keeps_its_best_epoch(tmp_path, kind):
    run = training(tmp_path, epochs=6, optimizer=Optimizer(kind=kind, lr=0.02))
    seen, batches, judged = [], [], []
    run.on_batch = lambda *place: batches.append(place)

    def on_epoch(row: dict) -> None:
        seen.append(row)
        judged.append(run.network.accuracy(run.validation))

    run.on_epoch = on_epoch
    network = run.run()
    assert seen == run.progress.history and [row["validation.float"] for row in seen] == judged
    assert seen[-1]["loss"] < 0.5 * seen[0]["loss"] and seen[-1]["loss"] == seen[-1]["loss.label"]
    assert set(seen[0]) == {"stage", "epoch", "loss", "loss.label", "train.float", "validation.float", "seconds"}
    assert batches[:4] == [("teacher", 1, 6, number, 4) for number in range(1, 5)]
    best = max(judged)
    assert best > 0.8 and network.accuracy(run.validation) == run.progress.best_accuracy == best
    assert run.progress.best_epoch == max(epoch for epoch, value in enumerate(judged, 1) if value == best)
    assert not network.training
    again = training(tmp_path, epochs=6).restore()
    assert all(
        torch.equal(a, b) for a, b in zip(again.state_dict().values(), network.state_dict().values(), strict=True)
    )


class Stopped(Exception):
    pass


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_resumed_in_the_middle_of_an_epoch_it_ends_bit_identical(tmp_path, kind):
    def run(folder: Path, resume: bool = False, stop: int | None = None) -> AnnTraining:
        made = training(folder, epochs=5, optimizer=Optimizer(kind=kind, lr=0.02, weight_decay=1e-3))

        def on_batch(_stage: str, epoch: int, _epochs: int, batch: int, _batches: int) -> None:
            if (epoch, batch) == (stop, 2):
                raise Stopped

        made.on_batch = on_batch
        made.run(resume)
        return made

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    expected = run(whole)
    with pytest.raises(Stopped):
        run(broken, stop=4)
    resumed = run(broken, resume=True)
    assert without_seconds(resumed.progress.history) == without_seconds(expected.progress.history)
    left, right = (load_file(folder / "teacher.safetensors") for folder in (broken, whole))
    assert left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
    assert "network.mean" in left and "best.layers.1.running_var" in left
    with pytest.raises(MismatchError, match="another recipe"):
        training(broken, key="other").run(resume=True)


def test_a_loss_that_is_not_finite_ends_the_training(tmp_path):
    run = training(tmp_path, epochs=3)

    def diverge(_stage: str, epoch: int, _epochs: int, batch: int, batches: int) -> None:
        if (epoch, batch) == (2, 1):
            run.network.layers[0].weight.data.mul_(math.nan)  # pyright: ignore

    run.on_batch = diverge
    with pytest.raises(SnnkdError, match="teacher, epoch 2: the loss is not finite; use a lower learning rate"):
        run.run()


@pytest.mark.parametrize(("count", "batch"), [(3, 2), (2, 2), (5, 128), (7, 3)])
def test_no_batch_has_a_single_image(tmp_path, count, batch):
    """Batch normalization of dense layers needs two."""
    dense = Architecture(name="dense", input=(2, 6, 6), layers=(Dense(neurons=5), Dense(neurons=CLASSES)))
    run = training(tmp_path, epochs=1, batch=batch, plan=dense)
    run.train = feed(count)
    run.run()
    assert run.progress.epoch == 1


def test_the_label_scale_is_of_spikes_and_weighs_nothing_here(tmp_path):
    runs = [training(tmp_path / str(k), epochs=1, label=Label(scale=scale)) for k, scale in enumerate((0.1, 10.0))]
    for run in runs:
        run.run()
    assert without_seconds(runs[0].progress.history) == without_seconds(runs[1].progress.history)


def test_all_cores_are_used_inside_and_given_back(tmp_path):
    run = training(tmp_path, epochs=1)
    run.threads, inside = 2, []
    run.on_batch = lambda *_: inside.append(torch.get_num_threads())
    run.run()
    assert set(inside) == {2} and torch.get_num_threads() == 1
    with pytest.raises(Stopped), torch_threads(2):
        raise Stopped
    assert torch.get_num_threads() == 1


def test_a_teacher_gives_its_logits_in_equal_shares_once_for_each_variant(monkeypatch):
    whole = feed(variants=3, steps=5)
    torch.manual_seed(0)
    ann, asked = Ann(CONV), []
    ann.standardize(whole)
    ann.eval()
    logits = Ann.logits

    def counted(self: Ann, given: Feed, number: int = 0) -> torch.Tensor:
        asked.append(number)
        return logits(self, given, number)

    monkeypatch.setattr(Ann, "logits", counted)
    teacher, random = AnnTeacher(ann, whole), np.random.default_rng(0)
    for number in (1, 0, 1, 2, 2):
        indices = random.permutation(60)[:17]
        sat = teacher.sat(indices, number)
        assert sat.shape == (5, CLASSES, 17) and sat.dtype == torch.float32
        with torch.no_grad():
            expected = ann(images(whole, indices, number))
        torch.testing.assert_close(sat.sum(dim=0).T, expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(sat, sat[:1].expand_as(sat), atol=0, rtol=0)
    assert asked == [1, 0, 2]
    kept = list(teacher._logits.values())
    assert [(value.shape, value.dtype) for value in kept] == [((60, CLASSES), torch.float32)] * 3


@pytest.mark.training
def test_a_whole_run_lists_an_ann_and_the_network_of_a_file_as_what_they_are(tmp_path):
    """The accuracy table, metrics.csv, TensorBoard and the progress bars, none of which may expect an integer one."""
    settings = {"encoding": {"steps": 4}, "data": {"train_limit": 200}}
    short = {"network": "dense-8x8-student", "epochs": 1, "batch": 32}
    first = snnkd.train(
        recipe.parse({"name": "old", **settings, "chain": {"old": short}}), snnkd.TrainingOptions(folder=tmp_path)
    ).to_json()
    taught = {**short, "distil": {"losses": {"kl": 1.0}, "teacher": "ann"}}
    chain = {"ann": {**short, "epochs": 2, "neuron": "relu"}, "file": {"net": first["net"]}, "student": taught}
    loaded = recipe.parse({"name": "both", **settings, "chain": chain})
    with TrainingProgress() as progress:
        done = snnkd.train(
            loaded, snnkd.TrainingOptions(folder=tmp_path, on_batch=progress.on_batch, on_epoch=progress.on_epoch)
        ).to_json()
    assert done["epochs"] == 3
    rows = done["networks"]
    assert [row["kind"] for row in rows.values()] == ["ann", "net", "snn"]
    assert rows["ann"]["accuracy"]["integer"] is None and rows["ann"]["accuracy"]["float"] > 0.3
    assert rows["file"]["accuracy"] == {"float": None, "integer": first["accuracy"]["integer"]}
    assert (rows["file"]["network"], rows["file"]["parameters"]) == ("student.net", 3552)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(summary(done))
    lines = {line.split()[0]: line.split()[1:] for line in console.export_text().splitlines() if line.strip()}
    assert lines["ann"][:2] == ["dense-8x8-student", "(ANN)"] and lines["ann"][-1] == "-"
    assert lines["file"][:2] == ["student.net", "(frozen)"] and lines["file"][-2] == "-"
    folder = Path(done["run"])
    with (folder / "metrics.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    filled = [(row["stage"], bool(row["validation.float"]), bool(row["validation.integer"])) for row in table]
    assert filled == [("ann", True, False), ("ann", True, False), ("student", False, True)]
    assert {path.name for path in (folder / "tensorboard").iterdir()} == {"ann", "student"}
    assert {path.stem for path in (folder / "checkpoints").iterdir()} == {"ann", "student"}
    again = snnkd.train(loaded, snnkd.TrainingOptions(folder=tmp_path, resume=True)).to_json()
    assert again == done
    Path(first["net"]).unlink()
    with pytest.raises(MismatchError, match=r"student\.net: no such file"):
        snnkd.train(loaded, snnkd.TrainingOptions(folder=tmp_path))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("both")] == ["both-001"], "none begun"
