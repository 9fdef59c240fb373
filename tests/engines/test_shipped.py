"""The networks inside lava-dl's wheel: equal in Lava, and to the recordings that lie beside them.

Where a recording is not what Lava computes today, the test says what it is (docs/number_formats.md, Shipped truths).
"""

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest

from snnkd.analysis.verification import compare
from snnkd.base.errors import FormatError
from snnkd.engines import lava
from snnkd.engines.fast import simulation
from snnkd.engines.reference import definition
from snnkd.formats import netx
from snnkd.ir.events import check_input
from snnkd.ir.network import Cuba, Dense, IntNet

FOLDER = Path(next(path for path in sys.path if path.endswith("site-packages"))) / "tests/lava/lib/dl/netx"
TRUTHS = FOLDER / "gts"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="lava-dl is not installed")

PILOTNET = [f"conv-{k}" for k in range(5)] + [f"fc-{k}" for k in range(4)]
SPIKED = 128  # the recorded voltage of a neuron that has just sent a spike; Lava's simulation has 0 there


def truth(name):
    """A recording, (..., H, C, T) or (..., T), as integers (T, C, H, W) or (T, neurons)."""
    recorded = np.load(TRUTHS / f"{name}.npy")
    return recorded.transpose(*reversed(range(recorded.ndim))).astype(np.int64)


def shown(image, steps):
    """The (W, H, C) image of a recording as the input of one sample."""
    return np.broadcast_to(truth(image).astype(np.int32), (1, steps, *truth(image).shape))


def pilotnet(steps):
    return netx.load(TRUTHS / "pilotnet_lif/network.net"), shown("pilotnet_lif/image", steps)


def pilotnet_sdnn(steps):
    """Its image, of which something changes at each step."""
    net = netx.load(TRUTHS / "pilotnet_sdnn/network.net")
    image = truth("pilotnet_sdnn/input").astype(np.int32)
    return net, np.stack([image[0] + np.where(np.arange(100) % 9 == t, 5, 0) for t in range(steps)])[None]


def ntidigits(steps=None):
    net = netx.load(TRUTHS / "ntidigits/ntidigits.net")
    events = truth("ntidigits/input")[None, :steps]
    return net, events.reshape(1, -1, *net.input_shape).astype(np.uint8)


def dense(steps=None):
    """The layer of lava-dl's test of dense blocks."""
    neuron = Cuba(*(np.array(value, np.int32) for value in (4096, 415, 6)))
    weight = np.load(TRUTHS / "dense/weight.npy").astype(np.int32)
    return IntNet((200,), (Dense(weight, neuron),)), truth("dense/in")[None, :steps].astype(np.uint8)


def of_images(file):
    net = netx.load(FOLDER / file)
    images = np.random.default_rng(3).integers(-100, 256, (2, 1, *net.input_shape)).astype(np.int32)
    return net, np.broadcast_to(images, (2, 16, *net.input_shape))


RUNS = {
    "mnist.net": lambda: of_images("mnist.net"),
    "tiny.net": lambda: of_images("tiny.net"),
    "gts/pilotnet_lif/network.net": lambda: pilotnet(2),
    "gts/pilotnet_sdnn/network.net": lambda: pilotnet_sdnn(3),
    "gts/ntidigits/ntidigits.net": lambda: ntidigits(120),
    "gts/dense": lambda: dense(400),
}


def run_in_lava(name, folder):
    """lava-dl's own file, unchanged, in Lava; ours where NetX cannot load it or where there is none."""
    net, events = RUNS[name]()
    if net.readout.population > 1 or not (FOLDER / name).is_file():
        return net, events, lava.run(net, events, states=True)
    events = check_input(net, events)
    shutil.copy(FOLDER / name, folder / "network.net")
    lava.write_job(folder, net, events, states=True)
    lava.run_worker(folder, 120)
    return net, events, lava.read_trace(folder, net, events, states=True)


@pytest.fixture(scope="module")
def in_lava(tmp_path_factory):
    with ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(run_in_lava, name, tmp_path_factory.mktemp("file")) for name in RUNS}


@pytest.mark.lava
@pytest.mark.parametrize("name", RUNS)
def test_equals_lava(in_lava, name):
    net, events, actual = in_lava[name].result()
    found = compare(net, definition.simulate(net, events, states=True), actual)
    assert found.first_difference is None
    assert found.compared["states"] > 0 and found.compared["spikes"] > 0


# PilotNet: 24 steps, in which the image is shown again after 17


@pytest.fixture(scope="module", params=[definition, simulation], ids=["reference", "fast"])
def pilotnet_trace(request):
    return request.param.simulate(*pilotnet(17), states=True)


@pytest.mark.parametrize("k", range(9))
def test_pilotnet_equals_its_truths(pilotnet_trace, k):
    """Layer K sees the image's first step at step K of the recording, and again at K + 17."""
    seen = pilotnet_trace.layers[k]
    name = ["input", *PILOTNET][k]
    expected = {name: seen.spikes[0]}
    if k:
        expected |= {f"{name}-u": seen.u[0], f"{name}-v": np.where(seen.spikes[0], SPIKED, seen.v[0])}
    for file, values in expected.items():
        recorded = truth(f"pilotnet_lif/{file}")[k:]
        assert recorded.any()
        twice = np.concatenate([values, values])[: len(recorded)]
        np.testing.assert_array_equal(recorded, twice, err_msg=file)


def running_freely(first, interval, steps=25):
    """Each layer's (s, u, v) where all start at once and layer K is reset at step first + K, then every `interval`."""
    net, image = pilotnet(steps)
    source, shape, found = np.asarray(image), net.input_shape, []
    for k, layer in enumerate(net.layers):
        resets = [step for step in range(first + k, steps, interval) if step > 0]
        parts = [
            simulation.simulate(IntNet(shape, (layer,)), part, states=True).layers[0]
            for part in np.split(source, resets, axis=1)
        ]
        found.append([np.concatenate([getattr(part, what)[0] for part in parts]) for what in ("spikes", "u", "v")])
        source, shape = np.zeros_like(found[-1][0])[None], layer.shape
        source[0, 1:] = found[-1][0][:-1]  # a synapse is one step late
    return found


def test_what_pilotnet_recorded_before_the_first_input():
    """All steps: with a bias, layers are active before the image reaches them. That timing is not the definition's."""
    for name, (s, u, v) in list(zip(["input", *PILOTNET], running_freely(0, 17), strict=True))[:9]:
        np.testing.assert_array_equal(truth(f"pilotnet_lif/{name}"), s[:24], err_msg=name)
        if name != "input":
            np.testing.assert_array_equal(truth(f"pilotnet_lif/{name}-u"), u[:24], err_msg=name)
            np.testing.assert_array_equal(truth(f"pilotnet_lif/{name}-v"), np.where(s, SPIKED, v)[:24])


def test_pilotnets_output_was_recorded_in_another_run():
    net, _ = pilotnet(1)
    output, before = truth("pilotnet_lif/fc-3-u")[:, 0], truth("pilotnet_lif/fc-2")
    assert (output[1:25] != (before @ net.layers[-1].weight.T)[:, 0] << 6).any()  # not of the layer before it
    s, u, v = (values[:, 0] for values in running_freely(-1, 16)[-1])
    for what, values in (("s", s), ("u", u), ("v", v)):
        np.testing.assert_array_equal(truth(f"pilotnet_lif/fc-3-{what}")[:, 0], values)
    np.testing.assert_array_equal(truth("pilotnet_lif/input-s"), running_freely(0, 16, 24)[0][0])


# tiny.net, one dense layer and N-TIDIGITS: recordings that begin later


@pytest.mark.parametrize("engine", [definition, simulation])
def test_tinynet_equals_its_truths(engine):
    """Every recording is one step late, whatever the layer."""
    net = netx.load(FOLDER / "tiny.net")
    trace = engine.simulate(net, shown("tinynet/input_bias", 15), states=True)
    for name, seen in zip(("input", "layer1", "output"), trace.layers, strict=True):
        recorded = np.moveaxis(np.load(TRUTHS / f"tinynet/{name}.npy")[0], -1, 0)
        np.testing.assert_array_equal(recorded[1:], seen.spikes[0], err_msg=name)
        assert recorded.any() and not recorded[0].any()
    current = np.moveaxis(np.load(TRUTHS / "tinynet/current.npy")[0], -1, 0)
    np.testing.assert_array_equal(current[1:] * 64, trace.layers[1].u[0])


@pytest.mark.parametrize("engine", [definition, simulation])
def test_dense_equals_its_truths(engine):
    trace = engine.simulate(*dense(), states=True).layers[0]
    np.testing.assert_array_equal(truth("dense/out")[1:], trace.spikes[0, :-1])
    np.testing.assert_array_equal(truth("dense/current")[1:] * 64, trace.u[0, :-1])


def test_ntidigits_equals_its_truth():
    """Two layers before it and two steps more: Lava today has step t at t + 3, the recording at t + 4."""
    net, events = ntidigits()
    trace = simulation.simulate(net, events)
    recorded = truth("ntidigits/output")
    np.testing.assert_array_equal(recorded[4:], trace.layers[-1].spikes[0, :-4])
    assert not recorded[:4].any()
    assert compare(net, definition.simulate(net, events[:, :300]), simulation.simulate(net, events[:, :300])).equal
    average = trace.layers[-1].spikes[0].mean(axis=0).reshape(11, 22).mean(axis=1)
    assert trace.classes(net).tolist() == [average.argmax()]


# PilotNet SDNN: recorded where Lava runs freely, with no reset


def freely(net, source, engine=definition):
    """Each layer's trace where all start at once and synapses are one step late, on `source` (1, T, *shape)."""
    shape, traces = source.shape[2:], []
    for layer in net.layers:
        traces.append(engine.simulate(IntNet(shape, (layer,), message_bits=31), source, states=True).layers[0])
        shape, messages = layer.shape, traces[-1].spikes
        source = np.zeros_like(messages)
        source[:, 1:] = messages[:, :-1]
    return traces


@pytest.mark.parametrize("engine", [definition, simulation])
def test_pilotnet_sdnn_equals_its_truth(engine):
    """lava-dl's own test: one image at every step, for as many steps as there are layers, with the output of each."""
    net = netx.load(TRUTHS / "pilotnet_sdnn/network.net")
    image = truth("pilotnet_sdnn/input").astype(np.int32)
    source = np.broadcast_to(image, (1, len(net.layers), *net.input_shape))
    output = truth("pilotnet_sdnn/output")
    np.testing.assert_array_equal(freely(net, source, engine)[-1].spikes[0], output)
    assert np.count_nonzero(output) > 7


@pytest.mark.parametrize("size", ["", "_square"])
def test_pilotnet_sdnn_equals_its_sigmas(size):
    """The messages of the input layer over 20 frames of a video, and the sigma that they give each layer."""
    net = netx.load(TRUTHS / f"pilotnet_sdnn/{'square_' * bool(size)}network.net")
    messages = truth("pilotnet_sdnn/act0").astype(np.int32)[None, :, :, :, : net.input_shape[2]]
    source = np.zeros_like(messages)
    source[:, 1:] = messages[:, :-1]
    recorded = [path for k in range(1, 5) if (path := TRUTHS / f"pilotnet_sdnn/sigma{k}{size}.npy").exists()]
    assert len(recorded) == (4 if size else 2)
    traces = freely(IntNet(net.input_shape, net.layers[1 : len(recorded) + 1], message_bits=31), source)
    for path, trace in zip(recorded, traces, strict=True):
        np.testing.assert_array_equal(truth(f"pilotnet_sdnn/{path.stem}"), trace.sigma[0], err_msg=path.stem)


@pytest.mark.parametrize(
    ("kind", "weights", "problem"),
    [
        ("dense_rec", {"weight": "tinynet_sdnn/layer2_weight"}, "layer/0: type: 'dense_rec': recurrent"),
        ("dense_comp", {"weight/real": "complex_dense/weight_r"}, "layer/0: type: 'dense_comp': complex"),
    ],
)
def test_layers_of_the_other_arrays_are_refused(tmp_path, kind, weights, problem):
    with h5py.File(tmp_path / "x.net", "w") as file:
        layer = file.create_group("layer/0")
        layer["type"], layer["neuron/type"] = kind, "SDNN"
        for name, source in weights.items():
            layer[name] = np.load(TRUTHS / f"{source}.npy")
        layer["shape"] = [next(iter(truth(source).shape[1] for source in weights.values()))]
    with pytest.raises(FormatError, match=problem):
        netx.load(tmp_path / "x.net", (864,))
