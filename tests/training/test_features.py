"""Maps of hidden layers: each loss against its formula and its invariances; their gradients in a batch in parts; a
training with them, its teachers, and that it resumes bit for bit."""

import dataclasses
import math
from typing import Any, get_args

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from snnkd import recipe
from snnkd.analysis import evaluation
from snnkd.base.errors import FormatError
from snnkd.data.datasets import DataSet, Split
from snnkd.data.encoding import Encoding
from snnkd.recipe import tables
from snnkd.recipe.architecture import Architecture, Conv, Dense
from snnkd.recipe.tables import Features
from snnkd.training import feature_losses as losses
from snnkd.training.chain import Chain
from snnkd.training.deploy import to_intnet
from snnkd.training.feature_losses import FEATURE_LOSSES, Blur
from snnkd.training.features import FeatureTerm
from snnkd.training.feed import Feed
from snnkd.training.loop import step
from snnkd.training.loop.step import Maps
from snnkd.training.network import Network
from snnkd.training.teachers.ann import Ann, AnnTeacher
from snnkd.training.teachers.spiking import Teacher
from snnkd.training.tuning import torch_threads

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("one_thread")]

CLASSES, STEPS, VARIANTS = 3, 4, 2


def maps(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*(shape or (2, 3, 4, 3, 2)), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_every_loss_of_a_recipe_is_there() -> None:
    assert set(FEATURE_LOSSES) == set(get_args(tables.FeatureLoss))


@pytest.mark.parametrize("name", FEATURE_LOSSES)
def test_equal_maps_cost_nothing_and_gradients_are_those_of_differences(name: str) -> None:
    compare, student, teacher = FEATURE_LOSSES[name].compare, maps(1), maps(2)
    scaled = teacher / teacher.amax()  # what `scaled_mse` asks for
    assert float(compare(scaled, teacher if name == "blurred" else scaled)) == pytest.approx(0, abs=1e-12)
    assert float(compare(student, teacher)) > 1e-3
    assert torch.autograd.gradcheck(lambda x: compare(x, teacher), student.requires_grad_())
    once = maps(3, 1, 3, 4, 3, 2)  # a teacher that does the same at every step
    assert torch.allclose(compare(student, once), compare(student, once.expand_as(student)))


def plain_unit(values: list[float]) -> list[float]:
    norm = math.sqrt(sum(value * value for value in values))
    return [value / norm for value in values]


def test_losses_equal_their_formulas_as_plain_loops() -> None:
    student, teacher = maps(1), maps(2)
    pairs = [(student[t, n], teacher[t, n]) for t in range(2) for n in range(3)]
    mse = attention = 0.0
    for mine, theirs in pairs:
        units = zip(plain_unit(mine.flatten().tolist()), plain_unit(theirs.flatten().tolist()), strict=True)
        mse += sum((a - b) ** 2 for a, b in units) / len(pairs)
        sums = [
            [sum(float(f[c, h, w]) ** 2 for c in range(4)) for h in range(3) for w in range(2)] for f in (mine, theirs)
        ]
        attention += sum((a - b) ** 2 for a, b in zip(*map(plain_unit, sums), strict=True)) / len(pairs)
    assert float(losses.normalized_mse(student, teacher)) == pytest.approx(mse)
    assert float(losses.attention(student, teacher)) == pytest.approx(attention)
    likeness = []
    for x, y in zip(student.flatten(2).numpy(), teacher.flatten(2).numpy(), strict=True):
        x, y = x - x.mean(axis=0), y - y.mean(axis=0)
        likeness.append(np.sum((y.T @ x) ** 2) / np.linalg.norm(x.T @ x) / np.linalg.norm(y.T @ y))  # by features
    assert float(losses.cka(student, teacher)) == pytest.approx(1 - np.mean(likeness))
    assert float(losses.membrane(student, teacher)) == pytest.approx(np.mean((student - teacher).numpy() ** 2))
    top = float(teacher.max())
    assert float(losses.scaled_mse(student, teacher)) == pytest.approx(np.mean((student - teacher / top).numpy() ** 2))


def test_known_values() -> None:
    one, other = torch.zeros(1, 2, 1, 1, 2), torch.zeros(1, 2, 1, 1, 2)
    one[:, 0, ..., 0] = one[:, 1, ..., 1] = 3.0
    other[:, 0, ..., 1] = other[:, 1, ..., 0] = 0.5
    assert losses.normalized_mse(one, other) == 2 and losses.attention(one, other) == 2  # right angles
    assert losses.cka(one, other) == pytest.approx(0, abs=1e-6)  # two images are as unlike in both
    assert losses.membrane(one, torch.zeros_like(one)) == 4.5
    assert losses.normalized_mse(torch.zeros_like(one), other) == 1  # a silent layer


def test_what_does_not_matter() -> None:
    student, teacher = maps(1), maps(2)
    for name in ("mse", "attention", "cka"):  # the scale of either
        compare = FEATURE_LOSSES[name].compare
        assert torch.allclose(compare(student, teacher), compare(0.1 * student, 7 * teacher))
    order = torch.randperm(4)
    assert torch.allclose(losses.attention(student, teacher), losses.attention(student[:, :, order], teacher))
    turn = torch.linalg.qr(torch.randn(24, 24, dtype=torch.float64))[0]
    turned = (student.flatten(2) @ turn).view_as(student) + 5
    assert torch.allclose(losses.cka(student, teacher), losses.cka(turned, teacher))
    assert torch.allclose(losses.scaled_mse(student, teacher), losses.scaled_mse(student, 7 * teacher))


def test_a_blurred_map_has_lost_whole_channels() -> None:
    torch.manual_seed(0)
    blur, x = Blur(6, 500), torch.rand(40, 6, 2, 2)
    seen = []
    blur.first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    assert blur(x).shape == (40, 500, 2, 2)
    lost = (seen[0] == 0).flatten(2).all(dim=2)
    assert torch.equal(lost, (seen[0] == 0).flatten(2).any(dim=2))
    assert float(lost.float().mean()) == pytest.approx(losses.MASKED, abs=0.01)


PLAN = Architecture(
    name="student",
    input=(2, 9, 9),
    layers=(Conv(channels=4, kernel=(3, 3), stride=(2, 2)), Dense(neurons=7), Dense(neurons=CLASSES)),
)
LARGE = Architecture(
    name="teacher",
    input=(2, 9, 9),
    layers=(Conv(channels=6, kernel=(2, 2)), Conv(channels=5, kernel=(3, 3), stride=(2, 2)), Dense(neurons=CLASSES)),
)


def feed(kind: str = "direct", count: int = 21) -> Feed:
    random = np.random.default_rng(1)
    split = Split(random.integers(0, 256, (count, 2, 9, 9)).astype(np.uint8), np.arange(count) % CLASSES)
    augment = tables.Data(shift=2, flip=True, variants=VARIANTS)
    return Feed(split, Encoding(kind, STEPS, seed=4), torch.device("cpu"), augment, seed=9)


def spiking(plan: Architecture, data: Feed, seed: int = 3) -> Network:
    torch.manual_seed(seed)
    network = Network(plan, tables.Neuron(voltage_decay=0.1), event_max=15)
    network.calibrate(data.batch(np.arange(len(data)))[0])
    return network


def ann() -> Ann:
    torch.manual_seed(2)
    return Ann(LARGE)


@pytest.mark.parametrize("variant", range(VARIANTS))
def test_an_anns_features_are_its_relus_on_any_number_of_cores(variant: int, monkeypatch) -> None:
    monkeypatch.setattr("snnkd.training.teachers.ann._PART", 4)
    data, indices = feed(), np.array([3, 20, 0, 7, 7, 11])
    network: Any = ann()
    teacher = AnnTeacher(network, data, threads=1)
    found = teacher.features(indices, variant, ["layer1", "layer0"], "rate")
    network.eval()
    x = data.pixels(indices, variant).float() / 255
    first = network.layers[:3]((x - network.mean) / network.std)
    expected = {"layer0": first, "layer1": network.layers[3:6](first)}
    assert list(found) == ["layer1", "layer0"] and not found["layer0"].requires_grad
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)
    with torch_threads(3):
        again = AnnTeacher(network, data, threads=3).features(indices, variant, ["layer1", "layer0"], "rate")
    assert all(torch.equal(found[name], again[name]) and not again[name].requires_grad for name in found)


@pytest.mark.parametrize("kind", ["direct", "poisson"])
def test_features_of_a_spiking_teacher_are_those_of_the_same_network_in_training(kind: str) -> None:
    """Rates, spikes and potentials of the integer network, in units of its thresholds, equal the student's own."""
    data, indices = feed(kind), np.array([5, 0, 13])
    network = spiking(PLAN, data)
    teacher = Teacher(to_intnet(network.blocks, network.input_shape, message_bits=data.encoding.message_bits), data)
    output = network(data.batch(indices, 1)[0], membranes=[0, 1])
    for number in (0, 1):
        name = f"layer{number}"
        spikes = teacher.features(indices, 1, [name], "spikes")[name]
        assert torch.equal(spikes, output.layers[number]) and 0 < spikes.mean() < 1
        assert torch.allclose(teacher.features(indices, 1, [name], "rate")[name], spikes.mean(dim=0))
        v = teacher.features(indices, 1, [name], "membrane")[name]
        torch.testing.assert_close(v, output.membranes[number].detach())
        assert v.max() <= 1 and (v[spikes > 0] == 0).all()


def term(loss: str, pairs: tuple[tuple[str, str], ...], of_maps: str = "rate", teacher: str = "ann") -> tuple:
    """(student, its feed, term) with a teacher of that kind."""
    data = feed()
    student = spiking(PLAN, data)
    if teacher == "ann":
        guide: Teacher = AnnTeacher(ann(), data)
    else:
        network = spiking(LARGE, data, seed=8)
        guide = Teacher(to_intnet(network.blocks, network.input_shape, message_bits=8), data)
    table = Features(loss=loss, weight=0.7, pairs=pairs, maps=of_maps, teacher=teacher)  # pyright: ignore
    return student, data, FeatureTerm(table, student, guide, data, seed=6)


SAME_SIZE, OTHER_SIZE = ("layer0", "layer1"), ("layer0", "layer0")  # 4 x 4 x 4 with 5 x 3 x 3 or 6 x 8 x 8
CASES = [
    ("mse", (SAME_SIZE, ("layer1", "layer0")), "rate", "ann"),
    ("mse", (OTHER_SIZE,), "spikes", "spiking"),
    ("attention", (OTHER_SIZE,), "rate", "ann"),
    ("blurred", (SAME_SIZE,), "rate", "ann"),
    ("membrane", (SAME_SIZE, ("layer1", "layer1")), "membrane", "spiking"),
    ("cka", (OTHER_SIZE,), "membrane", "spiking"),
]


@pytest.mark.parametrize(("loss", "pairs", "of_maps", "teacher"), CASES)
def test_gradients_in_parts_are_those_of_the_batch_on_any_number_of_cores(
    loss: str, pairs: tuple, of_maps: str, teacher: str, monkeypatch
) -> None:
    monkeypatch.setattr(step, "LEAST", 6)
    monkeypatch.setattr(step, "WORTH", 1)
    student, data, features = term(loss, pairs, of_maps, teacher)
    indices = np.random.default_rng(0).permutation(len(data))
    events, labels = data.batch(indices, 1)
    taught = features.taught(indices, 1)

    def of_labels(sat: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"label": torch.nn.functional.cross_entropy(sat.sum(dim=0).T, labels)}

    def gradients() -> list[torch.Tensor]:
        trained = [block.synapse.weight for block in student.layers] + list(features.parameters())
        grads = [parameter.grad.clone() for parameter in trained]
        student.zero_grad()
        features.zero_grad()
        return grads

    by_threads, told = [], []
    for threads in (1, 2, 3):
        torch.manual_seed(1)  # of the masks
        term_of = Maps("features", features.membranes, features.taken, lambda found: features(found, taught))
        _, terms = step.backward(student, events, of_labels, threads, maps=term_of)
        by_threads.append(gradients())
        told.append(terms)
    torch.manual_seed(1)
    output = student(events, membranes=features.membranes)
    plain = features(features.taken(output), taught)
    (of_labels(output.sat)["label"] + plain).backward()
    expected = gradients()
    assert list(told[0]) == ["label", "features"] and plain > 0
    torch.testing.assert_close(told[0]["features"], plain.detach())
    for number, grads in enumerate(by_threads):
        assert all(map(torch.equal, grads, by_threads[0])), f"{number + 1} threads"
    for found, wanted in zip(by_threads[0], expected, strict=True):
        assert wanted.abs().max() > 0
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-6)
    step.backward(student, events, of_labels)
    alone = student.layers[0].synapse.weight.grad
    assert not torch.allclose(alone, expected[0], rtol=1e-2), "hidden layers feel the term"


def test_maps_of_other_sizes_are_averaged_over_areas() -> None:
    _, _, features = term("attention", (OTHER_SIZE,))
    small, large = torch.rand(1, 5, 4, 4, 4), torch.rand(1, 5, 6, 8, 8)
    expected = 0.7 * losses.attention(small, torch.nn.functional.avg_pool2d(large[0], 2)[None])
    torch.testing.assert_close(features([small], [large]), expected)


def test_a_teacher_without_maps_is_refused() -> None:
    student, data, _ = term("cka", (SAME_SIZE,))

    class Odd(Teacher):
        def __init__(self) -> None:
            pass

        def features(self, *_: object) -> dict[str, torch.Tensor]:
            return {"layer1": torch.zeros(1)}

    table = Features(loss="cka", pairs=(SAME_SIZE,), maps="rate", teacher="odd")
    with pytest.raises(FormatError, match=r"'layer1' gives features of shape \(1,\); expected \(N, C\)"):
        FeatureTerm(table, student, Odd(), data, seed=0)


def split(count: int, seed: int) -> Split:
    labels = np.arange(count) % CLASSES
    return Split(np.random.default_rng(seed).integers(0, 256, (count, 2, 9, 9)).astype(np.uint8), labels)


DATA = DataSet("bars", ("a", "b", "c"), split(60, 1), split(30, 2), split(30, 3), "digest")


def taught(features: dict, **changes: object) -> recipe.Recipe:
    chain = {
        "ann": {"network": "large", "neuron": "relu", "epochs": 1, "batch": 16},
        "teacher": {"network": "large", "epochs": 1, "batch": 16},
        "student": {"network": "small", "epochs": 4, "batch": 16, "features": features, **changes},
    }
    networks = {"large": LARGE.to_dict(), "small": PLAN.to_dict()}
    networks = {name: {key: plan[key] for key in ("input", "layers")} for name, plan in networks.items()}
    data = {"set": "bars", "shift": 1, "variants": 2}
    encoding = {"kind": "direct", "steps": STEPS}
    return recipe.parse({"name": "tiny", "data": data, "encoding": encoding, "networks": networks, "chain": chain})


class Stopped(Exception):
    pass


BLURRED = {"loss": "blurred", "teacher": "ann", "pairs": [["layer0", "layer1"]]}
MEMBRANE = {"loss": "membrane", "teacher": "teacher", "pairs": [["layer0", "layer0"]], "when": "before", "until": 0.5}
LEARNED = {"label": {"scale": "learned"}, "distil": {"losses": {"kl": 1.0}, "teacher": "ann", "scale": "learned"}}


@pytest.mark.parametrize("features", [BLURRED, MEMBRANE], ids=["blurred", "membrane, before"])
def test_a_training_resumes_bit_for_bit_with_its_alignments(features, tmp_path, weights, equal) -> None:
    """It is ended in the second epoch, with one behind it, and in the fourth."""
    plan, names = taught(features, **LEARNED), ["ann", "teacher", "student"]
    whole, broken = Chain(plan, DATA, tmp_path / "whole"), Chain(plan, DATA, tmp_path / "broken")
    rows: list[dict] = []
    whole.train(names, resume=False, on_epoch=rows.append)
    for stop in (2, 4):

        def on_batch(stage: str, epoch: int, _epochs: int, number: int, _batches: int, stop: int = stop) -> None:
            if (stage, epoch, number) == ("student", stop, 2):
                raise Stopped

        with pytest.raises(Stopped):
            broken.train(names, resume=True, on_batch=on_batch)
    torch.rand(5)
    broken.train(names, resume=True)
    assert equal(weights(broken.load("student")), weights(whole.load("student")))
    kept = [load_file(folder / "student.safetensors") for folder in (tmp_path / "whole", tmp_path / "broken")]
    assert equal(*kept) and any(name.startswith("beside.alignments.0.") for name in kept[0])
    of_student = [row for row in rows if row["stage"] == "student"]
    told = [{key for key in row if key.startswith("loss.")} for row in of_student]
    rest = {"loss.label", "loss.kl"}
    if features is BLURRED:
        assert told == [{*rest, "loss.features"}] * 4
    else:
        assert told == [{"loss.features"}] * 2 + [rest] * 2
        assert [row["scale"] == 1 for row in of_student] == [True, True, False, False]
        assert whole._training("student", None).restore() is not None


def test_what_is_trained_before_is_hidden_layers_alone(tmp_path) -> None:
    plan = taught({**BLURRED, "loss": "cka", "when": "before", "until": 0.9}, epochs=2)
    chain = Chain(plan, DATA, tmp_path)
    chain.train(["ann"], resume=False)
    training: Any = chain._training("student", {"ann": chain.ann("ann")})
    before = [block.synapse.weight.detach().clone() for block in training.network.layers]
    moved: list[list[bool]] = []

    def on_batch(_stage: str, epoch: int, _epochs: int, number: int, batches: int) -> None:
        if number == batches:
            now = [block.synapse.weight for block in training.network.layers]
            moved.append([not torch.equal(*pair) for pair in zip(now, before, strict=True)])

    training.on_batch = on_batch
    training.run()
    assert moved == [[True, False, False], [True, True, True]]  # layer0 is the only one that has a pair
    assert training.progress.best_epoch == 2


def test_without_features_all_is_as_it_was(tmp_path) -> None:
    """No key of a stage, no tensor of a checkpoint: old runs go on."""
    plan = taught({"weight": 0.0})
    assert plan.chain["student"].teachers == [] and recipe.warnings(plan)
    without = plan.model_copy(
        update={"chain": {**plan.chain, "student": plan.chain["student"].model_copy(update={"features": None})}}
    )
    assert "features" not in without.chain["student"].model_dump(mode="json")
    chain = Chain(without, DATA, tmp_path)
    chain.train(["student"], resume=False)
    assert {name.split(".")[0] for name in load_file(tmp_path / "student.safetensors")} == {
        *("network", "best", "optimizer", "rng")
    }


def test_the_baseline_has_no_features(tmp_path, weights, equal) -> None:
    chain = Chain(taught(BLURRED), DATA, tmp_path)
    chain.train(["ann", "teacher", "student", "baseline"], resume=False)
    assert equal(weights(chain.network("baseline")), weights(chain.network("student")))
    assert not equal(weights(chain.load("baseline")), weights(chain.load("student")))
    net = to_intnet(chain.load("student").blocks, (2, 9, 9), message_bits=8)
    assert evaluation.simulate(net, chain.feed(DATA.test).events(np.arange(3))).samples == 3
    other = dataclasses.replace(chain, recipe=taught({**BLURRED, "teacher": "teacher"}))
    assert other._key("student", other.stage("student")) != chain._key("student", chain.stage("student"))
