"""The self-test on emulated Cortex-M: equal spikes, and figures that can be believed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snnkd import targets
from snnkd.base.errors import LimitError
from snnkd.engines import c99, conformance
from snnkd.engines.c99 import build
from snnkd.engines.reference.definition import simulate
from snnkd.ir.network import IntNet

pytestmark = pytest.mark.qemu
CHIPS = ("cortex-m4", "cortex-m0plus", "cortex-m33")


@pytest.fixture
def emulate(tmp_path):
    """Runs golden events of a network on a target."""

    def run(net, events, target, change=lambda files: files):
        chosen = targets.load(target) if isinstance(target, str) else target
        files = c99.runtime_files(chosen) | c99.model_files(net, chosen) | c99.golden_files(net, simulate(net, events))
        build.write(tmp_path, change(files))
        assert chosen.build is not None
        return c99.on_qemu(tmp_path, chosen.build)

    return run


def small(random):
    """A convolution, and dense layers with delays and biases, one with weights of 4 bits."""
    conv = conformance.random_conv(random, (2, 6, 5), 5, (3, 2), stride=(2, 1), padding=(1, 0), bias=True)
    delayed = conformance.random_dense(random, conv.shape, 7, delays=5, thresholds=(0, 90))
    packed = conformance.random_dense(random, (7,), 5, bias=True)
    packed = replace(packed, weight=(packed.weight // 8 * 32).astype(np.int32))
    return IntNet((2, 6, 5), (conv, delayed, packed), message_bits=4)


@pytest.mark.parametrize("target", CHIPS)
def test_equal_on(target, emulate):
    random = np.random.default_rng(3)
    net = small(random)
    done = emulate(net, conformance.random_events(random, net, 4, 10), target)
    assert done.passed, done.text
    assert "ok 4 samples, 10 steps, 3 layers" in done.text
    memory, figures = c99.plan(net), done.figures
    assert (figures.constants, figures.ram) == (memory.flash, memory.ram)
    assert 1000 < figures.code < 6000
    assert 40 < figures.stack < 600
    events_and_updates = 10 * net.neurons
    assert 10 * events_and_updates < figures.instructions < 1000 * events_and_updates
    assert done.measured["instructions"] == figures.instructions


def test_equal_without_states(emulate):
    net, events = conformance.networks()["sigma delta once"]
    done = emulate(net, events, "cortex-m0plus")
    assert done.passed, done.text
    assert "ok 5 samples, 1 steps, 4 layers" in done.text
    assert done.figures.ram == c99.plan(net).ram < 5 * net.neurons


def test_work_follows_events(emulate):
    """Instructions of an inference, with no input and with much."""
    random = np.random.default_rng(1)
    net = IntNet((200,), (conformance.random_dense(random, (200,), 40),))
    needed = [
        emulate(net, conformance.random_events(random, net, 2, 10, activity), "cortex-m4").figures.instructions
        for activity in (0.0, 0.05, 0.5)
    ]
    added = np.diff(needed) / (10 * 200 * 40 * np.array([0.05, 0.45]))
    assert (added > 1).all()
    assert (added < 8).all(), "instructions of one weight"


def test_what_differs_fails(emulate):
    net, events = conformance.networks()["single"]

    def change(files):
        return files | {
            "golden.c": files["golden.c"].replace(b"golden_classes[1] = {\n    ", b"golden_classes[1] = {\n    1")
        }

    done = emulate(net, events, "cortex-m4", change)
    assert not done.passed
    assert "DIFFERENT: sample 0: class 1" in done.text
    assert done.measured == {}


def test_what_does_not_fit_is_refused(emulate, classifier):
    """By the compiler where it is known, by the linker where code and golden samples come on top."""
    events = conformance.random_events(np.random.default_rng(1), classifier, 1, 4)
    chip = targets.load("cortex-m0plus")
    flash = chip.limits["flash"]

    def sized(size):
        return replace(chip, limits={**chip.limits, "flash": replace(flash, low=size, typical=size, high=size)})

    with pytest.raises(LimitError, match=r"flash_is_short_of_these_bytes.*\[1848\]"):
        emulate(classifier, events, sized(100000))
    with pytest.raises(LimitError, match=r"region `flash' overflowed by \d+ bytes"):
        emulate(classifier, events, sized(102000))
