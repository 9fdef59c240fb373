"""Round trips, lava-dl's own files and its own export."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import prod
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkd.base.errors import FormatError, QuantizationError
from snnkd.engines import conformance
from snnkd.formats import netx
from snnkd.ir.network import Cuba, Dense, Input, IntNet
from snnkd.ir.readout import EarlyExit, Readout

SITE = Path(next(path for path in sys.path if path.endswith("site-packages")))
SHIPPED = SITE / "tests/lava/lib/dl/netx"


def neuron(current=1024, voltage=128, threshold=80, bias=None):
    return Cuba(*(None if x is None else np.array(x, np.int32) for x in (current, voltage, threshold, bias)))


def dense(*rows, **options):
    return Dense(np.array(rows, np.int32), neuron(), **options)


def put(group, name, value):
    if name in group:
        del group[name]
    group[name] = value


def test_clipping_is_said(path, edited):
    edited(path, lambda f: f["layer/3/weight"].write_direct(np.resize(np.array([-300, 400, 2], np.int32), (3, 18))))
    with pytest.warns(UserWarning, match=r"layer/3: weight: 36 of 54 beyond \[-256, 254\] are clipped"):
        net = netx.load(path)
    assert (net.layers[1].weight.min(), net.layers[1].weight.max()) == (-256, 254)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32), data=st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4)))
def test_round_trip(build, same_net, tmp_path_factory, seed, data):
    random = np.random.default_rng(seed)
    extras = {"steps": int(random.integers(1, 99)), "encoding": data, "provenance": {"of": data}}
    net = build.net(seed)
    population = int(random.choice([k for k in range(1, 5) if net.layers[-1].shape[0] % k == 0]))
    kinds = (Readout(ties="membrane"), Readout("membrane"), Readout("membrane", over="max"))
    readout = replace(kinds[seed % 3], population=population)
    rule = [None, EarlyExit(int(random.integers(0, 1 << 25)), int(random.integers(1, 99)))][seed // 2 % 2]
    classes = prod(net.layers[-1].shape) // population
    extras["class_names"] = tuple(f'{k} "\\caf\u00e9"' for k in range(classes)) if seed % 3 else None
    net = replace(net, readout=readout, early_exit=rule, **extras)
    path = tmp_path_factory.mktemp("net") / "x.net"
    netx.save(net, path)
    found = netx.load(path)
    same_net(net, found)
    netx.save(found, path.with_name("y.net"))
    assert path.read_bytes() == path.with_name("y.net").read_bytes()


def test_attributes_are_optional(path, edited):
    def strip(file):
        for name in list(file.attrs):
            del file.attrs[name]

    net = netx.load(edited(path, strip))
    assert (net.input_shape, net.steps, net.message_bits, net.encoding) == ((1, 4, 5), None, 0, None)
    assert net.readout == Readout() and net.early_exit is None


def test_threads_write_the_same_bytes_at_the_same_time():
    net = conformance.random_net(3)
    expected = netx.to_bytes(net)
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(netx.to_bytes, [net] * 40)) == {expected}


def test_a_weight_exponent_survives(tmp_path, same_net):
    net = IntNet((3,), (dense([-3, -2, 0], weight_exp=-1), dense([2], [-4])))
    netx.save(net, tmp_path / "x.net")
    same_net(netx.load(tmp_path / "x.net"), net)
    doubled = IntNet((2,), (dense([1, -3], weight_exp=1),))
    netx.save(doubled, tmp_path / "x.net")
    assert netx.load(tmp_path / "x.net").layers[0].weight.tolist() == [[2, -6]]


def test_an_earlier_file_survives_a_refusal(path):
    before = path.read_bytes()
    with pytest.raises(QuantizationError):
        netx.save(IntNet((1,), (dense([0]),)), path)
    assert path.read_bytes() == before


@pytest.mark.lava
def test_shipped_files():
    mnist = netx.load(SHIPPED / "mnist.net")
    assert [type(layer) for layer in mnist.layers] == [Input, Dense, Dense, Dense]
    assert mnist.layers[0].neuron.bias is None
    last = mnist.layers[3].neuron
    assert (int(last.current_decay), int(last.voltage_decay), int(last.threshold)) == (0, 4096, 1 << 17)
    tiny = netx.load(SHIPPED / "tiny.net")
    assert [layer.shape for layer in tiny.layers] == [(3, 16, 16), (24, 6, 6), (36, 1, 1)]
    assert tiny.layers[1].neuron.bias.shape == (24,)
    pilot = netx.load(SHIPPED / "gts/pilotnet_lif/network.net")
    assert pilot.layers[4].padding == (1, 0) and pilot.layers[4].stride == (2, 1)
    assert pilot.layers[-1].weight.shape == (1, 10)


@pytest.mark.lava
def test_a_trailing_average_is_the_readout(tmp_path, same_net):
    net = netx.load(SHIPPED / "gts/ntidigits/ntidigits.net")
    assert [layer.shape for layer in net.layers] == [(256,), (256,), (242,)]
    assert net.readout == Readout(population=22)
    assert net.input_shape == (1, 1, 64)
    delay = net.layers[0].delay
    assert delay.max() <= 62 and (delay == delay[:, :1]).all()
    netx.save(net, tmp_path / "x.net")
    same_net(netx.load(tmp_path / "x.net"), net)
    with h5py.File(tmp_path / "x.net") as file:
        assert len(file["layer"]) == 5  # no average: NetX could not load it


def test_populations_of_an_average(tmp_path, edited, refused):
    def file_with(shape):
        def change(file):
            del file.attrs["snnkd_readout"]
            file["layer/2/type"], file["layer/2/shape"] = "average", shape

        netx.save(IntNet((2,), (dense(*([2, k - 3] for k in range(6))),)), tmp_path / "x.net")
        return edited(tmp_path / "x.net", change)

    assert netx.load(file_with([3, 1, 1])).readout == Readout(population=2)
    assert netx.load(file_with([6])).readout == Readout()
    refused(file_with([4]), "layer/2: shape", "4 classes", "6 outputs")


def test_readouts_of_files(path, edited, refused):
    def readout(text):
        return edited(path, lambda file: file.attrs.__setitem__("snnkd_readout", text))

    assert netx.load(readout('{"kind": "count", "ties": "membrane"}')).readout == Readout(ties="membrane")
    assert netx.load(readout('{"kind": "membrane"}')).readout == Readout("membrane")
    assert netx.load(readout('{"population": 3}')).readout.population == 3
    assert netx.load(readout('{"kind": "membrane", "over": "sum"}')).readout == Readout("membrane", over="sum")
    refused(readout('{"kind": "membrane", "ties": "membrane"}'), "kind 'membrane' and ties 'first'")
    refused(readout('{"kind": "count", "over": "max"}'), "over all steps already")
    refused(readout('{"population": 2}'), "readout: 3 outputs", "classes of 2")
    for wrong in ("0", "1.0", "true", '"2"', "[1]"):
        refused(readout(f'{{"population": {wrong}}}'), "readout population", "at least 1")


def test_class_names_of_files(path, edited, refused):
    def names(text):
        return edited(path, lambda file: file.attrs.__setitem__("snnkd_class_names", text))

    assert netx.load(names('["a", "b", "c"]')).class_names == ("a", "b", "c")
    assert netx.load(names("null")).class_names is None
    for wrong in ('{"a": 1}', '"abc"', "3"):
        refused(names(wrong), "snnkd_class_names", "expected a JSON list")
    refused(names('["a", "b"]'), "class names: expected 3", "found 2")
    for wrong in ('"\\u001b[31m"', '""', "1", "null", json.dumps("x" * 256)):
        refused(names(f'["a", "b", {wrong}]'), "class name", "1 to 255 characters that can be printed")


def test_early_exit_of_files(path, edited, refused):
    def rule(text):
        return edited(path, lambda file: file.attrs.__setitem__("snnkd_early_exit", text))

    assert netx.load(rule('{"margin": 0, "first": 3}')).early_exit == EarlyExit(0, 3)
    assert netx.load(rule("null")).early_exit is None
    for wrong in ("{}", '{"margin": 1}', '{"margin": 1, "first": 1, "last": 2}'):
        refused(rule(wrong), "snnkd_early_exit", "expected margin and first")
    for wrong in ("-1", "1.0", "true", '"2"', "[1]", "null", str(1 << 70)):
        refused(rule(f'{{"margin": {wrong}, "first": 1}}'), "early exit margin", "at least 0")
    for wrong in ("0", "2.5", "false"):
        refused(rule(f'{{"margin": 1, "first": {wrong}}}'), "early exit first", "at least 1")


@pytest.mark.lava
def test_same_groups_as_lava_dls_own_export(tmp_path, build):
    import torch
    from lava.lib.dl import slayer

    parameters = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.03}
    blocks = [
        slayer.block.cuba.Input(None, delay_shift=False),
        slayer.block.cuba.Conv(parameters, 1, 2, (2, 3), stride=(1, 2), weight_scale=4, delay_shift=False),
        slayer.block.cuba.Flatten(),
        slayer.block.cuba.Dense(parameters, 12, 3, weight_scale=4, delay=True, delay_shift=False),
    ]
    x = torch.rand(1, 1, 4, 5, 3).round()
    for block in blocks:
        x = block(x)
    with h5py.File(tmp_path / "theirs.net", "w") as file:
        for k, block in enumerate(blocks):
            block.export_hdf5(file.create_group(f"layer/{k}"))
    netx.save(netx.load(tmp_path / "theirs.net"), tmp_path / "ours.net")

    def contents(path):
        found = {}
        with h5py.File(path) as file:
            file.visititems(lambda n, o: found.update({n: o[()]}) if isinstance(o, h5py.Dataset) else None)
        return found

    theirs, ours = contents(tmp_path / "theirs.net"), contents(tmp_path / "ours.net")
    assert theirs.keys() == ours.keys()
    for name, value in theirs.items():
        np.testing.assert_array_equal(np.asarray(ours[name]), np.asarray(value), err_msg=name)


def test_other_forms_of_the_same(path, same_net, edited):
    net = netx.load(path)

    def rewrite(file):
        conv, second = file["layer/1"], file["layer/3"]
        put(conv, "weight", conv["weight"][()][..., None].astype("f4") + 0.5)  # 5-D, truncated towards zero
        for name in ("stride", "padding", "dilation"):
            put(conv, name, int(conv[name][0]))
        put(second, "weight", second["weight"][()].ravel())
        put(second, "shape", [3, 1, 1])
        put(second, "type", np.bytes_(b"dense"))
        put(second, "neuron/type", np.array([b"LOIHI"], "S10"))
        put(second, "neuron/iDecay", np.array([1024], np.uint16))

    same_net(netx.load(edited(path, rewrite)), net)


def test_dense_layer_without_neuron(path, edited):
    net = netx.load(edited(path, lambda f: f["layer/3"].pop("neuron")))
    neuron = net.layers[1].neuron
    assert (int(neuron.current_decay), int(neuron.voltage_decay), int(neuron.threshold)) == (0, 4096, 1 << 17)


@pytest.mark.parametrize(
    ("delay", "expected"),
    [
        (1.9, [[1, 1], [1, 1]]),
        ([1.0, 90.5], [[1, 1], [62, 62]]),
        ([[0, 1], [2, 62.5]], [[0, 1], [2, 62]]),
    ],
)
def test_delays(tmp_path, delay, expected, edited):
    path = tmp_path / "x.net"
    netx.save(IntNet((2,), (dense([2, -2], [4, 6]),)), path)
    net = netx.load(edited(path, lambda f: put(f["layer/1"], "delay", delay)))
    assert net.layers[0].delay.tolist() == expected


def test_delays_by_input(path, edited):
    net = netx.load(edited(path, lambda f: put(f["layer/3"], "delay", np.arange(18))))
    assert (net.layers[1].delay == np.arange(18)).all()


def test_thresholds_out_of_reach_and_bias_in_16_bits(path, edited):
    def change(file):
        put(file["layer/3"], "neuron/vThMant", (1 << 18) - 1)
        put(file["layer/3"], "bias", np.array([40000.7, -3.9, 5], "f4"))
        put(file["layer/1"], "bias", np.arange(18).reshape(3, 3, 2))  # W, H, C

    net = netx.load(edited(path, change))
    assert int(net.layers[1].neuron.threshold) == 1 << 17
    assert net.layers[1].neuron.bias.tolist() == [40000 - 65536, -3, 5]
    assert net.layers[0].neuron.bias[1, 0].tolist() == [1, 7, 13]


def test_input_shape_from_the_first_dense_layer_or_given(path, tmp_path, edited, refused):
    def strip(file):
        del file.attrs["snnkd_input_shape"], file["layer/0/shape"]

    edited(path, strip)
    refused(path, "input_shape=(C, H, W)")
    assert netx.load(path, (1, 4, 5)).input_shape == (1, 4, 5)
    with pytest.raises(FormatError, match=r"layer/1: shape: expected"):
        netx.load(path, (1, 5, 5))
    flat = tmp_path / "flat.net"
    netx.save(IntNet((2,), (dense([2, -2]),)), flat)
    assert netx.load(edited(flat, strip)).input_shape == (2,)
