"""Early exit against runs of fewer steps, plain loops and a search through all rules."""

import json
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkd import recipe
from snnkd.analysis import early_exit, evaluation
from snnkd.analysis.early_exit import Course
from snnkd.engines import conformance
from snnkd.formats import netx
from snnkd.ir import trace
from snnkd.ir.network import Cuba, Dense, IntNet
from snnkd.ir.readout import EarlyExit, Readout

READOUTS = (("count", "first"), ("count", "membrane"), ("membrane", "first"))
OVER = {"last": lambda v: v[:, -1], "max": lambda v: v.max(axis=1), "sum": lambda v: v.sum(axis=1, dtype=np.int64)}


def leads(readout, spikes, v):
    """By how much the best class of each sample leads, summed neuron by neuron from counts (N, outputs) and v (N, T,
    *shape)."""
    values = OVER[readout.over](v) if readout.kind == "membrane" else spikes
    found = []
    for row in values.reshape(len(values), -1).tolist():
        sums = sorted(sum(row[c : c + readout.population]) for c in range(0, len(row), readout.population))
        found.append(sums[-1] - sums[-2] if len(sums) > 1 else 0)
    return found


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    rule=st.sampled_from(READOUTS),
    over=st.sampled_from(list(OVER)),
    populations=st.booleans(),
    wild=st.booleans(),
)
def test_the_course_is_that_of_shorter_runs(seed, rule, over, populations, wild):
    """Of networks of any kind, with delays and wraps too: classes, and leads, with v from the trace and without."""
    random = np.random.default_rng(seed)
    net = conformance.random_net(seed) if wild else conformance.small_net(seed)
    outputs = prod(net.layers[-1].shape)
    population = next(k for k in (3, 2, 1) if outputs % k == 0) if populations else 1
    kind, ties = rule
    net = replace(net, readout=Readout(kind, ties, population, over if kind == "membrane" else "last"))
    events = conformance.random_events(random, net, 4, 6, 0.3)
    course = evaluation.course(net, evaluation.simulate(net, events))
    with_states = evaluation.course(net, evaluation.simulate(net, events, "reference", states=True))
    assert np.array_equal(course.classes, with_states.classes) and np.array_equal(course.lead, with_states.lead)
    for steps in range(1, 7):
        shorter = evaluation.simulate(net, events[:, :steps], "reference", states=steps % 2 == 0)
        assert course.classes[:, steps - 1].tolist() == shorter.classes(net).tolist()
        last = shorter.layers[-1]
        v = last.v_last[:, None] if last.v is None else last.v
        assert course.lead[:, steps - 1].tolist() == leads(net.readout, shorter.counts, v)


def test_ties_are_decided_at_each_step():
    spikes = np.array([[[0, 0, 0], [0, 1, 1], [1, 0, 0]]], np.uint8)  # one sample, three steps
    v = np.array([[[4, 9, 9], [7, 2, 5], [0, 1, -1]]], np.int32)
    found = {rule: early_exit.course(Readout(*rule), spikes, v) for rule in READOUTS}
    assert [course.classes.tolist() for course in found.values()] == [[[0, 1, 0]], [[1, 2, 1]], [[1, 0, 1]]]
    assert [course.lead.tolist() for course in found.values()] == [[[0, 0, 0]], [[0, 0, 0]], [[0, 2, 1]]]
    assert early_exit.scores(Readout(), spikes, None).tolist() == [[[0, 0, 0], [0, 1, 1], [1, 1, 1]]]
    paired = early_exit.course(Readout(population=3), spikes, None)
    assert (paired.classes.tolist(), paired.lead.tolist()) == ([[0, 0, 0]], [[0, 0, 0]])  # one class only


def ended(course, margin, first):
    """(classes, steps) of a rule, by plain loops."""
    found = []
    for classes, lead in zip(course.classes.tolist(), course.lead.tolist(), strict=True):
        step = 1
        while step < len(lead) and not (step >= first and lead[step - 1] >= margin):
            step += 1
        found.append((classes[step - 1], step))
    return found


def random_course(seed, samples, steps, classes=3, highest=4):
    """Labels, and a course that is right more often, and leads by more, from step to step."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, samples)
    wrong = random.random((samples, steps)) > np.linspace(0.2, 0.95, steps)
    taken = np.where(wrong, random.integers(0, classes, (samples, steps)), labels[:, None])
    return Course(taken, random.integers(0, highest + np.arange(steps), (samples, steps))), labels


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32), st.integers(1, 9), st.integers(1, 6), st.integers(0, 9), st.integers(1, 8))
def test_a_run_ends_as_plain_loops_say(seed, samples, steps, margin, first):
    course, _ = random_course(seed, samples, steps)
    classes, after = early_exit.stops(course, EarlyExit(margin, first))
    assert list(zip(classes.tolist(), after.tolist(), strict=True)) == ended(course, margin, first)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 1 << 32), st.integers(1, 12), st.integers(1, 6), st.sampled_from([0, 0.1, 0.25, 1]))
def test_the_chosen_rule_is_the_best_of_all(seed, samples, steps, tolerance):
    course, labels = random_course(seed, samples, steps)

    def cost(margin, first):
        runs = ended(course, margin, first)
        wrong = sum(found != label for (found, _), label in zip(runs, labels.tolist(), strict=True))
        return sum(after for _, after in runs), wrong

    whole = (course.classes[:, -1] != labels).sum()
    rules = [(margin, first) for margin in range(course.lead.max() + 2) for first in range(1, steps + 1)]
    costs = {cost(*rule) for rule in rules}
    best = min((steps_, wrong) for steps_, wrong in costs if wrong - whole <= tolerance * samples)
    found = early_exit.choose(course, labels, tolerance)
    if best[0] == samples * steps:
        assert found is None
    else:
        assert found is not None and cost(found.margin, found.first) == best
        assert cost(found.margin + 1, found.first)[0] > best[0], "a larger margin is as good"
    assert found == early_exit.choose(course, labels, tolerance)


def test_what_the_tolerance_allows():
    """Of 100 samples, 29 change from wrong to right in the last step: 0.29 * 100 is a bit below 29 in floats."""
    labels = np.zeros(100, np.int64)
    classes = np.stack([np.arange(100) < 29, np.zeros(100)], axis=1).astype(np.int64)
    course = Course(classes, np.ones((100, 2), np.int64))
    assert course.accuracy(labels) == [0.71, 1.0]
    assert early_exit.choose(course, labels, 0.29) == EarlyExit(1, 1)
    assert early_exit.choose(course, labels, 0.28) is None
    assert early_exit.choose(Course(classes[:0], classes[:0]), labels[:0], 1.0) is None


def test_of_rules_with_as_many_steps_the_one_that_is_right_more_often():
    """A margin of 3 ends one run at step 1, in a wrong class; from step 2 on both end there, in the right one."""
    course = Course(np.array([[1, 0, 0], [1, 0, 0]]), np.array([[3, 0, 1], [1, 0, 2]]))
    assert early_exit.choose(course, np.zeros(2, np.int64), 0.5) == EarlyExit(0, 2)


def dense(random, outputs, inputs):
    weight = (2 * random.integers(-20, 40, (outputs, inputs))).astype(np.int32)
    return Dense(weight, Cuba(*(np.array(value, np.int32) for value in (4096, 400, 90))))


@pytest.fixture
def net():
    random = np.random.default_rng(5)
    layers = (dense(random, 12, 9), dense(random, 4, 12))
    return IntNet((9,), layers, steps=7, readout=Readout(ties="membrane"), early_exit=EarlyExit(2, 2))


def test_a_profile_counts_what_is_run_until_the_end_of_each_sample(net):
    events = np.random.default_rng(6).integers(0, 2, (evaluation.BLOCK + 9, 7, 9), dtype=np.uint8)
    _, steps = early_exit.stops(evaluation.course(net, evaluation.simulate(net, events)), net.early_exit)
    assert len(set(steps.tolist())) > 2, "samples that end alike test little"
    shorter = [trace.count(net, evaluation.simulate(net, events[n : n + 1, :t]))[1:] for n, t in enumerate(steps)]
    found = evaluation.profile(net, events).to_json()
    assert found["early_exit"]["steps"] == steps.mean()
    for key in ("spikes", "synops"):
        total = sum(getattr(row, key) for rows in shorter for row in rows)
        assert found["early_exit"][key] == pytest.approx(total / len(events))
    without = evaluation.profile(replace(net, early_exit=None), events).to_json()
    assert {**without, "early_exit": found["early_exit"]} == found


def test_inspect_and_profile_show_the_rule(net, tmp_path, call):
    def printed_by(*words):
        status, output, _ = call(*words)
        assert status == 0
        return output

    netx.save(net, tmp_path / "x.net")
    assert "early_exit: {'margin': 2, 'first': 2}" in printed_by("inspect", tmp_path / "x.net")
    assert "With early exit: " in printed_by("profile", tmp_path / "x.net")
    netx.save(replace(net, early_exit=None), tmp_path / "x.net")
    assert "early" not in printed_by("inspect", tmp_path / "x.net")
    assert json.loads(printed_by("inspect", tmp_path / "x.net", "--json"))["early_exit"] is None
    assert "early" not in printed_by("profile", tmp_path / "x.net")


@pytest.mark.training
@pytest.mark.parametrize("kind", ["count", "membrane"])
def test_a_training_chooses_the_rule_on_its_validation_data(kind, tmp_path):
    import snnkd
    from snnkd.data import datasets

    table = {"data": {"train_limit": 400}, "encoding": {"steps": 6}, "readout": {"kind": kind}}
    table |= {"name": kind, "chain": {"only": {"network": "dense-8x8-student", "epochs": 2, "batch": 32}}}
    loaded = recipe.parse({**table, "early_exit": {"tolerance": 0.1}})
    done = snnkd.train(loaded, snnkd.TrainingOptions(folder=tmp_path)).to_json()
    net = netx.load(done["net"])
    assert net.early_exit is not None

    def course(split):
        events = loaded.encoder().encode(split.images, np.arange(len(split)))
        return evaluation.course(net, evaluation.simulate(net, events))

    data = datasets.load("digits", seed=loaded.seed)
    assert net.early_exit == early_exit.choose(course(data.validation), data.validation.labels, 0.1)
    assert done["by_step"] == course(data.test).accuracy(data.test.labels)
    assert done["by_step"][-1] == done["accuracy"]["integer"]
    classes, steps = early_exit.stops(course(data.test), net.early_exit)
    found = {"accuracy": (classes == data.test.labels).mean(), "steps": steps.mean()}
    assert done["early_exit"] == {"margin": net.early_exit.margin, "first": net.early_exit.first, **found}
    assert json.loads((Path(done["run"]) / "summary.json").read_text())["early_exit"] == done["early_exit"]
    assert snnkd.train(loaded, snnkd.TrainingOptions(folder=tmp_path, resume=True)).to_json() == done

    blind = snnkd.train(
        recipe.parse({**table, "data": {"validation": 0, "train_limit": 400}}), snnkd.TrainingOptions(folder=tmp_path)
    ).to_json()
    assert blind["early_exit"] is None and netx.load(blind["net"]).early_exit is None
