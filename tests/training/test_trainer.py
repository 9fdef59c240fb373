"""One stage on a tiny problem: what is learned, which epoch is kept, and how training goes on."""

import dataclasses
import math
import resource
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from snnkd.base.errors import FormatError, MismatchError, QuantizationError, SnnkdError
from snnkd.data import datasets
from snnkd.data.datasets import Split
from snnkd.data.encoding import Encoding
from snnkd.ir.readout import Readout
from snnkd.recipe.architecture import Architecture, Dense
from snnkd.recipe.tables import Distil, Label, Neuron, Optimizer, Prune, Quantization, Rate, Stage
from snnkd.training.deploy import to_intnet
from snnkd.training.feed import Feed
from snnkd.training.loop import checkpoint
from snnkd.training.loop.trainer import Training
from snnkd.training.measuring import measure_training
from snnkd.training.memory import flat
from snnkd.training.network import Network

CLASSES, SEED = 3, 5


pytestmark = [pytest.mark.training, pytest.mark.usefixtures("one_thread")]


def split(count: int, seed: int, noise: float = 0.0) -> Split:
    """Bright bars in one of three places, on a noisy ground; `noise` is the fraction of random labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    images = random.integers(0, 120, (count, 1, 6, 6)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[0, 2 * label : 2 * label + 2] += 100
    labels = np.where(random.random(count) < noise, random.integers(0, CLASSES, count), labels)
    return Split(images, labels)


def training(
    path: Path, *, epochs: int = 4, noise: float = 0.0, key: str = "key", centered: bool = False, **stage
) -> Training:
    torch.manual_seed(SEED)
    plan = Architecture(name="tiny", input=(1, 6, 6), layers=(Dense(neurons=8), Dense(neurons=CLASSES)))
    encoding = Encoding("direct", 4)
    options = {"optimizer": Optimizer(lr=0.03), "label": Label(scale=0.5), "batch": 16} | stage
    device = torch.device("cpu")
    return Training(
        name="student",
        stage=Stage(network="tiny", epochs=epochs, **options),
        network=Network(plan, Neuron(tau_grad=0.01, scale_grad=10), Quantization(centered=centered), event_max=15),
        train=Feed(split(60, 1, noise), encoding, device),
        validation=Feed(split(30, 2, noise), encoding, device),
        readout=Readout("count", "membrane"),
        seed=SEED,
        key=key,
        path=path / "student.safetensors",
    )


class Killed(Exception):
    pass


def kill(run: Training, stop: tuple[int, int]) -> None:
    """Runs a training that ends with an exception after a batch: (epoch, batch)."""

    def end(_stage: str, epoch: int, _epochs: int, batch: int, _batches: int) -> None:
        if (epoch, batch) == stop:
            raise Killed

    run.on_batch = end
    with pytest.raises(Killed):
        run.run()


def without_seconds(history: list[dict]) -> list[dict]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


@pytest.mark.parametrize("kind", ["adam", "sgd"])
@pytest.mark.parametrize("label", [Label(scale=0.5), Label(loss="spike-rate")], ids=["cross-entropy", "spike-rate"])
def test_learns_a_tiny_problem(tmp_path, kind, label):
    run = training(tmp_path, epochs=8, optimizer=Optimizer(kind=kind, lr=0.03), label=label)
    network = run.run()
    history = run.progress.history
    assert [row["epoch"] for row in history] == list(range(1, 9))
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    assert measure_training(network, run.validation, run.readout).accuracy > 0.8
    assert not network.training


def test_rows_say_what_happened_in_each_layer(tmp_path):
    run = training(tmp_path, epochs=1)
    seen, batches = [], []
    run.on_epoch, run.on_batch = seen.append, lambda *place: batches.append(place)
    run.run()
    assert seen == run.progress.history
    for name in ("rate", "silent", "saturated", "overflows"):
        assert [f"{name}.layer{k}" in seen[0] for k in range(3)] == [True, True, False]
    assert seen[0]["loss"] == pytest.approx(seen[0]["loss.label"])
    assert batches == [("student", 1, 1, number, 4) for number in range(1, 5)]  # 60 images: four batches of 15


def test_each_epoch_is_judged_by_the_integer_network_which_is_as_good_as_the_training_network(tmp_path):
    run = training(tmp_path, epochs=5, noise=0.3)
    reported, expected = [], []

    def on_epoch(row: dict) -> None:
        reported.append(row["validation.integer"])
        expected.append(measure_training(run.network, run.validation, run.readout).accuracy)

    run.on_epoch = on_epoch
    run.run()
    assert reported == expected and len(set(reported)) > 1
    assert run.progress.best_accuracy == max(expected)


def test_weights_that_are_not_finite_end_the_training(tmp_path):
    """Their network would be no better than chance for the rest of the time."""
    run = training(tmp_path, epochs=3)

    def diverge(_stage: str, epoch: int, _epochs: int, batch: int, batches: int) -> None:
        if (epoch, batch) == (2, batches):
            run.network.layers[1].synapse.weight.data.mul_(math.nan)

    run.on_batch = diverge
    with pytest.raises(QuantizationError, match=r"student, epoch 2: block 2 \(Dense\): .*diverged.*learning rate"):
        run.run()
    assert training(tmp_path, epochs=3).restore()  # that of the epoch before


def test_weights_that_are_all_0_do_not_end_the_training(tmp_path):
    """They may grow, for example where weight_bits is small; until then the layer is silent."""
    run = training(tmp_path)
    weight, kept = run.network.layers[1].synapse.weight.data, []

    def vanish(_stage: str, epoch: int, _epochs: int, batch: int, batches: int) -> None:
        if (epoch, batch) == (1, batches):
            kept.append(weight.clone())
            weight.zero_()

    run.on_batch = vanish
    run.on_epoch = lambda row: weight.copy_(kept[0]) if row["epoch"] == 1 else None
    run.run()
    first, *later = run.progress.history
    assert (first["silent.layer1"], first["validation.integer"]) == (1, pytest.approx(1 / CLASSES))
    assert all(row["silent.layer1"] < 1 for row in later) and run.progress.best_epoch > 1


def test_keeps_the_epoch_that_was_best_on_validation_data(tmp_path, weights, equal):
    """Most training labels are random: what is learned first is right, what is learned by heart later is not."""

    def fresh(noise: float) -> Training:
        run = training(tmp_path, epochs=10, noise=noise, optimizer=Optimizer(lr=0.03, schedule="constant"))
        run.validation = dataclasses.replace(run.validation, split=split(30, 2))
        return run

    kept_epochs = []
    for noise in (0.6, 0.8, 0.7, 0.5):  # the first of these will do; others for another processor's rounding
        run = fresh(noise)
        network = run.run()
        accuracies = [row["validation.integer"] for row in run.progress.history]
        best = max(accuracies)
        last_of_equals = 10 - accuracies[::-1].index(best)
        assert (run.progress.best_epoch, run.progress.best_accuracy) == (last_of_equals, best)
        assert measure_training(network, run.validation, run.readout).accuracy == best
        assert equal(weights(fresh(noise).restore()), weights(network))
        kept_epochs.append(last_of_equals)
        if last_of_equals < 10:
            break
    assert min(kept_epochs) < 10


def test_without_validation_data_the_last_epoch_is_kept(tmp_path):
    run = training(tmp_path, epochs=3)
    run.validation = dataclasses.replace(run.validation, split=split(0, 1))
    run.run()
    assert run.progress.best_epoch == 3


def test_the_same_seed_gives_the_same_network(tmp_path, weights, equal):
    first, second = training(tmp_path / "a"), training(tmp_path / "b")
    assert equal(weights(first.run()), weights(second.run()))
    assert without_seconds(first.progress.history) == without_seconds(second.progress.history)
    reseeded = dataclasses.replace(training(tmp_path / "c"), seed=SEED + 1)
    assert not equal(weights(reseeded.run()), weights(first.network))


@pytest.mark.parametrize("kind", ["adam", "sgd"])
@pytest.mark.parametrize("stop", [(1, 2), (3, 1), (4, 4)], ids=lambda place: f"epoch {place[0]} batch {place[1]}")
def test_resumed_training_ends_bit_identical(tmp_path, kind, stop, weights, equal):
    prune = Prune(share=0.5, until=0.8)
    options = {"epochs": 5, "optimizer": Optimizer(kind=kind, lr=0.03, schedule="one-cycle"), "prune": prune}
    whole = training(tmp_path / "whole", **options)
    expected = weights(whole.run())
    kill(training(tmp_path / "broken", **options), stop)
    resumed = training(tmp_path / "broken", **options)
    rows = []
    resumed.on_epoch = rows.append
    if resumed.path.exists():
        torch.rand(7)  # the checkpoint's random state counts, not what else happened in the process
    assert equal(weights(resumed.run(resume=True)), expected)
    assert without_seconds(rows) == without_seconds(whole.progress.history)
    left, right = (load_file(run.path) for run in (whole, resumed))
    assert equal(left, right)


@pytest.mark.parametrize("centered", [False, True])
def test_the_network_that_is_kept_is_a_pruned_one(tmp_path, centered):
    run = training(tmp_path, epochs=6, prune=Prune(share=0.6, until=0.7), centered=centered)
    trained = to_intnet(run.run().blocks, (1, 6, 6))
    assert run.progress.best_epoch >= 5  # the first one that ends after 0.7 of all
    pruned = 1 - sum(np.count_nonzero(layer.weight) for layer in trained.layers) / trained.parameters
    assert 0.59 < pruned < 0.7
    assert run.progress.best_accuracy > 0.7


def test_a_finished_stage_is_not_trained_again(tmp_path, weights, equal):
    run = training(tmp_path)
    expected, written = weights(run.run()), run.path.stat().st_mtime_ns
    again = training(tmp_path)
    again.on_batch = lambda *_: pytest.fail("trained again")
    assert equal(weights(again.run(resume=True)), expected)
    assert run.path.stat().st_mtime_ns == written


def test_without_resume_it_starts_anew(tmp_path, weights, equal):
    expected = weights(training(tmp_path).run())
    batches = []
    again = training(tmp_path)
    again.on_batch = lambda *place: batches.append(place)
    assert equal(weights(again.run()), expected)
    assert len(batches) == 16


def test_a_checkpoint_holds_optimizer_and_random_state(tmp_path, equal):
    run = training(tmp_path, epochs=2)
    run.run()
    tensors = load_file(run.path)
    assert torch.equal(tensors["rng"], torch.get_rng_state())
    assert {name.split(".")[0] for name in tensors} == {"network", "best", "optimizer", "rng"}
    assert {"optimizer.0.exp_avg", "optimizer.1.exp_avg_sq", "optimizer.0.step"} <= tensors.keys()
    assert tensors["optimizer.0.step"] == 8
    torch.rand(3)
    optimizer = torch.optim.Adam([flat(block.synapse.weight.detach(), 0) for block in run.network.layers])
    progress, best = checkpoint.load(run.path, "key", run.network, optimizer)
    assert torch.equal(torch.get_rng_state(), tensors["rng"])
    assert torch.equal(optimizer.state_dict()["state"][1]["exp_avg"], tensors["optimizer.1.exp_avg"])
    assert (progress.epoch, progress.history) == (2, run.progress.history)
    assert equal(best, {name: tensors[f"best.{name}"] for name in best})


def damage(path: Path, how: str) -> None:
    raw = path.read_bytes()
    if how == "cut off":
        path.write_bytes(raw[: len(raw) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "not a checkpoint":
        path.write_bytes(b"PK\x03\x04" + bytes(range(256)) * 20)
    elif how == "a huge header":
        path.write_bytes(b"\xff" * 8 + raw[8:])
    elif how == "no progress":
        save_file(load_file(path), path)
    elif how == "progress of another program":
        save_file(load_file(path), path, metadata={"progress": '{"epochs": 3}'})
    elif how == "a folder":
        path.unlink()
        path.mkdir()
    else:
        lacking = {name: value for name, value in load_file(path).items() if not name.startswith(how.split()[1])}
        if how.startswith("no"):
            lacking.pop("network.blocks.1.synapse.weight", None)
        save_file(lacking, path, metadata={"progress": '{"key": "key", "epoch": 1}'})


@pytest.mark.parametrize(
    "how",
    [
        "cut off",
        "empty",
        "not a checkpoint",
        "a huge header",
        "no progress",
        "progress of another program",
        "a folder",
        "without optimizer",
        "without rng",
        "without best",
        "without network",
    ],
)
def test_a_damaged_checkpoint_is_named(tmp_path, how):
    training(tmp_path, epochs=1).run()
    path = tmp_path / "student.safetensors"
    damage(path, how)
    with pytest.raises(FormatError, match=r"student\.safetensors: damaged checkpoint"):
        training(tmp_path, epochs=2).run(resume=True)
    assert path.exists()


def test_restoring_what_was_never_trained_names_the_file(tmp_path):
    with pytest.raises(FormatError, match=r"student\.safetensors"):
        training(tmp_path).restore()


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    training(tmp_path, epochs=1).run()
    kept = (tmp_path / "student.safetensors").read_bytes()
    for attempt in (training(tmp_path, key="other").restore, lambda: training(tmp_path, key="other").run(resume=True)):
        with pytest.raises(MismatchError, match=r"student\.safetensors: belongs to another recipe"):
            attempt()
    assert (tmp_path / "student.safetensors").read_bytes() == kept


@pytest.mark.skipif(sys.platform != "linux", reason="limits file sizes as Linux does")
def test_a_checkpoint_that_cannot_be_written_leaves_the_earlier_one(tmp_path):
    """A limit on the size of files stands in for a full disk."""
    run = training(tmp_path, epochs=1)
    run.run()
    kept = run.path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(kept) // 2, hard))
    try:
        with pytest.raises(SnnkdError, match=r"student\.safetensors: cannot be written"):
            training(tmp_path, epochs=1).run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert run.path.read_bytes() == kept
    assert list(tmp_path.iterdir()) == [run.path]


LEARNED = Label(scale="learned", loss="temporal-cross-entropy")


def of_itself() -> dict:
    """A stage without a teacher that has all that a stage's objective may hold."""
    table = Distil(losses={"self_ensemble": 0.5, "strong_to_weak": 0.5}, window=2, scale="learned", normalize=True)
    return {"label": LEARNED, "distil": table, "rate": Rate(max_rate=0.1, weight=5.0)}


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_a_learned_scale_moves_and_resumes_bit_identical(tmp_path, kind, weights, equal):
    options = {"epochs": 5, "optimizer": Optimizer(kind=kind, lr=0.03, weight_decay=0.01), **of_itself()}
    whole = training(tmp_path / "whole", **options)
    expected = weights(whole.run())
    rows = whole.progress.history
    assert list(rows[0])[2:7] == ["loss", "loss.label", "loss.self_ensemble", "loss.strong_to_weak", "loss.rate"]
    assert len({1.0, *(row["scale"] for row in rows)}) == 6
    assert whole.progress.objective["log_scale"] == pytest.approx(math.log(rows[-1]["scale"]), abs=1e-6)
    assert whole.progress.objective["norms"].keys() == {"self_ensemble", "strong_to_weak"}
    kill(training(tmp_path / "broken", **options), (4, 2))
    resumed = training(tmp_path / "broken", **options)
    assert equal(weights(resumed.run(resume=True)), expected)
    assert without_seconds(resumed.progress.history) == without_seconds(rows)
    assert resumed.progress.objective == whole.progress.objective
    assert equal(*(load_file(run.path) for run in (whole, resumed)))


def test_what_spikes_cost_lowers_them_on_digits(tmp_path):
    digits = datasets.load("digits").train.take(np.arange(300))
    plan = Architecture(name="tiny", input=(1, 8, 8), layers=(Dense(neurons=24), Dense(neurons=10)))
    rates, right = [], []
    for number, rate in enumerate((None, Rate(max_rate=0.05, weight=3.0))):
        run = training(tmp_path / str(number), epochs=6, rate=rate, batch=32)
        torch.manual_seed(SEED)
        run.network = Network(plan, Neuron(tau_grad=0.01, scale_grad=10), event_max=15)
        run.train = run.validation = dataclasses.replace(run.train, split=digits)
        run.run()
        last = run.progress.history[-1]
        rates.append(last["rate.layer0"])
        right.append(last["validation.integer"])
        assert ("loss.rate" in last) == (rate is not None)
    assert rates[0] > 0.2 and rates[1] < 0.7 * rates[0]
    assert min(right) > 0.8


def test_the_schedule_is_what_the_optimizer_gets(tmp_path, weights):
    """The first step of SGD is its learning rate times the gradient."""
    moved = []
    for lr in (0.01, 0.02):
        run = training(tmp_path, epochs=1, batch=60, optimizer=Optimizer(kind="sgd", lr=lr))
        before = weights(run.network)["blocks.1.synapse.weight"]
        moved.append(weights(run.run())["blocks.1.synapse.weight"] - before)
    assert moved[0].any()
    torch.testing.assert_close(2 * moved[0], moved[1], rtol=1e-3, atol=1e-6)
