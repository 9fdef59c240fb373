"""The harness of toolchain/benchmarks/embedded.py: classes, sizes and counts are those of the code that it measures."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnkd.data.encoding import Encoding
from snnkd.engines import c99, conformance
from snnkd.ir.network import IntNet
from snnkd.ir.readout import EarlyExit, Readout

sys.path.insert(0, str(Path(__file__).parents[2] / "toolchain/benchmarks"))

import embedded_builds as builds
import embedded_sweep
import embedded_systems as systems

STEPS = 3
IMAGES = np.random.default_rng(2).integers(0, 256, (20, 1, 8, 8), np.uint8)


@pytest.fixture
def net() -> IntNet:
    random = np.random.default_rng(16)
    first = conformance.random_dense(random, (64,), 12)
    layers = (replace(first, weight=first.weight // 8), conformance.random_dense(random, (12,), 4))
    encoding = Encoding("direct", STEPS)
    rule = EarlyExit(margin=1, first=1)
    return IntNet((1, 8, 8), layers, STEPS, 8, encoding.to_json(), Readout("membrane"), early_exit=rule)


@pytest.fixture
def ann() -> systems.Ann:
    random = np.random.default_rng(3)
    shapes = [(64, 12), (12, 4)]
    weights = tuple(random.normal(0, 0.3, shape).astype(np.float32) for shape in shapes)
    return systems.Ann(weights, tuple(random.normal(0, 0.3, out).astype(np.float32) for _, out in shapes))


@pytest.fixture
def ann_classes(ann: systems.Ann) -> np.ndarray:
    hidden = systems.pixels(IMAGES) / 255 @ ann.weights[0] + ann.biases[0]
    return (hidden.clip(0) @ ann.weights[1] + ann.biases[1]).argmax(axis=1)


@pytest.mark.compiler(builds.COMPILER)
def test_host_classes_are_those_of_the_integer_network(net: IntNet, tmp_path: Path) -> None:
    found = systems.expected(net, Encoding("direct", STEPS).encode(IMAGES, np.arange(len(IMAGES))))
    assert found.early is not None
    assert len(set(found.classes)) > 1 and (found.early != found.classes).any(), "the rule must matter"
    wanted = {"snnkd": found.classes, "snnkd, early exit": found.early, "snnkd, dense variant": found.classes}
    programs = systems.ours(net)
    assert programs.keys() == wanted.keys()
    for name, program in programs.items():
        host = builds.Host(program, tmp_path / name.replace(" ", "-"), "-O2")
        np.testing.assert_array_equal(host.classes(systems.pixels(IMAGES)), wanted[name], name)
    assert 0 < found.added_early < found.added < found.added_dense == 64 * 12 + STEPS * 12 * 4


@pytest.mark.compiler(builds.COMPILER)
@pytest.mark.qemu
def test_on_a_chip(net: IntNet, ann: systems.Ann, ann_classes: np.ndarray) -> None:
    events = embedded_sweep.random_events(net, 0.3, STEPS)
    samples = events.reshape(len(events), -1)
    program = builds.as_events(systems.ours(net)["snnkd"], STEPS)
    classes = systems.expected(net, events).classes
    with builds.chip(program, "cortex-m0plus") as chip:
        memory = chip.memory(builds.base("cortex-m0plus"))
        assert c99.plan(net).ram <= memory.ram < c99.plan(net).ram + 8
        assert c99.plan(net).flash < memory.flash < c99.plan(net).flash + 5000
        found = chip.run(samples, classes)
        assert found.machine == "cortex-m0plus" and 5000 < found.instructions < 50000 and found.stack > 0
        with pytest.raises(builds.LimitError, match="DIFFERENT class"):
            chip.run(samples, classes + 1)
    if reason := systems.no_emlearn():
        pytest.skip(reason)
    with builds.chip(systems.emlearn(ann), "cortex-m4") as chip:
        assert chip.memory(builds.base("cortex-m4")).flash > 4 * ann.multiplied
        chip.run(systems.pixels(IMAGES), ann_classes)


@pytest.mark.compiler(builds.COMPILER)
@pytest.mark.qemu
def test_bare_products_are_those_of_the_weights(net: IntNet, tmp_path: Path) -> None:
    """Of all steps and layers, on the host and with a Cortex-M4's instructions for pairs."""
    bare = systems.products(net)
    assert bare is not None
    program = builds.as_events(bare, STEPS)
    samples = embedded_sweep.random_events(net, 0.5, STEPS).reshape(embedded_sweep.SAMPLES, -1)
    first, second = (part.stored.values.astype(np.int64) for part in c99.plan(net).parts if part.stored)
    sums = samples.reshape(len(samples), STEPS, -1).sum(axis=1, dtype=np.int64) @ first
    wanted = (sums @ np.resize([1, 3, 5, 7], 12) + STEPS * second[0] @ [1, 3, 5, 7]) % 2**32
    np.testing.assert_array_equal(builds.Host(program, tmp_path / "host", "-O3").classes(samples), wanted)
    with builds.chip(program, "cortex-m4") as chip:
        assert chip.run(samples, wanted).instructions > STEPS * first.size


def test_peers_on_the_host_compute_the_ann(ann: systems.Ann, ann_classes: np.ndarray, tmp_path: Path) -> None:
    assert len(set(ann_classes)) > 1
    model = systems.float_model(ann)
    image = {"image": systems.pixels(IMAGES)}
    np.testing.assert_array_equal(np.asarray(systems.session(model).run(None, image)[0]), ann_classes)
    small = systems.int8_model(model, systems.pixels(IMAGES))
    assert (np.asarray(systems.session(small).run(None, image)[0]) == ann_classes).mean() > 0.8
    if reason := c99.missing(builds.COMPILER) or systems.no_emlearn():
        pytest.skip(reason)
    host = builds.Host(systems.emlearn(ann), tmp_path / "emlearn", "-O2")
    np.testing.assert_array_equal(host.classes(systems.pixels(IMAGES)), ann_classes)
    assert host.microseconds(systems.pixels(IMAGES), 0.001) > 0


def test_where_events_stop_to_pay() -> None:
    def rows(*ratios: float) -> list[dict[str, float]]:
        at = zip(embedded_sweep.ACTIVITIES, ratios, strict=False)
        return [{"activity": activity, "events_x": ratio, "dense_x": 1.0} for activity, ratio in at]

    assert embedded_sweep.crossing(rows(0.1, 0.5, 0.9), "dense", "x") is None
    assert embedded_sweep.crossing(rows(0.1, 0.5, 0.8, 1.2), "dense", "x") == pytest.approx(0.075)
    assert embedded_sweep.crossing(rows(1.1, 0.5), "dense", "x") == 0.01
