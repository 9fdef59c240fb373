"""Each loss against its equation as plain loops, and what follows from the equations."""

import json
import math
from dataclasses import replace
from itertools import product
from typing import get_args

import numpy as np
import pytest
import torch

from snnkd.recipe.tables import Distil, Label, Rate, SelfLoss, Stage, TaughtLoss
from snnkd.training.losses import (
    SAT_LOSSES,
    SELF_LOSSES,
    SatSettings,
    cross_entropy,
    rate_excess,
    spike_rate,
    temporal_cross_entropy,
)
from snnkd.training.objective import Objective

pytestmark = pytest.mark.training

STEPS, CLASSES, BATCH = 7, 4, 3
READINGS = ["literal", "norm", "count", "psp"]
AXES = ["counts", "step", "time"]
# Every loss in every reading that changes it.
VARIANTS = [
    *((name, SatSettings(reading, 3)) for name, reading in product(["l1", "l2", "sliding_l1", "sliding_l2"], READINGS)),
    *(("kl", SatSettings(temperature=1.7, kl_axis=axis)) for axis in AXES),
]
NAMES = [f"{name}-{s.kl_axis if name == 'kl' else s.reading}" for name, s in VARIANTS]
SOFT = [
    ("temporal_kl", SatSettings(temperature=1.7)),
    ("kl", SatSettings(temperature=1.5, teacher_temperature=4.0)),
    ("kl", SatSettings(temperature=1.5, teacher_temperature=4.0, scale=0.6, kl_axis="step")),
    ("temporal_kl", SatSettings(temperature=3.0, teacher_temperature=0.8, scale=0.6)),
]
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


def plain_divergence(of_student: list[float], of_teacher: list[float], tau: float, tau_teacher: float) -> float:
    """tau_T tau_S sum p log(p / q), p the teacher's distribution."""
    p, q = plain_softmax(of_teacher, tau_teacher), plain_softmax(of_student, tau)
    return tau_teacher * tau * sum(x * math.log(x / y) for x, y in zip(p, q, strict=True))


def plain_so_far(sat: torch.Tensor, b: int, scale: float = 1.0) -> list[list[float]]:
    """[step][class] of one sample: scale x the sum up to the step x T / how many steps that are."""
    steps, classes, _ = sat.shape
    return [
        [scale * sum(float(sat[s, c, b]) for s in range(t + 1)) * steps / (t + 1) for c in range(classes)]
        for t in range(steps)
    ]


def plain_kl(student: torch.Tensor, teacher: torch.Tensor, temperature: float, axis: str, *more: float) -> float:
    """The divergences of whatever the axis makes one distribution of, summed; more: temperature of the teacher, scale
    of the student."""
    tau_teacher, scale = more or (temperature, 1.0)
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
            total += plain_divergence([scale * z for z in of_student], of_teacher, temperature, tau_teacher)
    return total / batch


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


@pytest.mark.parametrize("axis", AXES)
def test_kl_with_two_temperatures_and_a_scale_equals_its_formula(axis):
    student, teacher = spikes(5), spikes(6)
    settings = SatSettings(temperature=1.5, teacher_temperature=4.0, scale=0.6, kl_axis=axis)
    expected = plain_kl(student, teacher, 1.5, axis, 4.0, 0.6)
    assert SAT_LOSSES["kl"](student, teacher, settings).item() == pytest.approx(expected)


def test_logits_of_an_ann_are_matched_by_scaled_counts():
    """A teacher that gives logits / T at each step, and a student whose scaled counts are those logits and a constant
    more: nothing is left to learn."""
    logits = torch.tensor([[2.5, -0.5, 0.0, 1.0]]).T.double()
    teacher = (logits / STEPS).expand(STEPS, -1, -1)
    student = torch.zeros(STEPS, CLASSES, 1).double()
    for c, count in enumerate([6, 0, 1, 3]):  # 0.5 x count = logit + 0.5
        student[:count, c] = 1
    assert SAT_LOSSES["kl"](student, teacher, SatSettings(scale=0.5)).abs() < 1e-6
    assert SAT_LOSSES["kl"](student, teacher, SatSettings()) > 0.1
    # The temperatures alone can say the same: their ratio is the scale.
    assert SAT_LOSSES["kl"](student, teacher, SatSettings(temperature=4, teacher_temperature=2)).abs() < 1e-6


def test_temporal_kl_is_the_mean_over_the_steps_at_which_one_may_stop():
    student, teacher = spikes(30), spikes(31)
    settings = SatSettings(temperature=1.5, teacher_temperature=4.0, scale=0.6)
    expected = 0.0
    for b in range(BATCH):
        goal = plain_so_far(teacher, b)[-1]
        expected += sum(plain_divergence(z, goal, 1.5, 4.0) for z in plain_so_far(student, b, 0.6))
    loss = SAT_LOSSES["temporal_kl"](student, teacher, settings).item()
    assert loss == pytest.approx(expected / BATCH / STEPS)


def test_temporal_cross_entropy_is_the_mean_over_the_steps_at_which_one_may_stop():
    sat, labels = spikes(32), torch.tensor([0, 3, 2])
    expected = 0.0
    for b in range(BATCH):
        for z in plain_so_far(sat, b, 0.7):
            expected -= math.log(plain_softmax(z, 1.0)[int(labels[b])]) / BATCH / STEPS
    assert temporal_cross_entropy(sat, labels, 0.7).item() == pytest.approx(expected)


def test_losses_over_the_steps_of_a_single_step_are_the_whole_ones():
    sat, teacher, labels = spikes(33, steps=1), spikes(34, steps=1), torch.tensor([0, 3, 2])
    settings = SatSettings(temperature=1.5, teacher_temperature=4.0, scale=0.6)
    assert temporal_cross_entropy(sat, labels, 0.7).item() == pytest.approx(cross_entropy(sat, labels, 0.7).item())
    whole, temporal = (SAT_LOSSES[name](sat, teacher, settings).item() for name in ("kl", "temporal_kl"))
    assert temporal == pytest.approx(whole)
    assert all(abs(loss(sat, labels, settings).item()) < 1e-12 for loss in SELF_LOSSES.values())


# Spikes of three classes in four steps, the label, and the steps up to which it has the most spikes alone; where there
# is none, all of them.
ANSWERS = [
    ([[0, 1, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0]], 0, [2, 3]),
    ([[0, 1, 0], [0, 1, 1], [0, 0, 1], [0, 0, 1]], 1, [0, 1]),
    ([[1, 0, 1], [0, 1, 1], [0, 1, 1], [0, 1, 0]], 0, [0, 1, 2, 3]),
    ([[0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]], 0, [0, 1, 2, 3]),
]


def test_self_ensemble_teaches_what_the_student_says_where_it_is_right():
    sat = torch.tensor([steps for steps, _, _ in ANSWERS]).permute(1, 2, 0).double()
    expected = 0.0
    for b, (_, _, right) in enumerate(ANSWERS):
        logits = plain_so_far(sat, b, 0.8)
        ensemble = [sum(logits[t][c] for t in right) / len(right) for c in range(3)]
        expected += sum(plain_divergence(z, ensemble, 1.5, 1.5) for z in logits)
    labels = torch.tensor([label for _, label, _ in ANSWERS])
    settings = SatSettings(temperature=1.5, teacher_temperature=9.0, scale=0.8)  # a teacher's: of no concern here
    loss = SELF_LOSSES["self_ensemble"](sat, labels, settings).item()
    assert loss == pytest.approx(expected / len(ANSWERS) / 4)


def test_strong_to_weak_teaches_the_least_sure_step_by_the_surest():
    sat = spikes(35, batch=5)
    sure = []
    for t in range(STEPS):
        sure.append(sum(max(plain_softmax(plain_so_far(sat, b, 0.8)[t], 1.0)) for b in range(5)))
    strong, weak = sure.index(max(sure)), sure.index(min(sure))
    assert strong != weak
    expected = 0.0
    for b in range(5):
        logits = plain_so_far(sat, b, 0.8)
        expected += plain_divergence(logits[weak], logits[strong], 1.5, 1.5) / 5
    settings = SatSettings(temperature=1.5, teacher_temperature=9.0, scale=0.8)
    loss = SELF_LOSSES["strong_to_weak"](sat, torch.zeros(5).long(), settings).item()
    assert loss == pytest.approx(expected)


@pytest.mark.parametrize("name", SELF_LOSSES)
def test_no_gradient_goes_through_what_a_student_teaches_itself(name):
    """Nor through the scale: it would fall to 0, where all steps agree."""
    sat, labels = spikes(36).requires_grad_(), torch.tensor([0, 3, 2])
    scale = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    value = SELF_LOSSES[name](sat, labels, SatSettings(scale=scale))
    of_sat, of_scale = torch.autograd.grad(value, [sat, scale], allow_unused=True)
    assert of_scale is None and of_sat.any() and of_sat.isfinite().all()
    logits = 0.5 * sat.detach().cumsum(0) * (STEPS / torch.arange(1.0, STEPS + 1))[:, None, None]
    # The gradient of tau^2 KL(q || softmax(z / tau)) by z is tau (softmax(z / tau) - q).
    p = (logits / 2).softmax(dim=1)
    if name == "strong_to_weak":
        sure = logits.softmax(dim=1).amax(dim=1).mean(dim=1)
        of_logits, weak = torch.zeros_like(logits), sure.argmin()
        of_logits[weak] = 2 * (p[weak] - p[sure.argmax()]) / BATCH
    else:
        right = logits.argmax(dim=1) == labels
        tie = (logits == logits.amax(dim=1, keepdim=True)).sum(dim=1) > 1
        right &= ~tie
        right |= ~right.any(dim=0)
        ensemble = (logits * right[:, None]).sum(dim=0) / right.sum(dim=0)
        of_logits = 2 * (p - (ensemble / 2).softmax(dim=0)) / BATCH / STEPS
    factors = 0.5 * STEPS / torch.arange(1.0, STEPS + 1)
    expected = (of_logits * factors[:, None, None]).flip(0).cumsum(0).flip(0)
    torch.testing.assert_close(of_sat, expected)


def test_recipes_know_which_losses_need_a_teacher():
    assert set(get_args(TaughtLoss)) == SAT_LOSSES.keys()
    assert set(get_args(SelfLoss)) == SELF_LOSSES.keys()


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


@pytest.mark.parametrize(("name", "settings"), [*VARIANTS, *SOFT])
def test_gradients_are_right(name, settings):
    """Numerically, on values between spikes, where no absolute value has its kink."""
    random = np.random.default_rng(12)
    student = torch.from_numpy(random.uniform(0, 1, (STEPS, CLASSES, 2))).requires_grad_()
    teacher = spikes(13, 2)
    assert torch.autograd.gradcheck(lambda sat: SAT_LOSSES[name](sat, teacher, settings), (student,))


@pytest.mark.parametrize(("name", "settings"), [*VARIANTS, *SOFT])
def test_does_not_depend_on_the_batch_size(name, settings):
    """So a learning rate does not either."""
    student, teacher = spikes(14), spikes(15)
    once = SAT_LOSSES[name](student, teacher, settings)
    twice = SAT_LOSSES[name](student.repeat(1, 1, 2), teacher.repeat(1, 1, 2), settings)
    torch.testing.assert_close(twice, once)


@pytest.mark.parametrize("loss", [*SELF_LOSSES.values(), lambda sat, labels, _: temporal_cross_entropy(sat, labels)])
def test_losses_on_labels_do_not_depend_on_the_batch_size(loss):
    sat, labels = spikes(14), torch.tensor([0, 3, 2])
    once = loss(sat, labels, SatSettings())
    torch.testing.assert_close(loss(sat.repeat(1, 1, 2), labels.repeat(2), SatSettings()), once)


@pytest.mark.parametrize(("name", "settings"), SOFT[:2])
def test_a_learned_scale_has_the_right_gradient(name, settings):
    teacher, student = spikes(13), spikes(12)

    def of_scale(scale):
        return SAT_LOSSES[name](student, teacher, replace(settings, scale=scale))

    assert torch.autograd.gradcheck(of_scale, (torch.tensor(0.7, dtype=torch.float64, requires_grad=True),))


def test_cross_entropy_of_the_spike_counts():
    sat, labels = spikes(16), torch.tensor([0, 3, 2])
    expected = 0.0
    for b in range(BATCH):
        shares = plain_softmax([0.7 * float(sat[:, c, b].sum()) for c in range(CLASSES)], 1.0)
        expected -= math.log(shares[int(labels[b])]) / BATCH
    assert cross_entropy(sat, labels, 0.7).item() == pytest.approx(expected)


@pytest.mark.lava
def test_spike_rate_is_that_of_slayer():
    from lava.lib.dl import slayer

    sat, labels = spikes(17), torch.tensor([1, 1, 2])
    theirs = slayer.loss.SpikeRate(0.8, 0.05, reduction="sum")(sat.permute(2, 1, 0), labels) / BATCH
    torch.testing.assert_close(spike_rate(sat, labels, 0.8, 0.05), theirs.double())


@pytest.mark.parametrize("loss", ["cross-entropy", "temporal-cross-entropy", "spike-rate"])
def test_label_losses_pass_gradients_that_favour_the_label(loss):
    sat = torch.full((STEPS, CLASSES, 1), 0.5, requires_grad=True)
    stage = Stage(network="tiny", epochs=1, label=Label(loss=loss))
    Objective(stage).terms(sat, torch.tensor([2]), None)["label"].backward()
    assert sat.grad is not None
    assert (sat.grad[:, 2] < 0).all() and (sat.grad[:, [0, 1, 3]] > 0).all()


def distilled(weights: dict, label: float = 0.5, **options) -> Stage:
    distil = Distil(teacher="teacher", losses=weights, window=2, **options)
    return Stage(network="tiny", epochs=1, label=Label(weight=label, scale=0.7), distil=distil)


WEIGHTS = {
    "l1": 0.25,
    "l2": 3.0,
    "kl": 1.0,
    "sliding_l1": 2.0,
    "sliding_l2": 0.125,
    "temporal_kl": 1.5,
    "self_ensemble": 0.75,
    "strong_to_weak": 0.5,
}


def test_normalized_terms_weigh_what_the_recipe_says_on_the_first_batch():
    objective = Objective(distilled(WEIGHTS, normalize=True))
    labels = torch.tensor([0, 1, 2])
    first = objective.terms(spikes(18), labels, spikes(19))
    assert list(first) == ["label", *WEIGHTS]
    assert {name: value.item() for name, value in first.items() if name != "label"} == pytest.approx(WEIGHTS)
    # Later batches are divided by the same numbers, which a checkpoint carries on.
    later = objective.terms(spikes(20), labels, spikes(21))
    resumed = Objective(distilled(WEIGHTS, normalize=True))
    resumed.load_state_dict(json.loads(json.dumps(objective.state_dict())))
    assert later == resumed.terms(spikes(20), labels, spikes(21))
    assert later["l1"].item() != pytest.approx(WEIGHTS["l1"])


def test_terms_are_the_weighted_losses():
    options = {"reading": "psp", "temperature": 3.0, "teacher_temperature": 1.5, "scale": 0.4, "kl_axis": "step"}
    objective = Objective(distilled(WEIGHTS, **options))
    assert objective.scale is None and objective.parameters() == []
    sat, teacher, labels = spikes(22), spikes(23), torch.tensor([3, 0, 0])
    terms = objective.terms(sat, labels, teacher)
    settings = SatSettings("psp", 2, 3.0, "step", 1.5, 0.4)
    for name, weight in WEIGHTS.items():
        taught = name in SAT_LOSSES
        value = SAT_LOSSES[name](sat, teacher, settings) if taught else SELF_LOSSES[name](sat, labels, settings)
        torch.testing.assert_close(terms[name], weight * value)
    torch.testing.assert_close(terms["label"], 0.5 * cross_entropy(sat, labels, 0.7))


def test_a_learned_scale_is_one_for_all_losses_of_a_stage():
    stage = distilled({"kl": 1.0, "temporal_kl": 1.0}, scale="learned")
    stage = stage.model_copy(update={"label": Label(scale="learned", loss="temporal-cross-entropy")})
    objective = Objective(stage)
    (log_scale,) = objective.parameters()
    assert objective.scale == 1.0
    objective.load_state_dict({"norms": {}, "log_scale": math.log(0.3)})
    assert objective.scale == pytest.approx(0.3)
    sat, teacher, labels = spikes(27).float(), spikes(28).float(), torch.tensor([3, 0, 0])
    terms = objective.terms(sat, labels, teacher)
    settings = SatSettings(window=2, scale=0.3)
    torch.testing.assert_close(terms["label"], temporal_cross_entropy(sat, labels, 0.3))
    for name in ("kl", "temporal_kl"):
        torch.testing.assert_close(terms[name], SAT_LOSSES[name](sat, teacher, settings))
    torch.stack(list(terms.values())).sum().backward()
    assert log_scale.grad is not None and log_scale.grad != 0
    # Each loss has its own say: a number beside it is not learned.
    numeric = Objective(stage.model_copy(update={"distil": Distil(losses={"kl": 1.0}, window=2, scale=0.5)}))
    numeric.load_state_dict({"norms": {}, "log_scale": 1.0})
    expected = SAT_LOSSES["kl"](sat, teacher, SatSettings(scale=0.5))
    torch.testing.assert_close(numeric.terms(sat, labels, teacher)["kl"], expected)


def test_the_term_of_rates_is_that_of_lava_dl():
    rates = torch.tensor([0.3, 0.05, 0.2])
    assert rate_excess(rates, 0.1).item() == pytest.approx(0.2**2 + 0.1**2)
    stage = Stage(network="tiny", epochs=1, rate=Rate(max_rate=0.1, weight=3.0))
    assert Objective(stage).rate_term(rates).item() == pytest.approx(0.15)
    assert Objective(stage.model_copy(update={"rate": Rate(weight=0.0)})).rate is None


def test_what_weighs_nothing_is_left_out():
    sat, labels = spikes(24), torch.tensor([3, 0, 0])
    assert list(Objective(distilled({"l1": 0.0, "kl": 1.0}, label=0.0)).terms(sat, labels, spikes(25))) == ["kl"]
    alone = Stage(network="tiny", epochs=1)
    assert list(Objective(alone).terms(sat, labels, None)) == ["label"]


def test_losses_work_on_the_spikes_of_a_network():
    """float32, a graph behind it, a teacher without one."""
    student = torch.rand(STEPS, CLASSES, BATCH, requires_grad=True)
    for name, settings in [*VARIANTS, *SOFT]:
        value = SAT_LOSSES[name]((student > 0.5).float() + student - student.detach(), spikes(26).float(), settings)
        (gradient,) = torch.autograd.grad(value, student)
        assert value.dtype == torch.float32 and gradient.isfinite().all() and gradient.any()
