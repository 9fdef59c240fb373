"""Classes that only the timing of spikes tells apart: losses on spike counts teach nothing of them, SAT losses do."""

import sys
from pathlib import Path

import numpy as np
import pytest

from snnkd.analysis import evaluation
from snnkd.recipe.tables import Distil

sys.path.insert(0, str(Path(__file__).parents[2] / "toolchain/benchmarks"))

from order_patterns import CHANCE, CLASSES, ENCODING, STEPS, renamed, samples, score, teacher
from order_task import LOSSES, STUDENTS, Budget, accuracy, answers, measured

QUICK = Budget(images=512, epochs=7)
SEEDS = range(1, 3)


pytestmark = [pytest.mark.training, pytest.mark.usefixtures("one_thread")]


def test_counts_say_nothing_of_the_class_at_any_input_and_at_any_output_of_the_teacher():
    split = samples(200, seed=3)
    events = ENCODING.encode(split.images, np.arange(len(split)))
    assert np.bincount(split.labels).tolist() == [len(split) // CLASSES] * CLASSES
    assert (events.sum(axis=1) == 1).all(), "each pixel, in each sample"
    for by in range(CLASSES):
        spikes = evaluation.simulate(renamed(teacher(), by), events, engine="reference").layers[-1].spikes
        assert spikes.shape == (len(split), STEPS, CLASSES)
        assert (spikes.sum(axis=1) == 5).all(), "each output, in each sample"
        assert score(spikes, (split.labels + by) % CLASSES) > 0.95, "and their order tells the class"


def test_the_first_spike_is_the_answer_and_those_that_come_together_share_it():
    spikes = np.zeros((4, 5, CLASSES), dtype=np.uint8)
    spikes[0, 1, 2] = spikes[0, 0, 3] = 1  # 3 is first
    spikes[1, 4, 2] = 1
    spikes[2, 3, [0, 2]] = 1
    assert [score(spikes[i : i + 1], np.array([3])) for i in range(4)] == [1, 0, 0, 1 / CLASSES]
    assert score(spikes, np.array([3, 2, 2, 0])) == (1 + 1 + 1 / 2 + 1 / 4) / 4


def test_losses_on_counts_stay_at_chance():
    """One student by itself may be lucky; the same one, measured by all four names of the classes, is not."""
    for seed in SEEDS:
        outputs = [answers(LOSSES["kl + 0.05 l2 of counts"], seed, by, QUICK) for by in (0, 1)]
        assert np.array_equal(outputs[0], outputs[1]), "teachers that differ in timing alone make the same network"
        assert 2 < outputs[0].sum(axis=1).mean() < 8, "which has learned the teacher's five spikes, roughly"
        accuracies = [accuracy(outputs[0], by) for by in range(CLASSES)]
        assert np.mean(accuracies) == pytest.approx(CHANCE)


@pytest.mark.parametrize("name", ["l2", "l2 of psp", "sliding_l2 of counts, window 4"])
def test_losses_over_time_teach_the_order(name):
    for seed in SEEDS:
        by = seed % CLASSES
        assert accuracy(answers(LOSSES[name], seed, by, QUICK), by) > 3 * CHANCE


@pytest.mark.parametrize("by", ["by input", "by neuron"])
def test_delays_sharpen_what_a_loss_over_time_teaches(by):
    name = "sliding_l2 of counts, window 4"
    distil, plan = STUDENTS[f"{name}; delays {by}"]
    without, given = (
        np.mean([accuracy(answers(distil, seed, 1, QUICK, network), 1) for seed in SEEDS])
        for network in (STUDENTS[name][1], plan)
    )
    assert given > without + 0.03


def test_a_window_of_all_steps_is_a_count():
    """The smallest change of a loss that hides the order: what teaches it above, with another window."""
    distil = Distil.model_validate({**LOSSES["sliding_l2 of counts, window 4"].model_dump(), "window": STEPS})
    row = measured("window T", distil, range(1, 2), Budget(images=64, epochs=2))
    assert not row["differ"] and row["mean"] == pytest.approx(CHANCE)
