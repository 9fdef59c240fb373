"""The generated model: its memory, its bytes, what it refuses; the golden samples and the self-test."""

from __future__ import annotations

import gc
import re
import shutil
import subprocess
import weakref
from dataclasses import replace

import numpy as np
import pytest

from snnkd import targets
from snnkd.base.errors import FormatError, LimitError
from snnkd.engines import c99, conformance
from snnkd.engines.c99 import build
from snnkd.engines.reference.definition import simulate
from snnkd.ir.network import Conv, Cuba, Dense, IntNet, Sigma
from snnkd.ir.readout import Readout

NEURON = Cuba(*(np.array(value, np.int32) for value in (4096, 128, 80)))


@pytest.fixture
def folder(tmp_path):
    """Writes a bundle's c/ and golden/ of a network, and gives c/."""

    def make(net, target="c99", events=None, steps=8):
        chosen = targets.load(target)
        if events is None:
            events = conformance.random_events(np.random.default_rng(2), net, 3, steps)
        build.write(tmp_path / "c", c99.runtime_files(chosen) | c99.model_files(net, chosen))
        build.write(tmp_path / "golden", c99.golden_files(net, simulate(net, events)))
        return tmp_path / "c"

    return make


def test_a_student_for_mnist_is_small(classifier):
    """A state of 128 + 10 sums and voltages, 10 counts, 5 words of spikes and the step; a byte for each weight."""
    memory = c99.plan(classifier)
    assert memory.ram == 4 * (1 + 138 + 138 + 5 + 10)
    assert memory.flash == 128 * 784 + 10 * 128 + 2 * (96 + 12)


def test_weights_take_as_few_bits_as_they_need():
    def bits(*values):
        layer = Dense(np.array([values, values[::-1]], np.int32), NEURON)
        found = c99.plan(IntNet((len(values),), (layer,))).parts[0].stored
        assert found is not None
        return found.bits, found.left - 6, found.bytes

    assert bits(-256, 224, 32) == (4, 5, 3)
    assert bits(-256, 254) == (8, 1, 4)
    assert bits(-128, 127) == (8, 0, 4)
    assert bits(-8, 8) == (4, 3, 2)
    assert bits(255, 0) == (16, 0, 8)
    assert bits(1 << 20, 1) == (32, 0, 16)
    assert bits(0, 0) == (4, 0, 2)


def test_current_is_kept_only_where_it_lasts():
    layer = conformance.random_dense(np.random.default_rng(1), (4,), 10)
    fades = replace(layer, neuron=replace(layer.neuron, current_decay=np.array(4096, np.int32)))
    lasts = replace(layer, neuron=replace(layer.neuron, current_decay=np.array(4095, np.int32)))
    assert c99.plan(IntNet((4,), (lasts,))).ram - c99.plan(IntNet((4,), (fades,))).ram == 40


def test_a_plan_is_made_once_and_goes_with_its_network():
    net = IntNet((4,), (conformance.random_dense(np.random.default_rng(1), (4,), 10),))
    same, other = c99.plan(net), c99.plan(replace(net))
    assert c99.plan(net) is same is not other
    gone = weakref.ref(same)
    del net, same
    gc.collect()
    assert gone() is None


def test_the_same_bytes_every_time(classifier):
    target = targets.load("cortex-m4")
    first, second = ({**c99.model_files(classifier, target), **c99.runtime_files(target)} for _ in range(2))
    assert first == second
    assert all(b"\r" not in data and b"/work" not in data and b"/home" not in data for data in first.values())
    assert max(len(line) for line in first["model.c"].splitlines()) <= 120


def test_runtime_files_of_a_target():
    plain, chip = (set(c99.runtime_files(targets.load(name))) for name in ("c99", "cortex-m4"))
    assert plain >= {"snnkd.h", "snnkd.c", "snnkd_encoder.h", "snnkd_encoder.c", "selftest.c", "Makefile"}
    assert {name for name in chip - plain if "/" not in name} == {"target.mk"}
    assert {name for name in chip - plain if "/" in name} >= {"cortex-m/link.ld", "cortex-m/startup.c"}
    script = c99.runtime_files(targets.load("cortex-m0plus"))["cortex-m/link.ld"].decode()
    assert "@" not in script
    assert "LENGTH = 16384" in script


@pytest.mark.parametrize(("limit", "bytes"), [("FLASH", 101848), ("RAM", 1168)])
def test_the_compiler_says_how_many_bytes_are_missing(limit, bytes, compiler, tmp_path, classifier):
    target = targets.load("c99")
    build.write(tmp_path, c99.runtime_files(target) | c99.model_files(classifier, target))
    fits = (*build.STRICT, "-c", f"-DSNNKD_{limit}_LIMIT={bytes}")
    build.compile(tmp_path, ["model.c"], "model.o", compiler, fits)
    for short, shown in ((1, 2), (168, 168)):
        with pytest.raises(LimitError, match=rf"{limit.lower()}_is_short_of_these_bytes.*\[{shown}\]"):
            build.compile(
                tmp_path, ["model.c"], "model.o", compiler, (*fits[:-1], f"-DSNNKD_{limit}_LIMIT={bytes - short}")
            )


def test_sizes_that_were_computed_are_those_of_the_compiler(compiler, tmp_path, classifier):
    """The assertion can fail."""
    target = targets.load("c99")
    model = c99.model_files(classifier, target)
    wrong = model | {
        "model.h": model["model.h"].replace(b"SNNKD_RAM_BYTES UINT32_C(1168)", b"SNNKD_RAM_BYTES UINT32_C(1172)")
    }
    build.write(tmp_path, c99.runtime_files(target) | wrong)
    with pytest.raises(LimitError, match="snnkd_state_has_the_size_that_was_computed"):
        build.compile(tmp_path, ["model.c"], "model.o", compiler, (*build.STRICT, "-c"))


@pytest.mark.parametrize("name", ["conv", "input", "graded dense", "sigma delta conv", "sigma delta once", "mixed"])
def test_self_test(name, compiler, folder):
    net, events = conformance.networks()[name]
    made = folder(net, events=events)
    done = c99.self_test(made, compiler)
    assert done.passed, done.text
    assert f"ok {len(events)} samples" in done.text


@pytest.mark.parametrize("steps", [1, 2])
def test_self_test_of_a_single_layer(steps, gcc, folder, build):
    """With messages that no other layer reads: the compiler sees that there is none before it."""
    layer = replace(build.dense(np.random.default_rng(1), (7,), 5), neuron=Sigma())
    net = IntNet((7,), (layer,), steps, message_bits=4, readout=Readout("membrane"))
    done = c99.self_test(folder(net, steps=steps), gcc)
    assert done.passed, done.text


@pytest.mark.parametrize(
    ("array", "says"),
    [
        ("golden_spikes", r"sample 0, step 0, layer0, neuron 0: spike"),
        ("golden_voltages", r"sample 0, after the last step, layer0, neuron 0: v"),
        ("golden_counts", r"sample 0, output, neuron 0: count"),
        ("golden_classes", r"sample 0: class"),
    ],
)
def test_self_test_names_the_first_difference(array, says, gcc, folder):
    made = folder(conformance.networks()["single"][0])
    path = made.parent / "golden" / "golden.c"
    first = re.compile(rf"({array}\[\d+\] = {{\n    )(-?\d+)")
    path.write_text(first.sub(lambda found: f"{found[1]}{int(found[2]) ^ 1}", path.read_text()))
    done = c99.self_test(made, gcc)
    assert not done.passed
    assert re.search(f"DIFFERENT: {says}", done.text), done.text


def test_a_changed_weight_is_found(gcc, folder, classifier):
    made = folder(classifier, steps=4)
    path = made / "model.c"
    text = path.read_text()
    first = re.search(r"snnkd_weights8\[\d+\] = {\n(.*)\n", text)
    assert first
    path.write_text(text.replace(first[1], ", ".join(["127"] * first[1].count(",")) + ",", 1))
    assert not c99.self_test(made, gcc).passed


def test_make_and_cmake(gcc, folder, classifier):
    made = folder(classifier, steps=4)
    commands = [["make"], ["make", "size"], ["cmake", "-B", "out"], ["cmake", "--build", "out"], ["out/selftest"]]
    for command in commands:
        if command[0] in ("make", "cmake") and shutil.which(command[0]) is None:
            pytest.skip(f"{command[0]} is not installed: apt-get install {command[0]}")
        done = subprocess.run(command, cwd=made, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert command != ["make"] or "ok 3 samples" in done.stdout


def test_events_that_the_input_cannot_hold(classifier):
    events = np.full((1, 4, 1, 28, 28), -1, np.int32)
    with pytest.raises(FormatError, match=r"\[0, 255\].* -1 to -1"):
        c99.golden_files(classifier, simulate(classifier, events))


def test_sizes_beyond_16_bits():
    conv = Conv(np.ones((1, 1, 1, 1), np.int32), NEURON, (1, 1, 70000))
    with pytest.raises(LimitError, match=r"layer0\.input: .*below 65536"):
        c99.plan(IntNet((1, 1, 70000), (conv,)))


@pytest.mark.parametrize(
    "field, value", [("bits", '4U, events); puts("x")'), ("seed", "0), 1"), ("steps", "1U"), ("bits", 9)]
)
def test_what_a_file_says_of_its_encoder_is_no_code(build, field, value):
    """A `.net` is not to be trusted, and its C is compiled and run."""
    kind = {"bits": "direct", "seed": "poisson", "steps": "latency"}[field]
    net = replace(build.net(1), message_bits=8, encoding={"kind": kind, "steps": 4, field: value})
    good = replace(net, encoding={"kind": kind, "steps": 4})
    assert "snnkd_encode_" in sources(good) and "snnkd_encode_" not in sources(net)


def test_texts_of_a_file_are_no_code(build):
    text = '*/ puts("intruder"); /*'
    net = replace(build.net(1), provenance={"recipe_name": text, text: text, "stage": text})
    assert "intruder" not in sources(net)


def sources(net):
    return "".join(data.decode() for data in c99.model_files(net, targets.load("c99")).values())
