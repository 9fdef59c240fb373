"""The C99 runtime equals the definition, whatever the network, the compiler and its options."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnkd import engines, targets
from snnkd.analysis import early_exit
from snnkd.analysis.verification import compare
from snnkd.data.encoding import Encoding
from snnkd.engines import c99, conformance
from snnkd.engines.c99 import build
from snnkd.engines.reference.definition import simulate
from snnkd.ir.network import Conv, Cuba, Dense, IntNet
from snnkd.ir.readout import EarlyExit, Readout

SANITIZED = ("-g", "-fsanitize=undefined,address", "-fno-sanitize-recover=all")
UINT8, UINT32 = ctypes.POINTER(ctypes.c_uint8), ctypes.POINTER(ctypes.c_uint32)


def events_of(net, seed, samples=3, steps=12):
    return conformance.random_events(np.random.default_rng(seed), net, samples, steps)


def pointer(array, kind):
    return array.ctypes.data_as(kind)


@pytest.fixture
def library(tmp_path, gcc):
    """Builds the runtime with a network as a shared library."""

    def make(net, *flags):
        target = targets.load("c99")
        build.write(tmp_path, c99.runtime_files(target) | c99.model_files(net, target))
        options = (*build.STRICT, "-O1", "-shared", "-fPIC", *flags)
        return ctypes.CDLL(str(build.compile(tmp_path, build.RUNTIME, "libsnnkd.so", gcc, options)))

    return make


@pytest.mark.parametrize("name", conformance.networks())
def test_named_cases(name, gcc, equals_definition):
    equals_definition(*conformance.networks()[name], gcc)


@pytest.mark.parametrize("seed", range(300, 305))
def test_random_networks(seed, compiler, equals_definition):
    net = conformance.random_net(seed)
    equals_definition(net, events_of(net, seed), compiler)


@pytest.mark.parametrize("seed", [310, 311, 312])
@pytest.mark.parametrize("packed", [False, True])
def test_nothing_is_undefined_or_out_of_bounds(seed, packed, gcc, equals_definition, four_bits):
    net = conformance.random_net(seed)
    net = four_bits(net, seed) if packed else net
    equals_definition(net, events_of(net, seed), gcc, *SANITIZED)


@pytest.mark.parametrize("seed", [320, 321])
def test_visiting_every_input_gives_the_same(seed, gcc, equals_definition):
    net = conformance.random_net(seed)
    equals_definition(net, events_of(net, seed), gcc, "-DSNNKD_DENSE")


@pytest.mark.parametrize("seed", [330, 334])
def test_weights_of_four_bits(seed, compiler, equals_definition, four_bits):
    net = four_bits(conformance.random_net(seed), seed)
    assert any(part.stored and part.stored.bits == 4 for part in c99.plan(net).parts)
    equals_definition(net, events_of(net, seed), compiler)


@pytest.mark.parametrize("scale", [1, 3, 1001, 70001, 1 << 27])
def test_weights_of_any_size(scale, gcc, build, equals_definition):
    """Up to 32 bits, which only graded convolutions and files from elsewhere need; sums wrap."""
    random = np.random.default_rng(scale)
    conv = build.conv(random, (2, 5, 4), 3, (2, 2))
    dense = build.dense(random, conv.shape, 6)
    layers = tuple(replace(layer, weight=layer.weight // 2 % 16 * scale) for layer in (conv, dense))
    net = IntNet((2, 5, 4), layers, message_bits=4)
    equals_definition(net, events_of(net, 1), gcc)


@pytest.mark.parametrize("kind", [Dense, Conv])
def test_the_last_values_of_each_range(kind, compiler, equals_definition):
    """Sums at and beside thresholds, the corrections of u, the clips of v, and the wraps of 24 and 32 bits."""
    edges = [1, 80, 1 << 17, 1 << 18, 1 << 23, 1 << 24, 1 << 25, (1 << 31) - 1]
    values = sorted({sign * (edge + step) for edge in edges for step in (-1, 0, 1) for sign in (1, -1)})
    values = np.array([value for value in values if abs(value) < 1 << 31], np.int32)
    events = np.stack([np.roll(values, shift) for shift in range(0, len(values), 5)])
    events[0, :2] = 4032, 127041  # a decay of 1 takes 63 of 64 * 4032: then u is 2^23 + 1, the first to be corrected
    decays, thresholds = [(4096, 4096), (0, 1), (4096, 0), (1, 4096)], (80, (1 << 17) - 1, 1 << 17)
    each = [(*pair, threshold) for pair in decays for threshold in thresholds]
    neuron = Cuba(*(np.array(column, np.int32) for column in zip(*each, strict=True)))
    weight = np.ones((len(each), 1), np.int32)
    layer = Dense(weight, neuron) if kind is Dense else Conv(weight[:, :, None, None], neuron, (len(each), 1, 1))
    equals_definition(IntNet((1, 1, 1), (layer,), message_bits=31), events[:, :, None, None, None], compiler)


def test_constant_input_is_summed_once(gcc, classifier, equals_definition):
    """The harness gives NULL where an input is the one of the step before."""
    assert c99.plan(classifier).keeps_input
    random = np.random.default_rng(2)
    images = (random.random((3, 1, 1, 28, 28)) < 0.2) * random.integers(0, 16, (3, 1, 1, 28, 28))
    images = np.repeat(images.astype(np.uint8), 6, axis=1)
    images[1, 3:] = images[0, 3:]  # changes in between
    equals_definition(classifier, images, gcc)


@pytest.mark.parametrize(
    "readout",
    [
        Readout(population=3),
        Readout(ties="membrane", population=3),
        Readout("membrane", population=3),
        Readout("membrane", population=3, over="max"),
        Readout("membrane", population=3, over="sum"),
    ],
    ids=lambda readout: f"{readout.name} {readout.ties}",
)
@pytest.mark.parametrize("last", ["dense", "conv"])
def test_readout_and_early_exit(readout, last, gcc, build, equals_definition):
    """After each step: the class, and whether the rule ends the run; populations too, in the order (C, H, W)."""
    random = np.random.default_rng(9)
    conv = build.conv(random, (2, 5, 4), 6, (4, 3), thresholds=(10, 60))
    layers = (conv,) if last == "conv" else (conv, build.dense(random, conv.shape, 12, thresholds=(10, 60)))
    margin = 3 if readout.kind == "count" else 20000 if readout.over == "sum" else 2000
    net = IntNet((2, 5, 4), layers, readout=readout, early_exit=EarlyExit(margin, 4))
    events = events_of(net, 4, samples=12, steps=16)
    recorded = equals_definition(net, events, gcc)
    output = recorded.trace.layers[-1]
    course = early_exit.course(readout, output.spikes, output.v)
    np.testing.assert_array_equal(recorded.classes, course.classes)
    expected = course.lead >= margin
    expected[:, :3] = False
    assert expected[:, :-1].any()
    assert not expected.all(axis=0)[4]
    np.testing.assert_array_equal(recorded.decided, expected)


def test_one_class_only(gcc, build, equals_definition):
    net = IntNet((4,), (build.dense(np.random.default_rng(1), (4,), 1),), early_exit=EarlyExit(1, 1))
    assert not equals_definition(net, events_of(net, 1), gcc).decided.any()


def test_states_do_not_disturb_each_other(library):
    """Two runs in turns, in memory that was not zero before, one reset in between."""
    net = conformance.networks()["delays"][0]
    made, memory = library(net), c99.plan(net)
    events = events_of(net, 7, samples=2, steps=9)
    expected = simulate(net, events).counts
    states = [(ctypes.c_ubyte * memory.ram)(*([255] * memory.ram)) for _ in range(2)]
    for state in states:
        made.snnkd_init(state)
    for _ in range(2):
        for step in range(9):
            for state, sample in zip(states, events, strict=True):
                made.snnkd_step(state, pointer(np.ascontiguousarray(sample[step]), UINT8))
        for state, row in zip(states, expected, strict=True):
            counts = np.zeros(memory.outputs, np.uint32)
            made.snnkd_counts(state, pointer(counts, UINT32))
            np.testing.assert_array_equal(counts, row)
            made.snnkd_reset(state)


@pytest.mark.parametrize(
    ("kind", "steps"), [("direct", 2), ("rate", 1), ("rate", 37), ("poisson", 5), ("latency", 7), ("latency", 300)]
)
def test_encoders(kind, steps, library):
    """Every intensity, at every step, in images of several channels."""
    encoding = Encoding(kind, steps, bits=5, seed=(1 << 63) - 1)
    shape = (3, 16, 16)
    random = np.random.default_rng(1)
    image = np.stack([random.permutation(256).astype(np.uint8).reshape(16, 16) for _ in range(3)])
    index = (1 << 40) + 11
    expected = encoding.encode(image[None], np.array([index]))[0]
    layer = conformance.random_dense(random, shape, 3)
    net = IntNet(shape, (layer,), steps, encoding.message_bits, encoding.to_json())
    made = library(net)
    made.snnkd_encode.argtypes = [UINT8, ctypes.c_uint64, ctypes.c_uint32, UINT8]
    source, events = np.ascontiguousarray(image.transpose(1, 2, 0)), np.zeros((16, 16, 3), np.uint8)
    for step in range(steps):
        made.snnkd_encode(pointer(source, UINT8), index, step, pointer(events, UINT8))
        np.testing.assert_array_equal(events.transpose(2, 0, 1), expected[step])


def test_engine(gcc):
    net, events = conformance.networks()["input"]
    engine = engines.get("c99")
    assert engine.available() is None
    trace = engine.run(net, events)
    assert trace.layers[0].u is None
    assert {layer.overflows for layer in trace.layers} == {layer.saturations for layer in trace.layers} == {-1}
    assert compare(net, simulate(net, events), trace).first_difference is None


def test_engine_says_which_compiler_is_missing(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "apt-get install gcc" in str(engines.get("c99").available())


def test_runs_in_parts_are_the_same(gcc, monkeypatch, equals_definition):
    monkeypatch.setattr("snnkd.engines.c99.harness._PART_BYTES", 1)
    net = conformance.random_net(3)
    equals_definition(net, events_of(net, 1, samples=4), gcc)


@pytest.mark.parametrize("states", [True, False])
def test_cppcheck(states, tmp_path):
    if shutil.which("cppcheck") is None:
        pytest.skip("cppcheck is not installed: apt-get install cppcheck")
    target, net = targets.load("c99"), conformance.random_net(1)
    net = replace(net if states else conformance.networks()["sigma delta once"][0], early_exit=EarlyExit(1, 1))
    build.write(tmp_path, c99.runtime_files(target) | c99.model_files(net, target))
    build.write(tmp_path, c99.golden_files(net, simulate(net, events_of(net, 1, steps=net.steps or 12))))
    checks = "--enable=warning,style,performance,portability"
    options = [checks, "--inconclusive", "--std=c99", "--error-exitcode=1", "--force", "--quiet", "-I."]
    done = subprocess.run(["cppcheck", *options, "."], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_documented_example(gcc, tmp_path, classifier):
    """The program of docs/c99_runtime.md, on images, with early exit: classes as the rule says."""
    page = (Path(__file__).parents[3] / "docs" / "c99_runtime.md").read_text(encoding="utf-8")
    program = re.search(r"```c\n(.*?)```", page, re.DOTALL)
    assert program
    net, target = replace(classifier, early_exit=EarlyExit(2, 2)), targets.load("c99")
    files = c99.runtime_files(target) | c99.model_files(net, target) | {"example.c": program[1].encode()}
    build.write(tmp_path, files)
    flags = (*build.STRICT, "-Wno-missing-prototypes", "-shared", "-fPIC")
    made = ctypes.CDLL(str(build.compile(tmp_path, (*build.RUNTIME, "example.c"), "example.so", gcc, flags)))
    images = np.random.default_rng(4).integers(0, 256, (12, 1, 28, 28)).astype(np.uint8)
    images *= np.random.default_rng(5).random(images.shape) < 0.2
    trace = simulate(net, Encoding.from_json(net.encoding).encode(images, np.arange(12)), states=True)
    output = trace.layers[-1]
    expected, steps = early_exit.stops(early_exit.course(net.readout, output.spikes, output.v), EarlyExit(2, 2))
    assert steps.min() < steps.max()
    assert len(set(expected.tolist())) > 1
    assert [made.recognize(pointer(image.reshape(-1).copy(), UINT8)) for image in images] == expected.tolist()
