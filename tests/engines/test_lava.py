"""The definition against Lava itself: spikes of all layers, u and v, on nets that reach every corner of the formats.

Each case is one Lava run; they start two at a time, once, and the tests look at the outcomes.
"""

import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from snnkd import netx
from snnkd.engines import lava
from snnkd.errors import LimitError, SnnkdError
from snnkd.network import Conv, Dense, Input, IntNet, Neuron
from snnkd.netx.weights import convert
from snnkd.reference import check_input, simulate
from snnkd.trace import LayerTrace, SpikeTrace
from snnkd.verification import compare

pytestmark = pytest.mark.skipif(lava.available() is not None, reason=f"Lava: {lava.available()}")
SHIPPED = Path(next(path for path in sys.path if path.endswith("site-packages"))) / "tests/lava/lib/dl/netx"


def from_file_weights(build, random, rows, columns, low, high, **neuron):
    """A dense layer as Lava makes it of weights in [low, high]."""
    weight, weight_exp, _ = convert(random.integers(low, high + 1, (rows, columns)))
    return Dense(weight.astype(np.int32), build.neuron(random, (rows,), **neuron), weight_exp)


def dense_case(build, random):
    """All sign modes and precisions, decays and thresholds of each neuron, bias; many samples in one run."""
    options = {"vary": True, "thresholds": (0, 200)}
    layers = (
        build.dense(random, (3, 4, 5), 30, bias=True, **options),
        from_file_weights(build, random, 20, 30, -2, 0, bias=True, **options),
        from_file_weights(build, random, 20, 20, 0, 101, **options),
        from_file_weights(build, random, 10, 20, -77, 90, bias=True, **options),
    )
    assert layers[1].weight_exp < 0
    return IntNet((3, 4, 5), layers), 6, 13


def graded_dense_case(build, random):
    """8 bit events on large weights of one sign: u wraps, v saturates on both sides."""
    signs = random.choice([-1, 1], (30, 1))
    weight = (random.integers(90, 127, (30, 200)) * 2 * signs).astype(np.int32)
    first = Dense(weight, build.neuron(random, decays=(0, 60), thresholds=(131000, 131072)))
    return IntNet((200,), (first, build.dense(random, (30,), 10)), message_bits=8), 4, 30


def wide_graded_dense_case(build, random):
    """20 bit events: a << 6 wraps in 32 bits."""
    first = build.dense(random, (30,), 20, largest=250, decays=(0, 4), thresholds=(100000, 131072))
    return IntNet((30,), (first, build.dense(random, (20,), 10)), message_bits=20), 3, 30


def conv_case(build, random):
    """Non-square inputs, kernels, strides, paddings, dilations and groups; parameters by layer, channel and neuron."""
    first = build.conv(random, (2, 9, 7), 4, (3, 2), stride=(2, 1), padding=(1, 0), bias=True, thresholds=(0, 60))
    by_channel = build.conv(random, first.shape, 6, (2, 3), dilation=(1, 2), groups=2)
    channels = tuple(random.integers(0, top, 6).astype(np.int32) for top in (4096, 4096, 60))
    by_channel = replace(by_channel, neuron=Neuron(*channels, random.integers(-40, 60, 6).astype(np.int32)))
    by_neuron = build.conv(random, by_channel.shape, 3, (2, 1), stride=(1, 2), padding=(0, 1))
    each = tuple(random.integers(0, top, by_neuron.shape).astype(np.int32) for top in (4096, 4096, 60))
    bias = random.integers(-40, 60, by_neuron.shape).astype(np.int32)
    by_neuron = replace(by_neuron, neuron=Neuron(*each, bias))
    last = build.dense(random, by_neuron.shape, 5)
    return IntNet((2, 9, 7), (first, by_channel, by_neuron, last)), 4, 9


def graded_conv_case(build, random):
    """14 bit events: sums wrap in 24 bits."""
    first = build.conv(random, (3, 8, 6), 4, padding=(1, 1), largest=250, decays=(0, 9), thresholds=(0, 131072))
    layers = (first, build.conv(random, first.shape, 2, stride=(3, 2)))
    return IntNet((3, 8, 6), layers, message_bits=14), 3, 20


def delay_case(build, random):
    """Delays of each synapse, of outputs and of inputs."""
    options = {"decays": (100, 1000), "thresholds": (10, 60)}
    layers = [build.dense(random, (20,), 30, delays=62, **options)]
    layers += [build.dense(random, (shape,), out, delays=5, **options) for shape, out in ((30, 10), (10, 9))]
    layers[1] = replace(layers[1], delay=np.repeat(layers[1].delay[:, :1], 30, axis=1))
    layers[2] = replace(layers[2], delay=np.repeat(layers[2].delay[:1], 9, axis=0))
    return IntNet((20,), tuple(layers)), 2, 70


def single_case(build, random):
    """One sample without bias: Lava's plain LIF, never reset."""
    return IntNet((12,), (build.dense(random, (12,), 8), build.dense(random, (8,), 4, thresholds=(0, 9)))), 1, 20


def input_case(build, random):
    """Neurons that take the image, 16 bit, as their bias."""
    first = Input((2, 6, 5), build.neuron(random, vary=False, thresholds=(300, 900)))
    conv = build.conv(random, (2, 6, 5), 3)
    return IntNet((2, 6, 5), (first, conv, build.dense(random, conv.shape, 4, bias=True))), 2, 16


CASES = {
    case.__name__: case
    for case in (
        dense_case,
        graded_dense_case,
        wide_graded_dense_case,
        conv_case,
        graded_conv_case,
        delay_case,
        single_case,
        input_case,
    )
}


def run_case(build, name):
    random = np.random.default_rng(7)
    net, samples, steps = CASES[name](build, random)
    events = build.events(random, net, samples, steps, activity=0.4)
    if name == "input_case":
        events = np.broadcast_to(events[:, :1] + np.array([0, 40000])[:, None, None, None, None], events.shape)
    return net, simulate(net, events, states=True), lava.run(net, events, states=name != "single_case")


def run_file(file, folder):
    """lava-dl's own file, unchanged, in Lava."""
    net = netx.load(file)
    random = np.random.default_rng(3)
    image = random.integers(-100, 256, (2, 1, *net.input_shape)).astype(np.int32)
    events = check_input(net, np.broadcast_to(image, (2, 16, *net.input_shape)))
    shutil.copy(file, folder / "network.net")
    lava.write_job(folder, net, events, states=True)
    lava.run_worker(folder, 120)
    return net, simulate(net, events, states=True), lava.read_trace(folder, net, events, states=True)


@pytest.fixture(scope="module")
def outcomes(build, tmp_path_factory):
    """Futures of (net, expected, actual) by case and file name."""
    with ThreadPoolExecutor(2) as pool:
        jobs = {name: pool.submit(run_case, build, name) for name in CASES}
        for name in ("mnist.net", "tiny.net"):
            jobs[name] = pool.submit(run_file, SHIPPED / name, tmp_path_factory.mktemp("file"))
        yield jobs


@pytest.mark.parametrize("name", [*CASES, "mnist.net", "tiny.net"])
def test_equals_the_definition(outcomes, name):
    net, expected, actual = outcomes[name].result()
    found = compare(net, expected, actual)
    assert found.first_difference is None
    assert found.compared["states"] > 0
    assert all(layer.spikes.any() for layer in expected.layers[:-1])
    assert all(layer.overflows == layer.saturations == -1 for layer in actual.layers)
    np.testing.assert_array_equal(actual.layers[-1].v_last, expected.layers[-1].v_last)


@pytest.mark.parametrize(
    ("name", "overflows", "saturations"),
    [("graded_dense_case", True, True), ("wide_graded_dense_case", True, True), ("graded_conv_case", True, False)],
)
def test_the_extremes_are_reached(outcomes, name, overflows, saturations):
    _, expected, _ = outcomes[name].result()
    assert not overflows or expected.layers[0].overflows > 100
    assert not saturations or expected.layers[0].saturations > 100


def small(**options):
    neuron = Neuron(*(np.array(x, np.int32) for x in (1024, 128, 80)))
    return IntNet((2,), (Dense(np.array([[2, -2]], np.int32), neuron, **options),))


def job(folder, net, change):
    netx.save(net, folder / "network.net")
    lava.write_job(folder, net, np.ones((1, 4, 2), np.uint8), states=False)
    with h5py.File(folder / "network.net", "r+") as file:
        change(file["layer/1"])
    return folder


def processes_of(folder):
    """Ids of living processes whose command names `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in entry.read_bytes():
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found


def test_a_failure_while_loading_is_one_error(tmp_path):
    def zero(layer):
        layer["weight"][...] = 0

    with pytest.raises(SnnkdError, match=r"Lava failed with exit status 1. Its last words: .*OverflowError"):
        lava.run_worker(job(tmp_path, small(), zero), 60)


def test_a_failure_in_a_process_of_lava_is_one_error(tmp_path):
    """Lava itself waits for ever here."""

    def fraction(layer):
        del layer["neuron/iDecay"]
        layer["neuron/iDecay"] = 1024.5

    with pytest.raises(SnnkdError, match=r"Lava failed with exit status 3. Its last words: .*TypeError"):
        lava.run_worker(job(tmp_path, small(), fraction), 60)
    assert not processes_of(tmp_path)


def test_a_hang_is_ended(tmp_path):
    job(tmp_path, small(), lambda layer: None)
    (tmp_path / "job.json").unlink()
    os.mkfifo(tmp_path / "job.json")  # nobody ever writes it
    begin = time.monotonic()
    with pytest.raises(LimitError, match="not done after 3 s, stopped"):
        lava.run_worker(tmp_path, 3)
    assert time.monotonic() - begin < 15
    assert not processes_of(tmp_path)


def test_what_lava_would_compute_wrongly_is_refused(build):
    random = np.random.default_rng(0)
    biased = (build.dense(random, (3,), 4, bias=True), build.dense(random, (4,), 2, delays=3))
    with pytest.raises(LimitError, match="layer0: has a bias and a later layer has delays"):
        lava.run(IntNet((3,), biased), np.ones((1, 2, 3), int))
    padded = build.conv(random, (1, 3, 3), 1, padding=(64, 0))
    with pytest.raises(LimitError, match=r"layer0: Lava holds .* in 8 bits, found 128"):
        lava.run(IntNet((1, 3, 3), (padded,)), np.ones((1, 1, 9), int))
    heavy = replace(padded, padding=(1, 1), shape=(1, 3, 3), weight=np.full((1, 1, 3, 3), 1 << 29, np.int32))
    assert isinstance(heavy, Conv)
    with pytest.raises(LimitError, match="do not fit the 32 bits"):
        lava.run(IntNet((1, 3, 3), (heavy,)), np.ones((1, 1, 9), int))


def test_traces_are_complete(outcomes):
    net, _, actual = outcomes["conv_case"].result()
    assert isinstance(actual, SpikeTrace) and actual.engine == "lava"
    for layer, seen in zip(net.layers, actual.layers, strict=True):
        assert isinstance(seen, LayerTrace)
        assert seen.spikes.shape == (4, 9, *layer.shape) and seen.spikes.dtype == np.uint8
        assert seen.u.dtype == seen.v.dtype == np.int32
    _, _, bare = outcomes["single_case"].result()
    assert [seen.v is None for seen in bare.layers] == [True, True]
    assert [seen.v_last is None for seen in bare.layers] == [True, False]
