"""Each loss against its equation as plain loops, and what follows from the equations."""

import math
from itertools import product

import numpy as np
import pytest
import torch

from snnkd.recipe_tables import Distil, Label, Stage
from snnkd.training import slayer
from snnkd.training.losses import SAT_LOSSES, SatSettings, cross_entropy, spike_rate
from snnkd.training.objective import Objective

STEPS, CLASSES, BATCH = 7, 4, 3
READINGS = ["literal", "norm", "count", "psp"]
AXES = ["counts", "step", "time"]
# Every loss in every reading that changes it.
VARIANTS = [
    *((name, SatSettings(reading, 3)) for name, reading in product(["l1", "l2", "sliding_l1", "sliding_l2"], READINGS)),
    *(("kl", SatSettings(temperature=1.7, kl_axis=axis)) for axis in AXES),
]
NAMES = [f"{name}-{s.kl_axis if name == 'kl' else s.reading}" for name, s in VARIANTS]
every_variant = pytest.mark.parametrize(("name", "settings"), VARIANTS, ids=NAMES)


def spikes(seed: int, batch: int = BATCH, steps: int = STEPS) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 2, (steps, CLASSES, batch))).double()


def traces(train: list[float]) -> list[float]:
    """Post-synaptic potentials of one spike train."""
    out, trace = [], 0.0
    for spike in train:
        trace = 0.5 * trace + spike
        out.append(trace)
    return out


def plain_norm(values: list[float], m: int, reading: str) -> float:
    if m == 1:
        return sum(abs(value) for value in values)
    squared = sum(value * value for value in values)
    return math.sqrt(squared) if reading == "norm" else squared


def plain_trains(sat: torch.Tensor, reading: str) -> list[list[list[float]]]:
    """[sample][class][step], filtered where the reading says so."""
    trains = [[sat[:, c, b].tolist() for c in range(sat.shape[1])] for b in range(sat.shape[2])]
    return [[traces(train) for train in sample] for sample in trains] if reading == "psp" else trains


def plain_sliding(student: torch.Tensor, teacher: torch.Tensor, m: int, window: int, reading: str) -> float:
    """sum_b sum_c sum_t || S_T[t:t+D; c; b] - S_S[t:t+D; c; b] ||_m over the valid windows; the sum of a window's
    spikes is compared for reading 'count'."""
    total = 0.0
    s, t = plain_trains(student, reading), plain_trains(teacher, reading)
    for b in range(student.shape[2]):
        for c in range(student.shape[1]):
            for start in range(student.shape[0] - window + 1):
                inside = range(start, start + window)
                difference = [t[b][c][step] - s[b][c][step] for step in inside]
                total += plain_norm([sum(difference)] if reading == "count" else difference, m, reading)
    return total / student.shape[2]


def plain_full(student: torch.Tensor, teacher: torch.Tensor, m: int, reading: str) -> float:
    s, t = plain_trains(student, reading), plain_trains(teacher, reading)
    differences = []
    for b in range(student.shape[2]):
        for c in range(student.shape[1]):
            difference = [x - y for x, y in zip(t[b][c], s[b][c], strict=True)]
            differences += [sum(difference)] if reading == "count" else difference
    # The norm of the whole tensor grows with the square root of B, all else with B.
    batch = math.sqrt(student.shape[2]) if reading == "norm" and m == 2 else student.shape[2]
    return plain_norm(differences, m, reading) / batch


def plain_softmax(values: list[float], temperature: float) -> list[float]:
    powers = [math.exp(value / temperature) for value in values]
    return [power / sum(powers) for power in powers]


def plain_kl(student: torch.Tensor, teacher: torch.Tensor, temperature: float, axis: str) -> float:
    """tau^2 sum p log(p / q), p the teacher's distribution, over whatever the axis makes one distribution of."""
    steps, classes, batch = student.shape
    total = 0.0
    for b in range(batch):
        if axis == "counts":
            groups = [[[float(sat[:, c, b].sum()) for c in range(classes)] for sat in (student, teacher)]]
        elif axis == "step":
            groups = [[sat[t, :, b].tolist() for sat in (student, teacher)] for t in range(steps)]
        else:
            groups = [[sat[:, c, b].tolist() for sat in (student, teacher)] for c in range(classes)]
        for of_student, of_teacher in groups:
            p, q = plain_softmax(of_teacher, temperature), plain_softmax(of_student, temperature)
            total += sum(x * math.log(x / y) for x, y in zip(p, q, strict=True))
    return temperature**2 * total / batch


@pytest.mark.parametrize("window", [1, 2, 3, STEPS])
@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("m", [1, 2])
def test_sliding_windows_equal_the_triple_loop(m, reading, window):
    student, teacher = spikes(1), spikes(2)
    value = SAT_LOSSES[f"sliding_l{m}"](student, teacher, SatSettings(reading, window))
    assert value.item() == pytest.approx(plain_sliding(student, teacher, m, window, reading))
    assert value > 0


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("m", [1, 2])
def test_full_losses_equal_the_plain_loop(m, reading):
    student, teacher = spikes(3), spikes(4)
    value = SAT_LOSSES[f"l{m}"](student, teacher, SatSettings(reading))
    assert value.item() == pytest.approx(plain_full(student, teacher, m, reading))
    assert value > 0


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("axis", AXES)
def test_kl_equals_its_formula(axis, temperature):
    student, teacher = spikes(5), spikes(6)
    value = SAT_LOSSES["kl"](student, teacher, SatSettings(temperature=temperature, kl_axis=axis)).item()
    assert value == pytest.approx(plain_kl(student, teacher, temperature, axis))
    assert value != pytest.approx(plain_kl(teacher, student, temperature, axis)), "KL(teacher || student), not reversed"


def test_kl_of_counts_is_that_of_hinton():
    """torch's own KL divergence of the softened counts, batch mean, times tau squared."""
    student, teacher = spikes(5), spikes(6)
    p, q = ((sat.sum(dim=0).T / 2).log_softmax(dim=1) for sat in (teacher, student))
    expected = 4 * torch.nn.functional.kl_div(q, p, reduction="batchmean", log_target=True)
    torch.testing.assert_close(SAT_LOSSES["kl"](student, teacher, SatSettings()), expected)


def test_a_teacher_that_is_sure_weighs_its_own_classes():
    """KL(teacher || student) is large where the student misses a class of the teacher's, small where it adds one."""
    sure, broad = torch.zeros(8, 2, 1), torch.zeros(8, 2, 1)
    sure[:, 0] = broad[:, 0] = 1
    broad[:7, 1] = 1
    settings = SatSettings(temperature=1.0)
    assert SAT_LOSSES["kl"](sure, broad, settings) > 2 * SAT_LOSSES["kl"](broad, sure, settings)


def test_literal_full_l1_is_squared_l2_on_spikes():
    student, teacher = spikes(7), spikes(8)
    settings = SatSettings("literal")
    assert SAT_LOSSES["l1"](student, teacher, settings) == SAT_LOSSES["l2"](student, teacher, settings)
    assert SAT_LOSSES["sliding_l1"](student, teacher, settings) == SAT_LOSSES["sliding_l2"](student, teacher, settings)


@pytest.mark.parametrize("window", [1, 2, 4])
def test_literal_windows_count_a_step_as_often_as_windows_hold_it(window):
    """Delta x the full loss, less at the borders: no more than another weight of each step."""
    student, teacher = spikes(9), spikes(10)
    per_step = (student - teacher).abs().sum(dim=(1, 2))
    held = [sum(start <= t < start + window for start in range(STEPS - window + 1)) for t in range(STEPS)]
    expected = (per_step * torch.tensor(held)).sum() / BATCH
    torch.testing.assert_close(SAT_LOSSES["sliding_l1"](student, teacher, SatSettings("literal", window)), expected)


def test_windows_that_count_forgive_jitter():
    """A period-4 train, one step late: 1 instead of 12 over 22 windows."""
    train = torch.zeros(25, 1, 1)
    train[::4] = 1
    late = train.roll(1, 0)
    late[0] = 0
    assert SAT_LOSSES["l1"](late, train, SatSettings("literal")) >= 12
    assert SAT_LOSSES["sliding_l1"](late, train, SatSettings("count", 4)) <= 2


@every_variant
def test_zero_for_equal_spikes_with_a_finite_gradient(name, settings):
    sat = spikes(11)
    student = sat.clone().requires_grad_()
    value = SAT_LOSSES[name](student, sat, settings)
    assert abs(value.item()) < 1e-12
    value.backward()
    assert student.grad is not None and student.grad.abs().max() < 1e-12


@every_variant
def test_gradients_are_right(name, settings):
    """Numerically, on values between spikes, where no absolute value has its kink."""
    random = np.random.default_rng(12)
    student = torch.from_numpy(random.uniform(0, 1, (STEPS, CLASSES, 2))).requires_grad_()
    teacher = spikes(13, 2)
    assert torch.autograd.gradcheck(lambda sat: SAT_LOSSES[name](sat, teacher, settings), (student,))


@every_variant
def test_does_not_depend_on_the_batch_size(name, settings):
    """So a learning rate does not either."""
    student, teacher = spikes(14), spikes(15)
    once = SAT_LOSSES[name](student, teacher, settings)
    twice = SAT_LOSSES[name](student.repeat(1, 1, 2), teacher.repeat(1, 1, 2), settings)
    torch.testing.assert_close(twice, once)


def test_cross_entropy_of_the_spike_counts():
    sat, labels = spikes(16), torch.tensor([0, 3, 2])
    expected = 0.0
    for b in range(BATCH):
        shares = plain_softmax([0.7 * float(sat[:, c, b].sum()) for c in range(CLASSES)], 1.0)
        expected -= math.log(shares[int(labels[b])]) / BATCH
    assert cross_entropy(sat, labels, 0.7).item() == pytest.approx(expected)


def test_spike_rate_is_that_of_slayer():
    sat, labels = spikes(17), torch.tensor([1, 1, 2])
    theirs = slayer.loss.SpikeRate(0.8, 0.05, reduction="sum")(sat.permute(2, 1, 0), labels) / BATCH
    torch.testing.assert_close(spike_rate(sat, labels, 0.8, 0.05), theirs.double())


@pytest.mark.parametrize("loss", ["cross-entropy", "spike-rate"])
def test_label_losses_pass_gradients_that_favour_the_label(loss):
    sat = torch.full((STEPS, CLASSES, 1), 0.5, requires_grad=True)
    stage = Stage(network="tiny", epochs=1, label=Label(loss=loss))
    Objective(stage).terms(sat, torch.tensor([2]), None)["label"].backward()
    assert sat.grad is not None
    assert (sat.grad[:, 2] < 0).all() and (sat.grad[:, [0, 1, 3]] > 0).all()


def distilled(weights: dict, label: float = 0.5, **options) -> Stage:
    distil = Distil(teacher="teacher", losses=weights, window=2, **options)
    return Stage(network="tiny", epochs=1, label=Label(weight=label, scale=0.7), distil=distil)


WEIGHTS = {"l1": 0.25, "l2": 3.0, "kl": 1.0, "sliding_l1": 2.0, "sliding_l2": 0.125}


def test_normalized_terms_weigh_what_the_recipe_says_on_the_first_batch():
    objective = Objective(distilled(WEIGHTS, normalize=True))
    labels = torch.tensor([0, 1, 2])
    first = objective.terms(spikes(18), labels, spikes(19))
    assert list(first) == ["label", *WEIGHTS]
    assert {name: value.item() for name, value in first.items() if name != "label"} == pytest.approx(WEIGHTS)
    # Later batches are divided by the same numbers, which a checkpoint carries on.
    later = objective.terms(spikes(20), labels, spikes(21))
    resumed = Objective(distilled(WEIGHTS, normalize=True))
    resumed.norms = dict(objective.norms)
    assert later == resumed.terms(spikes(20), labels, spikes(21))
    assert later["l1"].item() != pytest.approx(WEIGHTS["l1"])


def test_terms_are_the_weighted_losses():
    objective = Objective(distilled(WEIGHTS, reading="psp", temperature=3.0, kl_axis="step"))
    sat, teacher, labels = spikes(22), spikes(23), torch.tensor([3, 0, 0])
    terms = objective.terms(sat, labels, teacher)
    settings = SatSettings("psp", 2, 3.0, "step")
    for name, weight in WEIGHTS.items():
        torch.testing.assert_close(terms[name], weight * SAT_LOSSES[name](sat, teacher, settings))
    torch.testing.assert_close(terms["label"], 0.5 * cross_entropy(sat, labels, 0.7))


def test_what_weighs_nothing_is_left_out():
    sat, labels = spikes(24), torch.tensor([3, 0, 0])
    assert list(Objective(distilled({"l1": 0.0, "kl": 1.0}, label=0.0)).terms(sat, labels, spikes(25))) == ["kl"]
    alone = Stage(network="tiny", epochs=1)
    assert list(Objective(alone).terms(sat, labels, None)) == ["label"]


def test_losses_work_on_the_spikes_of_a_network():
    """float32, a graph behind it, a teacher without one."""
    student = torch.rand(STEPS, CLASSES, BATCH, requires_grad=True)
    for name, settings in VARIANTS:
        value = SAT_LOSSES[name]((student > 0.5).float() + student - student.detach(), spikes(26).float(), settings)
        (gradient,) = torch.autograd.grad(value, student)
        assert value.dtype == torch.float32 and gradient.isfinite().all() and gradient.any()
