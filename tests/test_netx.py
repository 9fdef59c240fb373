""".net files: what Lava makes of weights, round trips, lava-dl's own files, and files that must be refused."""

import contextlib
import importlib.util
import io
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from snnkd import netx
from snnkd.errors import FormatError, QuantizationError
from snnkd.network import Conv, Dense, Input, IntNet, Neuron, Readout
from snnkd.netx.weights import convert, source_of

SITE = Path(next(path for path in sys.path if path.endswith("site-packages")))
SHIPPED = SITE / "tests/lava/lib/dl/netx"
needs_lava = pytest.mark.skipif(not (SITE / "lava/lib/dl/netx").is_dir(), reason="lava-dl is not installed")


def neuron(current=1024, voltage=128, threshold=80, bias=None):
    return Neuron(*(None if x is None else np.array(x, np.int32) for x in (current, voltage, threshold, bias)))


def dense(*rows, **options):
    return Dense(np.array(rows, np.int32), neuron(), **options)


@pytest.fixture
def path(tmp_path):
    """A file with a convolution (layer/1) and a dense layer (layer/3)."""
    conv = Conv(np.arange(1, 13, dtype=np.int32).reshape(2, 1, 2, 3) * 2, neuron(), (2, 3, 3))
    second = Dense(np.arange(-20, 34, 2, dtype=np.int32).repeat(2).reshape(3, 18), neuron())
    netx.save(IntNet((1, 4, 5), (conv, second)), tmp_path / "x.net")
    return tmp_path / "x.net"


def edited(path, change):
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def put(group, name, value):
    if name in group:
        del group[name]
    group[name] = value


def refused(path, *parts):
    with pytest.raises(FormatError) as error:
        netx.load(path)
    message = str(error.value)
    assert message.startswith(str(path))
    for part in parts:
        assert part in message
    return message


# Weights


def module_from(file):
    spec = importlib.util.spec_from_file_location(f"of_lava_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def effective(weight, weight_exp):
    """Weights in units of 1/256."""
    return weight * 2.0**weight_exp


@pytest.fixture(scope="session")
def lavas_own():
    """Lava's conversion of a dense layer, by its own functions: (weight, weight_exp)."""
    fit = module_from(SITE / "lava/lib/dl/netx/utils.py").optimize_weight_bits
    synapse = module_from(SITE / "lava/utils/weightutils.py")

    def convert_by_lava(weight):
        with np.errstate(divide="ignore"), contextlib.redirect_stdout(io.StringIO()):
            fitted, bits, exponent, _ = fit(weight.astype(int))
        mode = synapse.determine_sign_mode(fitted)
        return synapse.truncate_weights(synapse.clip_weights(fitted, mode, 8), mode, bits), exponent

    return convert_by_lava


RANGES = [(-256, 254), (-300, 300), (-256, 0), (-256, -1), (0, 255), (1, 300), (-3, 0), (-4, -1), (0, 3)]


@st.composite
def matrices(draw):
    """Weights of every sign mode, in and out of range, with and without a common power of two."""
    low, high = draw(st.sampled_from(RANGES))
    step = draw(st.sampled_from([step for step in (1, 2, 4, 16, 64) if high // step >= -(-low // step)]))
    values = st.integers(-(-low // step), high // step).map(lambda value: value * step)
    return draw(arrays(np.int64, (draw(st.integers(1, 4)), draw(st.integers(1, 4))), elements=values))


@needs_lava
@settings(max_examples=300, deadline=None)
@given(weight=matrices())
def test_conversion_is_lavas(lavas_own, weight):
    try:
        found, exponent, _ = convert(weight)
    except FormatError:
        if weight.any():
            assert not lavas_own(weight)[0].any()
        return
    by_lava, lavas_exponent = lavas_own(weight)
    np.testing.assert_array_equal(effective(found, exponent), effective(by_lava, lavas_exponent))
    assert exponent <= 0
    assert exponent == 0 or (found & 1).any()


@settings(max_examples=300, deadline=None)
@given(weight=matrices())
def test_what_was_loaded_can_be_saved(weight):
    try:
        found, exponent, _ = convert(weight)
    except FormatError:
        return
    source = source_of(found.astype(np.int32), exponent)
    if source is None:  # a single synapse that stands for a value which Lava cannot tell from its double
        assert weight.size == 1
        return
    again, exponent_again, _ = convert(source)
    np.testing.assert_array_equal(again, found)
    assert exponent_again == exponent


def test_trained_weights_stay_as_they_are():
    weight = np.arange(-256, 256, 2).reshape(16, 16)
    found, exponent, clipped = convert(weight)
    assert (exponent, clipped) == (0, False)
    np.testing.assert_array_equal(found, weight)


def test_an_exponent_where_lava_needs_one():
    found, exponent, _ = convert(np.array([[-2, -1, 0]]))
    assert (found.tolist(), exponent) == ([[-3, -2, 0]], -1)
    assert source_of(found, exponent).tolist() == [[-2, -1, 0]]


@pytest.mark.parametrize("rows", [([0, 0],), ([300, 2],), ([-255, -3, 0],), ([-300, 0],)])
def test_weights_that_lava_loses(rows, tmp_path):
    with pytest.raises(FormatError):
        convert(np.array(rows))
    with pytest.raises(QuantizationError, match=r"layer0.weight: .* Expected even integers in \[-256, 254\]"):
        netx.save(IntNet((len(rows[0]),), (dense(*rows),)), tmp_path / "x.net")
    assert not list(tmp_path.iterdir())


def test_weights_that_lava_would_change(tmp_path):
    with pytest.raises(QuantizationError, match="Lava's conversion to synapses would change them"):
        netx.save(IntNet((2,), (dense([-2, -1], [-1, -1]),)), tmp_path / "x.net")


def test_clipping_is_said(path):
    edited(path, lambda f: f["layer/3/weight"].write_direct(np.resize(np.array([-300, 400, 2], np.int32), (3, 18))))
    with pytest.warns(UserWarning, match=r"layer/3: weights beyond \[-256, 254\] are clipped"):
        net = netx.load(path)
    assert (net.layers[1].weight.min(), net.layers[1].weight.max()) == (-256, 254)


# Round trips


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32), data=st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4)))
def test_round_trip(build, same_net, tmp_path_factory, seed, data):
    random = np.random.default_rng(seed)
    extras = {"steps": int(random.integers(1, 99)), "encoding": data, "provenance": {"of": data}}
    net = replace(build.net(seed), readout=Readout(ties="membrane"), **extras)
    path = tmp_path_factory.mktemp("net") / "x.net"
    netx.save(net, path)
    found = netx.load(path)
    same_net(net, found)
    netx.save(found, path.with_name("y.net"))
    assert path.read_bytes() == path.with_name("y.net").read_bytes()


def test_attributes_are_optional(path):
    def strip(file):
        for name in list(file.attrs):
            del file.attrs[name]

    net = netx.load(edited(path, strip))
    assert (net.input_shape, net.steps, net.message_bits, net.encoding) == ((1, 4, 5), None, 0, None)
    assert net.readout == Readout()


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


# Files of lava-dl


@needs_lava
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


@needs_lava
def test_shipped_files_that_netx_cannot_run(tmp_path):
    refused(SHIPPED / "gts/pilotnet_sdnn/network.net", "layer/0/neuron: type: 'SDNN': sigma-delta")
    refused(SHIPPED / "gts/ntidigits/ntidigits.net", "layer/5: type: 'average'")
    shutil.copy(SHIPPED / "gts/ntidigits/ntidigits.net", tmp_path / "x.net")
    net = netx.load(edited(tmp_path / "x.net", lambda f: f["layer"].pop("5")))
    assert net.input_shape == (1, 1, 64)
    delay = net.layers[0].delay
    assert delay.max() <= 62 and (delay == delay[:, :1]).all()


@needs_lava
def test_same_groups_as_lava_dls_own_export(tmp_path, build):
    slayer = pytest.importorskip("lava.lib.dl.slayer")
    torch = pytest.importorskip("torch")
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


def test_other_forms_of_the_same(path, same_net):
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


def test_dense_layer_without_neuron(path):
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
def test_delays(tmp_path, delay, expected):
    path = tmp_path / "x.net"
    netx.save(IntNet((2,), (dense([2, -2], [4, 6]),)), path)
    net = netx.load(edited(path, lambda f: put(f["layer/1"], "delay", delay)))
    assert net.layers[0].delay.tolist() == expected


def test_delays_by_input(path):
    net = netx.load(edited(path, lambda f: put(f["layer/3"], "delay", np.arange(18))))
    assert (net.layers[1].delay == np.arange(18)).all()


def test_thresholds_out_of_reach_and_bias_in_16_bits(path):
    def change(file):
        put(file["layer/3"], "neuron/vThMant", (1 << 18) - 1)
        put(file["layer/3"], "bias", np.array([40000.7, -3.9, 5], "f4"))
        put(file["layer/1"], "bias", np.arange(18).reshape(3, 3, 2))  # W, H, C

    net = netx.load(edited(path, change))
    assert int(net.layers[1].neuron.threshold) == 1 << 17
    assert net.layers[1].neuron.bias.tolist() == [40000 - 65536, -3, 5]
    assert net.layers[0].neuron.bias[1, 0].tolist() == [1, 7, 13]


def test_input_shape_from_the_first_dense_layer_or_given(path, tmp_path):
    def strip(file):
        del file.attrs["snnkd_input_shape"], file["layer/0/shape"]

    edited(path, strip)
    refused(path, "pass input_shape=(C, H, W)")
    assert netx.load(path, (1, 4, 5)).input_shape == (1, 4, 5)
    with pytest.raises(FormatError, match=r"layer/1: shape: expected"):
        netx.load(path, (1, 5, 5))
    flat = tmp_path / "flat.net"
    netx.save(IntNet((2,), (dense([2, -2]),)), flat)
    assert netx.load(edited(flat, strip)).input_shape == (2,)


# Files that must be refused


def link_to(target):
    def change(file):
        del file["layer/3/weight"]
        file["layer/3/weight"] = target

    return change


def external_storage(file):
    del file["layer/3/weight"]
    file["layer/3"].create_dataset("weight", (3, 18), "i4", external=[("/etc/hostname", 0, 216)])


def virtual(file):
    del file["layer/3/weight"]
    layout = h5py.VirtualLayout((3, 18), "i4")
    layout[...] = h5py.VirtualSource("other.h5", "x", (3, 18))
    file["layer/3"].create_virtual_dataset("weight", layout)


def huge(file):
    del file["layer/3/weight"]
    file["layer/3"].create_dataset("weight", (3, 1 << 40), "i1", chunks=(1, 1 << 20))


def setting(place, value):
    return lambda file: put(file, place, value)


def without(place):
    return lambda file: file.__delitem__(place)


def attribute(name, value):
    return lambda file: file.attrs.__setitem__(name, value)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (link_to(h5py.SoftLink("/layer/1/weight")), ["layer/3: weight", "links are not followed"]),
        (link_to(h5py.ExternalLink("/etc/passwd", "/x")), ["layer/3: weight", "links are not followed"]),
        (external_storage, ["layer/3: weight", "in another file"]),
        (virtual, ["layer/3: weight", "in another file"]),
        (huge, ["layer/3: weight", "more than"]),
        (setting("layer/3/weight", np.full((3, 18), np.nan)), ["layer/3: weight", "NaN"]),
        (setting("layer/3/weight", np.full((3, 18), 1e300)), ["layer/3: weight", "32 bits"]),
        (setting("layer/3/weight", np.zeros((3, 18))), ["layer/3: weight", "all weights are 0"]),
        (setting("layer/3/weight", np.zeros((3, 17))), ["layer/3: weight", "expected 18 inputs"]),
        (setting("layer/3/weight", "text"), ["layer/3: weight", "expected numbers"]),
        (setting("layer/3/weight", h5py.Empty("f4")), ["layer/3: weight", "is empty"]),
        (without("layer/3/weight"), ["layer/3: weight: is missing"]),
        (setting("layer/3/neuron/iDecay", 1024.0), ["layer/3/neuron: iDecay", "expected integers, found float64"]),
        (setting("layer/3/neuron/iDecay", 4097), ["layer/3/neuron: iDecay", "[0, 4096]", "4097"]),
        (setting("layer/3/neuron/vDecay", -1), ["layer/3/neuron: vDecay", "[0, 4096]"]),
        (setting("layer/3/neuron/vThMant", -5), ["layer/3/neuron: vThMant"]),
        (setting("layer/3/neuron/vThMant", [1, 2]), ["layer/3/neuron: vThMant", "expected 1 or 3 values", "(2,)"]),
        (setting("layer/3/neuron/type", "ALIF"), ["layer/3/neuron: type", "'ALIF'"]),
        (setting("layer/3/neuron/type", "RF"), ["layer/3/neuron: type", "'RF'"]),
        (setting("layer/3/neuron/messageBits", 8), ["layer/3/neuron: messageBits"]),
        (setting("layer/3/delay", [-1, 0, 0]), ["layer/3: delay", "-1"]),
        (setting("layer/3/delay", [1, 2]), ["layer/3: delay", "(2,)"]),
        (setting("layer/1/delay", [1, 2]), ["layer/1: delay", "Lava ignores"]),
        (setting("layer/1/groups", [1, 1]), ["layer/1: groups"]),
        (setting("layer/1/groups", 0), ["groups 0"]),
        (setting("layer/1/stride", [1, 2, 3]), ["layer/1: stride"]),
        (setting("layer/1/stride", [0, 1]), ["stride"]),
        (setting("layer/1/shape", [2, 9, 9]), ["layer/1: shape", "expected (2, 3, 3)"]),
        (setting("layer/1/shape", [2, -3, 3]), ["layer/1: shape"]),
        (setting("layer/1/shape", [2, 3]), ["layer/1: shape"]),
        (without("layer/1/neuron"), ["layer/1: neuron: is missing"]),
        (without("layer/2"), ["layer", "expected groups 0 to 2"]),
        (without("layer"), ["layer: is missing"]),
        (setting("layer/2/type", "pool"), ["layer/2: type: 'pool'", "strided convolution"]),
        (setting("layer/2/type", "dense_rec"), ["layer/2: type: 'dense_rec'", "recurrent"]),
        (setting("layer/2/type", "mystery"), ["layer/2: type: 'mystery'", "skips it in silence"]),
        (setting("layer/2/type", "average"), ["layer/2: type: 'average'"]),
        (setting("layer/2/type", 3), ["layer/2: type", "one short string"]),
        (setting("layer/2/type", "input"), ["layer/2: type", "must be the first"]),
        (setting("layer/0/shape", [1, 4, 6]), ["input shapes differ"]),
        (attribute("snnkd_steps", 0), ["snnkd_steps"]),
        (attribute("snnkd_steps", "many"), ["snnkd_steps"]),
        (attribute("snnkd_steps", 2.5), ["snnkd_steps"]),
        (attribute("snnkd_message_bits", 99), ["snnkd_message_bits"]),
        (attribute("snnkd_input_shape", [2, 10]), ["snnkd_input_shape"]),
        (attribute("snnkd_input_shape", np.arange(1000)), ["snnkd_input_shape"]),
        (attribute("snnkd_encoding", "{"), ["snnkd_encoding", "not valid JSON"]),
        (attribute("snnkd_encoding", "[" * 100000), ["snnkd_encoding"]),
        (attribute("snnkd_encoding", "3"), ["snnkd_encoding", "JSON object"]),
        (attribute("snnkd_encoding", 3), ["snnkd_encoding"]),
        (attribute("snnkd_readout", '{"kind": "average"}'), ["readout"]),
        (attribute("snnkd_readout", json.dumps({"sort": 1})), ["snnkd_readout", "sort"]),
    ],
)
def test_refused(path, change, parts):
    refused(edited(path, change), *parts)


def test_complex_weights(path):
    def change(file):
        del file["layer/3/weight"]
        file["layer/3/weight/real"] = np.ones((3, 18))

    refused(edited(path, change), "layer/3: weight", "expected an array")


def test_dense_needs_flatten_behind_a_convolution(path):
    def change(file):
        file.move("layer/3", "layer/4")
        del file["layer/2"]
        file.move("layer/4", "layer/2")

    refused(edited(path, change), "layer/2", "needs a flatten layer")


def test_links_to_groups(path, tmp_path):
    def change(file):
        del file["layer/3/neuron"]
        file["layer/3/neuron"] = h5py.ExternalLink(str(tmp_path / "other.net"), "/layer/1/neuron")

    shutil.copy(path, tmp_path / "other.net")
    refused(edited(path, change), "layer/3: neuron", "links are not followed")


def test_an_average_over_one_output_each_is_no_average(path):
    def change(file):
        group = file.create_group("layer/4")
        group["type"], group["shape"] = "average", [3, 1, 1]

    assert len(netx.load(edited(path, change)).layers) == 2


@pytest.mark.parametrize("keep", [0, 7, 100, 0.5, 0.95])
def test_damaged_files(path, keep):
    raw = path.read_bytes()
    path.write_bytes(raw[: keep if isinstance(keep, int) else int(keep * len(raw))])
    refused(path)


def test_not_a_file(tmp_path):
    refused(tmp_path / "none.net", "no such file")
    refused(tmp_path, "no such file")
    (tmp_path / "text.net").write_text("hello")
    refused(tmp_path / "text.net", "HDF5")
