"""Cross distillation: its streams, its terms against their formulas, and trainings that resume bit for bit."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from snnkd import recipe
from snnkd.base.errors import MismatchError
from snnkd.base.hashing import hash64
from snnkd.data import frames
from snnkd.data.datasets import DataSet, Split
from snnkd.data.pairing import by_class
from snnkd.data.recordings.collection import Recordings
from snnkd.data.recordings.recording import Recording
from snnkd.ir.event_encoding import EventEncoding
from snnkd.recipe import tables
from snnkd.training.chain import Chain
from snnkd.training.crossing import Crossing
from snnkd.training.feed import Feed
from snnkd.training.loop import step
from snnkd.training.loop.step import Maps
from snnkd.training.network import Network
from snnkd.training.objective import Objective

pytestmark = [pytest.mark.training, pytest.mark.usefixtures("one_thread")]

CLASSES, STEPS, SIDE = 3, 4, 8
ENCODING = EventEncoding(STEPS, (SIDE, SIDE), window_us=100)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A recording of events in the rows of a class, and some elsewhere."""

    number: int
    label: int
    where = stamp = "memory"

    def read(self) -> Recording:
        word = hash64(5, self.number, np.arange(60))
        t, x, y = (word >> np.uint64(shift) for shift in (0, 20, 40))
        rows = np.where(np.arange(60) % 3, 2 * self.label + y % np.uint64(3), y % np.uint64(SIDE))
        columns = (np.sort(t % np.uint64(400)), x % np.uint64(SIDE), rows, word >> np.uint64(63))
        return Recording(
            *(a.astype(kind) for a, kind in zip(columns, (np.uint32, np.uint16, np.uint16, np.uint8), strict=True))
        )


def recordings(count: int, first: int) -> Split:
    labels = np.arange(count) % CLASSES
    sources = [Drawn(first + number, int(label)) for number, label in enumerate(labels)]
    digests = np.zeros((count, 32), np.uint8)
    return Split(Recordings((SIDE, SIDE), sources, digests), labels)  # pyright: ignore[reportArgumentType]


def images(count: int, seed: int) -> Split:
    labels = np.arange(count) % CLASSES
    pixels = np.random.default_rng(seed).integers(0, 90, (count, 1, 6, 6))
    for image, label in zip(pixels, labels, strict=True):
        image[0, 2 * label : 2 * label + 2] += 120
    return Split(pixels.astype(np.uint8), labels)


NAMES = ("a", "b", "c")
EVENTS = DataSet("recorded", NAMES, recordings(40, 0), recordings(12, 50), recordings(12, 70), "digest")
FRAMES = DataSet("seen", NAMES, images(60, 1), images(30, 2), images(30, 3), "frames")


def plan(cross: dict | None, **student: object) -> recipe.Recipe:
    dense = [{"kind": "dense", "neurons": neurons} for neurons in (9, 7, CLASSES)]
    taught = {"label": {"scale": 0.5}, "distil": {"losses": {"kl": 1.0}}, **student}
    return recipe.parse(
        {
            "name": "tiny",
            "data": {"set": "recorded", "shift": 1, "variants": 2},
            "encoding": {"kind": "events", "steps": STEPS, "sensor": [SIDE, SIDE], "window_us": 100},
            "networks": {
                "large": {"input": [1, 6, 6], "layers": dense[1:]},
                "small": {"input": [2, SIDE, SIDE], "layers": dense},
            },
            "chain": {
                "teacher": {
                    "network": "large",
                    "neuron": "relu",
                    "epochs": 12,
                    "batch": 16,
                    "data": {"set": "seen", "seed": 3},
                },
                "student": {
                    "network": "small",
                    "epochs": 4,
                    "batch": 16,
                    **({} if cross is None else {"cross": cross}),
                    **taught,
                },
            },
        }
    )


def crossing(**settings: object) -> tuple[Crossing, Feed]:
    feed = Feed(EVENTS.train, ENCODING, torch.device("cpu"), tables.Data(shift=1, variants=2), seed=9)
    table = tables.Cross(layers=("layer0", "layer1"), **settings)  # pyright: ignore[reportArgumentType]
    return Crossing(table, by_class(feed.split, FRAMES, 2, 1), feed, seed=4), feed


def test_of_the_streams_one_is_the_events_and_the_other_frames_that_give_way_to_them() -> None:
    cross, feed = crossing(mix="step")
    indices = np.array([3, 30, 8, 8, 17])
    streams, labels = cross.streams(indices, 1, epoch=2, done=0.7)
    events, expected = feed.batch(indices, 1)
    assert streams.shape == (10, STEPS, 2, SIDE, SIDE) and torch.equal(labels, expected)
    assert streams.transpose(0, 1).movedim(2, -1).is_contiguous(), "as `Feed.batch` has it"
    assert torch.equal(streams[5:], events)
    pairs = by_class(feed.split, FRAMES, 2, 1)
    still = frames.still(pairs.frames.pixels[pairs.of(indices, 1)], ENCODING)
    gone = cross.replaced(indices, 2, 0.7)
    assert 0 < gone.mean() < 1 and not np.array_equal(still, events.numpy())
    for sample, step_number in np.ndindex(gone.shape):
        source = events.numpy() if gone[sample, step_number] else still
        assert (streams[sample, step_number].numpy() == source[sample, step_number]).all()


def test_samples_give_way_with_the_power_of_what_is_done() -> None:
    cross, _ = crossing(power=3.0)
    everyone = np.arange(20_000)
    for done in (0.0, 0.5, 0.8, 1.0):
        gone = cross.replaced(everyone, 1, done)
        assert gone.shape == (20_000, STEPS) and (gone == gone[:, :1]).all()
        assert gone[:, 0].mean() == pytest.approx(done**3, abs=0.01)
    first, second = (cross.replaced(everyone, epoch, 0.8)[:, 0] for epoch in (1, 2))
    assert 0.4 < (first == second).mean() < 0.6, "anew in every epoch"
    assert (cross.replaced(everyone[::-7], 1, 0.8)[:, 0] == first[::-7]).all(), "whatever else is in the batch"


def test_steps_give_way_from_a_random_one_on() -> None:
    cross, _ = crossing(mix="step", power=1.0)
    gone = cross.replaced(np.arange(20_000), 1, 0.3)
    assert (np.diff(gone.astype(int), axis=1) >= 0).all()
    expected = [1 - 0.7 ** (t + 1) for t in range(STEPS)]  # none of t + 1 draws came up
    assert gone.mean(axis=0) == pytest.approx(expected, abs=0.01)


def test_distillation_ends_at_the_switch() -> None:
    cross, _ = crossing(switch=0.4, slope=0.01)
    assert [round(cross.teaching(done), 3) for done in (0.0, 0.3, 0.4, 0.41, 0.5, 1.0)] == [1, 1, 0.5, 0.269, 0, 0]


def plain_cross_entropy(sat: torch.Tensor, labels: torch.Tensor, scale: float, shares: list[float]) -> float:
    """The mean over steps and samples of share(t) * CE of z(t), as loops."""
    total = 0.0
    for b in range(sat.shape[2]):
        for t in range(STEPS):
            z = [scale * STEPS / (t + 1) * float(sat[: t + 1, c, b].sum()) for c in range(CLASSES)]
            log_sum = math.log(sum(math.exp(value) for value in z))
            total += shares[t] * (log_sum - z[int(labels[b])])
    return total / STEPS / sat.shape[2]


def test_the_terms_are_their_formulas() -> None:
    cross, _ = crossing(label=0.3, similarity=0.8, steps="learned", switch=0.5, slope=0.1)
    assert cross.c is not None
    cross.c.data = torch.tensor([0.5, -1.0, 0.0, 2.0])
    shares = [1 / (1 + math.exp(-value)) for value in cross.c.tolist()]
    label = tables.Label(loss="temporal-cross-entropy", scale=0.5, weight=2.0)
    distil = tables.Distil(losses={"kl": 0.7}, window=2, temperature=3.0, scale=0.5)
    objective = Objective(tables.Stage(network="small", epochs=1, label=label, distil=distil))
    random = torch.Generator().manual_seed(0)
    sat = torch.randn(STEPS, CLASSES, 12, generator=random)
    teacher, labels = torch.randn(STEPS, CLASSES, 6, generator=random), torch.arange(6) % CLASSES
    found = cross.terms(sat, labels, teacher, objective, done=0.55)
    mixed, own = sat[..., :6], sat[..., 6:]
    assert list(found) == ["label", "mixed", "kl"]
    left = [1 - share for share in shares]
    assert found["label"].item() == pytest.approx(2 * plain_cross_entropy(own, labels, 0.5, left), rel=1e-5)
    assert float(found["mixed"]) == pytest.approx(
        0.6 * plain_cross_entropy(mixed, labels, 0.5, [1.0] * STEPS), rel=1e-5
    )
    p = (teacher.sum(dim=0) / 3).softmax(dim=0)
    kl = 9 / 6 * (p * (p.log() - (0.5 * mixed.sum(dim=0) / 3).log_softmax(dim=0))).sum()
    assert float(found["kl"]) == pytest.approx(0.7 * float(kl) / (1 + math.exp(0.5)), rel=1e-5)
    maps = [torch.randn(STEPS, 12, 5, generator=random), torch.randn(STEPS, 12, 2, 3, 3, generator=random)]
    total = 0.0
    for layer in maps:
        for t in range(STEPS):
            x, y = layer[t, :6].flatten(1).numpy(), layer[t, 6:].flatten(1).numpy()
            x, y = x - x.mean(axis=0), y - y.mean(axis=0)
            likeness = np.sum((y.T @ x) ** 2) / np.linalg.norm(x.T @ x) / np.linalg.norm(y.T @ y)  # by features
            total += shares[t] * (1 - likeness) / STEPS / len(maps)
    assert float(cross.similarity(maps).detach()) == pytest.approx(0.8 * total, rel=1e-5)


def test_the_events_never_meet_the_teacher() -> None:
    cross, _ = crossing()
    distil = tables.Distil(losses={"kl": 1.0}, window=2)
    objective = Objective(tables.Stage(network="small", epochs=1, distil=distil))
    sat = torch.randn(STEPS, CLASSES, 12).requires_grad_()
    cross.terms(sat, torch.arange(6) % CLASSES, torch.randn(STEPS, CLASSES, 6), objective, done=0.0)["kl"].backward()
    assert sat.grad is not None
    assert sat.grad[..., :6].abs().min() > 0 and not sat.grad[..., 6:].any()


@pytest.mark.parametrize("of_maps", ["spikes", "membrane"])
def test_gradients_in_parts_are_those_of_both_streams_on_any_number_of_cores(of_maps: str, monkeypatch) -> None:
    monkeypatch.setattr(step, "LEAST", 6)
    monkeypatch.setattr(step, "WORTH", 1)
    cross, _ = crossing(maps=of_maps, steps="learned", similarity=2.0)
    table = plan({})
    torch.manual_seed(2)
    network = Network(table.architecture("student"), tables.Neuron(voltage_decay=0.1))
    streams, labels = cross.streams(np.arange(11), 0, 1, 0.6)
    network.calibrate(streams)
    label = tables.Label(loss="temporal-cross-entropy")
    objective = Objective(tables.Stage(network="small", epochs=1, label=label))

    def terms(sat: torch.Tensor) -> dict[str, torch.Tensor]:
        return cross.terms(sat, labels, None, objective, done=0.6)

    def gradients() -> list[torch.Tensor]:
        assert cross.c is not None
        trained = [*(block.synapse.weight for block in network.layers), cross.c]
        grads = [parameter.grad.clone() for parameter in trained]
        network.zero_grad()
        cross.zero_grad()
        return grads

    found = []
    for threads in (1, 2):
        maps = Maps("similarity", cross.membranes, cross.taken, cross.similarity)
        _, told = step.backward(network, streams, terms, threads, maps=maps)
        assert list(told) == ["label", "mixed", "similarity"] and all(value > 0 for value in told.values())
        found.append(gradients())
    output = network(streams, membranes=cross.membranes)
    (sum(terms(output.sat).values()) + cross.similarity(cross.taken(output))).backward()
    expected = gradients()
    for one, two, whole in zip(*found, expected, strict=True):
        assert torch.equal(one, two) and whole.abs().max() > 0
        torch.testing.assert_close(one, whole, rtol=1e-3, atol=1e-6)


class Stopped(Exception):
    pass


LEARNED = {"label": {"loss": "temporal-cross-entropy", "scale": "learned"}}
CASES = {
    "by sample": ({}, {}),
    "by step, learned": ({"mix": "step", "steps": "learned", "maps": "spikes"}, LEARNED),
    "without a teacher": ({"similarity": 0.0}, {"distil": {"losses": {"kl": 0.0}}}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_training_resumes_bit_for_bit(case: str, tmp_path: Path, weights, equal) -> None:
    cross, student = CASES[case]
    table, both = plan(cross, **student), ["teacher", "student"]
    chains = [Chain(table, EVENTS, tmp_path / name, frames={"teacher": FRAMES}) for name in ("whole", "broken")]
    rows: list[dict] = []
    chains[0].train(both, resume=False, on_epoch=rows.append)

    def on_batch(stage: str, epoch: int, _epochs: int, number: int, _batches: int) -> None:
        if (stage, epoch, number) == ("student", 3, 2):
            raise Stopped

    with pytest.raises(Stopped):
        chains[1].train(both, resume=True, on_batch=on_batch)
    torch.rand(5)
    chains[1].train(both, resume=True)
    assert equal(weights(chains[1].load("student")), weights(chains[0].load("student")))
    kept = [load_file(tmp_path / name / "student.safetensors") for name in ("whole", "broken")]
    assert equal(*kept) and ("beside.c" in kept[0]) == (case == "by step, learned")
    told = {key for row in rows if row["stage"] == "student" for key in row if key.startswith("loss.")}
    assert told == {"loss.label", "loss.mixed"} | ({"loss.similarity"} if cross.get("similarity", 1) else set()) | (
        {"loss.kl"} if "teacher" not in case else set()
    )
    if "beside.c" in kept[0]:
        assert kept[0]["beside.c"].abs().min() > 0, "it has chosen between the steps"


def test_a_teacher_of_frames_is_taken_over_by_any_chain_and_belongs_to_its_frames(
    tmp_path: Path, weights, equal
) -> None:
    first = Chain(plan(None), EVENTS, tmp_path / "runs/1/checkpoints", frames={"teacher": FRAMES})
    first.train(["teacher", "student"], resume=False)
    assert first.ann("teacher").accuracy(first.test("teacher")) > 0.8, "it reads its own test images"
    other = plan({}).model_copy(update={"seed": 8})
    folder = tmp_path / "runs/2/checkpoints"
    folder.mkdir(parents=True)
    later = Chain(other, dataclasses.replace(EVENTS, digest="fold"), folder, frames={"teacher": FRAMES})
    assert later.take_over(["teacher", "student"], tmp_path / "runs").keys() == {"teacher"}
    assert equal(weights(later.ann("teacher")), weights(first.ann("teacher")))
    for stage, read in (("teacher", first.ann), ("student", first.load)):
        changed = {"teacher": dataclasses.replace(FRAMES, digest="others")}
        with pytest.raises(MismatchError, match="belongs to another recipe, data set or seed"):
            getattr(dataclasses.replace(first, frames=changed), read.__name__)(stage)


def test_the_baseline_is_the_student_of_events_alone(tmp_path: Path) -> None:
    chain, rows = Chain(plan({}), EVENTS, tmp_path, frames={"teacher": FRAMES}), []
    chain.train(["baseline"], resume=False, on_epoch=rows.append)
    assert {key for key in rows[-1] if key.startswith("loss.")} == {"loss.label"}
