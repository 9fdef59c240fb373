"""What is said of results that show less than they seem to."""

from dataclasses import replace

import numpy as np
import pytest

from snnkd.analysis import cautions, evaluation
from snnkd.analysis.verification import synthetic_input
from snnkd.base.errors import LimitError
from snnkd.ir.network import Cuba, Dense, IntNet
from snnkd.ir.readout import Readout


def chain(*thresholds, delay=0, readout=None, steps=None):
    """Layers of 8 neurons with weights of 60."""
    layers = []
    for threshold in thresholds:
        neuron = Cuba(*(np.array(value, np.int32) for value in (4096, 4096, threshold)))
        waits = np.full((8, 8), delay, np.int32) if delay and not layers else None
        layers.append(Dense(np.full((8, 8), 60, np.int32), neuron, 0, waits))
    return IntNet((8,), tuple(layers), steps=steps, readout=readout or Readout())


def test_the_first_silent_layer_is_named_with_its_cause():
    net = chain(10, 10, 10)
    assert cautions.silent_layers(net, [9, 5, 5, 5], "the data") == []
    (text,) = cautions.silent_layers(net, [9, 5, 0, 0], "the data")
    assert text.startswith("layer1, layer2: no neuron fires in the data")
    (text,) = cautions.silent_layers(net, [0, 0, 0, 0], "the data")
    assert text.startswith("the input holds no event")
    (text,) = cautions.silent_layers(chain(10, 1 << 17, 10), [9, 5, 0, 0], "the data")
    assert "layer1 cannot fire" in text


def test_outputs_that_are_read_by_their_membrane_may_be_silent():
    assert cautions.silent_layers(chain(10, 10, readout=Readout("membrane")), [9, 5, 0], "the data") == []
    assert cautions.silent_layers(chain(10, 10), [9, 5, 0], "the data")


@pytest.mark.parametrize(
    ("answers", "right", "undecided", "labels", "starts"),
    [
        ({0: 5, 1: 5}, 10, 0, {0: 5, 1: 5}, []),
        ({0: 10}, 5, 0, {0: 5, 1: 5}, ["all 10 answers on x are class 0"]),
        ({1: 10}, 4, 6, {0: 3, 1: 4, 2: 3}, ["all 10 answers on x are class 1", "6 of 10 answers on x are ties"]),
        ({3: 10}, 10, 5, {3: 10}, ["all 10 labels of x are class 3"]),  # and half of them are not most
        ({0: 1}, 1, 0, {0: 1}, []),  # one sample has one class
        ({0: 100, 1: 100}, 99, 0, {0: 101, 1: 99}, ["99 of 200 answers on x are right, which does not show"]),
        ({0: 50, 1: 150}, 200, 0, {0: 50, 1: 150}, []),
        ({0: 40, 1: 160}, 155, 0, {0: 50, 1: 150}, ["155 of 200 answers on x are right, which does not show"]),
        ({}, 0, 0, {}, []),
    ],
)
def test_answers_that_tell_nothing_apart(answers, right, undecided, labels, starts):
    told = cautions.of_answers(answers, right, undecided, labels, "x")
    assert [text[: len(start)] for text, start in zip(told, starts, strict=True)] == starts


def test_ties_that_the_membrane_decides_are_none():
    counts = np.array([[2, 2, 1], [3, 1, 3], [0, 0, 0]])
    v = np.array([[5, 4, 9], [7, 1, 7], [1, 2, 3]])
    assert Readout().undecided(counts, None).tolist() == [True, True, True]
    assert Readout("count", "membrane").undecided(counts, v).tolist() == [False, True, False]
    assert Readout("membrane").undecided(counts, v).tolist() == [False, True, False]


# Random events


def test_a_density_at_which_every_layer_fires_is_looked_for():
    sparse, words = evaluation.random_input(chain(50, 50), 4)
    assert 0.05 < sparse.mean() < 0.15 and "at 10% activity, not real data" in words
    dense, words = evaluation.random_input(chain(350, 350), 4)  # six of eight inputs at once
    assert dense.mean() > 0.25 and "the first at which every layer fires" in words
    assert all(evaluation.simulate(chain(350, 350), dense).events)
    dead, words = evaluation.random_input(chain(50, 1 << 17, 50), 4)
    assert "at 10% activity, not" in words, "nothing makes it fire, so nothing is claimed"
    np.testing.assert_array_equal(dead, synthetic_input(chain(50, 1 << 17, 50), samples=4))


def test_events_last_until_they_arrive():
    assert synthetic_input(chain(50, delay=62)).shape[1] == 32 + 62
    assert synthetic_input(chain(50, delay=62, steps=70)).shape[1] == 70
    events, _ = evaluation.random_input(chain(50, delay=62), 3)
    assert all(evaluation.simulate(chain(50, delay=62), events).events)


def test_a_comparison_without_events_says_so():
    net = chain(400, 1 << 17)
    events, _ = evaluation.random_input(net, 2)
    found = evaluation.verify(net, events, "fast")
    assert found.equal and len(found.warnings) == 1 and "layer1" in found.warnings[0]
    fires = chain(50, 50)
    assert evaluation.verify(fires, events, "fast").warnings == ()
    assert evaluation.profile(net, events, []).warnings == [
        text.replace("the 2 samples compared", "these 2 samples") for text in found.warnings
    ]


def test_more_random_events_than_memory_are_refused_before_they_are_made():
    with pytest.raises(LimitError, match="1,000,000 samples of 1,000,000 steps"):
        synthetic_input(replace(chain(50), steps=1_000_000), samples=1_000_000)
