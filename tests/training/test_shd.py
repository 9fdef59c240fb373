"""`best/shd` on recordings in SHD's layout whose classes differ in timing alone: every unit sends one event in each of
them, five bands of units one after the other, and a class is an order of the bands."""

from itertools import islice, permutations

import numpy as np
import pytest

import snnkd
from snnkd import recipe
from snnkd.analysis import evaluation
from snnkd.data import datasets
from snnkd.data.encoding import encode
from snnkd.ir.readout import Readout

pytestmark = pytest.mark.training
CLASSES, UNITS, BANDS = 20, 700, 5
ORDERS = list(islice(permutations(range(BANDS)), 0, None, 6))[:CLASSES]
# Seconds of training; the recipe itself is for thousands of recordings.
SHORT = ("chain.student.epochs=7", "chain.student.batch=16", "encoding.steps=50", "encoding.window_us=20_000")
SHORT += ("data.variants=1", "data.drop=0", "data.jitter_us=0", "data.validation=20", "data.set=shd")


def in_some_order(random, label):
    """Times in seconds and units of a recording."""
    place = np.array(ORDERS[label])[np.arange(UNITS) * BANDS // UNITS]
    times = 0.05 + 0.16 * place + 0.12 * random.random(UNITS)
    units = np.argsort(times)
    return times[units], units


@pytest.fixture
def shd(tmp_path, spike_lists):
    """A data root with shd_train.h5, 8 recordings of each class, and shd_test.h5, 3 of each."""
    random = np.random.default_rng(5)
    for part, count in (("train", 8), ("test", 3)):
        labels = np.tile(np.arange(CLASSES), count)
        spike_lists(tmp_path / f"shd_{part}.h5", labels, [in_some_order(random, label) for label in labels])
    return tmp_path


def test_the_recipe_learns_what_is_in_the_timing_alone(shd, tmp_path):
    options = snnkd.TrainingOptions(folder=tmp_path / "runs", data_root=shd)
    done = snnkd.train(recipe.load("best/shd", SHORT), options).to_json()
    net = snnkd.load(done["net"])
    assert net.parameters < 250_000 and net.readout == Readout("membrane", over="sum")
    assert [layer.longest_delay > 0 for layer in net.layers] == [True, True, False]
    assert all(0 < int(layer.neuron.current_decay) < 4096 for layer in net.layers), "currents are slow"
    assert done["accuracy"]["integer"] == done["accuracy"]["float"] > 0.5, "chance is 0.05"
    test = datasets.load("shd", root=shd).test
    events = encode(recipe.load("best/shd", SHORT).encoder(), test.images, np.arange(len(test)))
    assert (events.sum(axis=1) == 1).all(), "nothing is in the counts"
    right = evaluation.simulate(net, events).classes(net) == test.labels
    assert right.mean() == done["accuracy"]["integer"]
    backwards = evaluation.simulate(net, events[:, ::-1]).classes(net) == test.labels
    assert backwards.mean() < 0.3
