"""RUN or FILE.net as one subject, its samples in blocks, comparisons and surveys that grow block by block."""

from dataclasses import replace

import numpy as np
import pytest

from snnkd.analysis import early_exit, evaluation, verification
from snnkd.base.errors import FormatError, SnnkdError, SnnkdWarning
from snnkd.data.encoding import Encoding
from snnkd.data.samples import Samples
from snnkd.engines.reference import definition
from snnkd.formats import netx
from snnkd.ir.readout import EarlyExit, Readout
from snnkd.runs import subject


@pytest.fixture
def file(tmp_path, build):
    """A network's file with events and labels of 7 samples."""
    net = replace(build.net(3), steps=9)
    netx.save(net, tmp_path / "x.net")
    random = np.random.default_rng(1)
    np.save(tmp_path / "events.npy", build.events(random, net, 7, 9))
    np.save(tmp_path / "labels.npy", random.integers(0, 2, 7))
    return tmp_path


def test_a_file_is_its_own_network_and_input(file, same_net):
    opened = subject.opened(str(file / "x.net"))
    same_net(opened.net, netx.load(file / "x.net"))
    assert (opened.name, opened.short_name, opened.run) == (str(file / "x.net"), "x", None)
    assert opened.inputs == [file / "x.net"]
    assert subject.opened(file / "x.net", readout="membrane").net.readout.name == "membrane"
    assert subject.opened(file / "x.net", readout="membrane-sum").net.readout.over == "sum"


def test_another_readout_drops_the_rule_for_early_exit_with_a_word(file, build):
    netx.save(replace(build.net(3), early_exit=EarlyExit(2, 1)), file / "rule.net")
    with pytest.warns(SnnkdWarning, match="its rule for early exit is left out: it counts what readout 'count' reads"):
        assert subject.opened(file / "rule.net", readout="membrane").net.early_exit is None
    assert subject.opened(file / "rule.net", readout="count").net.early_exit == EarlyExit(2, 1)


def test_samples_of_a_file(file):
    opened = subject.opened(file / "x.net")
    random = opened.samples(5)
    assert (len(random), random.steps, random.labels) == (5, 9, None) and "seeded random" in random.data
    assert len(opened.samples(None)) == subject.RANDOM_SAMPLES
    given = opened.samples(None, file / "events.npy", file / "labels.npy")
    assert (len(given), given.data) == (7, str(file / "events.npy"))
    np.testing.assert_array_equal(given.labels, np.load(file / "labels.npy"))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda file: subject.opened("nothing", file), "nothing: no run folder"),
        (lambda file: subject.opened(None, file), "no finished run"),
        (
            lambda file: subject.opened(file / "x.net", readout="spikes"),
            "--readout spikes: not a readout; known: count, membrane, membrane-max",
        ),
        (
            lambda file: subject.opened(file / "x.net").samples(3, None, file / "labels.npy"),
            "--input, which is missing",
        ),
        (lambda file: subject.opened(file / "x.net").samples(3, file / "labels.npy"), "expected integers of shape"),
        (lambda file: subject.opened(file / "x.net").samples(3, file / "x.net"), "x.net: is an HDF5 file"),
    ],
)
def test_unusable(file, call, words):
    with pytest.raises(SnnkdError, match=words):
        call(file)


# Samples


def test_images_are_encoded_as_they_are_in_one_piece():
    images = np.random.default_rng(0).integers(0, 256, (11, 1, 4, 5), dtype=np.uint8)
    encoder = Encoding("poisson", steps=6, seed=3)
    samples = Samples("noise", images=images, encoder=encoder, labels=np.arange(11))
    whole = encoder.encode(images, np.arange(11))
    np.testing.assert_array_equal(samples.events(), whole)
    np.testing.assert_array_equal(np.concatenate(list(samples.blocks(4))), whole)
    np.testing.assert_array_equal(samples.events(8, 99), whole[8:])


def test_samples_need_events_or_images_and_a_label_each():
    with pytest.raises(FormatError, match="expected events, or images"):
        Samples("nothing")
    with pytest.raises(FormatError, match="expected events, or images"):
        Samples("images alone", images=np.zeros((1, 1, 2, 2), np.uint8))
    for labels in (np.arange(3), np.zeros(2)):
        with pytest.raises(FormatError, match=r"labels: expected \(2,\) integers"):
            Samples("events", np.zeros((2, 3, 4), np.uint8), labels=labels)


# Blocks


@pytest.fixture
def traces(build):
    """A network, its trace by the definition and one that differs in the samples 5 and 2, in that order of layers."""
    net = build.net(5)
    expected = definition.simulate(net, build.events(np.random.default_rng(2), net, 8, 6), states=True)
    layers = list(expected.layers)
    for sample, layer, step in ((5, 0, 4), (2, 0, 5), (1, len(layers) - 1, 0)):
        spikes = layers[layer].spikes.copy()
        spikes[sample, step].flat[0] ^= 1
        layers[layer] = replace(layers[layer], spikes=spikes)
    return net, expected, replace(expected, layers=tuple(layers))


def part(trace, start, stop):
    """The samples `start` to `stop` of a trace."""
    fields = ("spikes", "v_last", "u", "v")
    layers = (replace(row, **{name: getattr(row, name)[start:stop] for name in fields}) for row in trace.layers)
    return replace(trace, input=trace.input[start:stop], layers=tuple(layers))


@pytest.mark.parametrize("size", [1, 3, 8])
def test_a_comparison_in_blocks_says_what_one_of_all_says(traces, size):
    net, expected, actual = traces
    comparison = evaluation.Comparison(net)
    for start in range(0, 8, size):
        comparison.add(part(expected, start, start + size), part(actual, start, start + size))
    whole = verification.compare(net, expected, actual)
    assert not whole.equal and whole.first_difference.sample == 5
    assert comparison.result().to_json() == whole.to_json()


def test_verify_runs_in_blocks_of_bounded_memory(build):
    net = build.net(5)
    events = build.events(np.random.default_rng(2), net, 8, 6)
    whole = evaluation.verify(net, events, "fast")
    assert evaluation.block_of(net, 6, True, most=1) == 1
    assert evaluation.verify(net, events, "fast", most=1).to_json() == whole.to_json()


@pytest.mark.parametrize(
    "readout", [Readout(), Readout("count", "membrane"), Readout("membrane"), Readout("membrane", over="max")]
)
def test_a_survey_says_what_separate_runs_say(build, readout):
    net = replace(build.net(5), readout=readout, early_exit=EarlyExit(1, 2))
    events = build.events(np.random.default_rng(3), net, 9, 6)
    seen = evaluation.survey(net, evaluation.in_blocks(events, 4), answers=True)
    trace = evaluation.simulate(net, events)
    assert (seen.samples, seen.steps) == (9, 6)
    np.testing.assert_array_equal(seen.classes, trace.classes(net))
    np.testing.assert_array_equal(seen.undecided, trace.undecided(net))
    assert [row.spikes for row in seen.counts] == trace.events
    np.testing.assert_array_equal(seen.exits, early_exit.stops(evaluation.course(net, trace), net.early_exit))
    _, ends = early_exit.stops(evaluation.course(net, trace), net.early_exit)
    profile = evaluation.profile(net, events, [])
    assert profile.early_exit.steps == ends.mean()
    assert evaluation.survey(net, [events], answers=False).classes is None


def test_a_range_of_samples_needs_no_copy_of_events():
    events = np.zeros((5, 3, 2), np.uint8)
    assert np.shares_memory(Samples("events", events).events(1, 3), events)
