"""What a file of lava-dl may say, and snnkd never writes: real numbers, tSample, outputs that cannot fire."""

import warnings
from dataclasses import replace

import h5py
import numpy as np
import pytest

from snnkd.base import checksums
from snnkd.base.errors import FormatError, SnnkdWarning
from snnkd.formats import netx
from snnkd.ir.network import Cuba, Dense, IntNet
from snnkd.ir.readout import EarlyExit


def lava_dls(path, weights, threshold=(80, 80), **layers):
    """Writes dense layers as lava-dl's export_hdf5 does; `layers`: further data sets of the first layer."""
    with h5py.File(path, "w") as file:
        for number, (weight, limit) in enumerate(zip(weights, threshold, strict=True)):
            group = file.create_group(f"layer/{number}")
            group.create_dataset("type", (1,), "S10", [b"dense"])
            group["shape"] = [len(weight)]
            group["weight"] = np.asarray(weight, np.float32)
            if limit is not None:
                group["neuron/type"] = b"CUBA"
                group["neuron/iDecay"], group["neuron/vDecay"], group["neuron/vThMant"] = 1024, 128, limit
        for name, value in layers.items():
            file["layer/0"][name] = value
    return path


EVEN = ([[2, -4, 6], [8, 10, -12]], [[2, -2]])


def told(path):
    """The warnings that loading gives, without the file's name."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net = netx.load(path)
    assert all(issubclass(one.category, SnnkdWarning) and str(one.message).startswith(f"{path}: ") for one in caught)
    return net, [str(one.message).removeprefix(f"{path}: ") for one in caught]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weights": ([[2.5, -4, 6], [8, 10.25, -12]], [[2, -2]])}, ["layer/0: weight: 2 of 6 are no integers"]),
        ({"weights": ([[300, -4, 6], [-300, 10, -12]], [[2, -2]])}, ["layer/0: weight: 2 of 6 beyond [-256, 254]"]),
        ({"weights": ([[-256, -4, -2], [-8, -10, -2]], [[2, -2]])}, ["layer/0: weight: 1 of 6 lose their lowest bits"]),
        ({"delay": [63.0, 3.0]}, ["layer/0: delay: 1 of 2 are beyond 62 and are clamped"]),
        (
            {"delay": [99.5, 2.7]},
            ["layer/0: delay: 2 of 2 are no integers", "layer/0: delay: 1 of 2 are beyond 62"],
        ),
        ({"bias": [40000, 0.5]}, ["layer/0: bias: 1 of 2 are no integers", "layer/0: bias: 1 of 2 do not fit 16 bits"]),
        ({"delay": [0.0, 62.0], "bias": [-5, 5]}, []),
    ],
)
def test_what_is_changed_is_counted(tmp_path, change, words):
    weights = change.pop("weights", EVEN)
    _, messages = told(lava_dls(tmp_path / "x.net", weights, **change))
    assert len(messages) == len(words)
    for message, expected in zip(messages, words, strict=True):
        assert message.startswith(expected)


def test_values_are_those_of_netx(tmp_path):
    net, _ = told(lava_dls(tmp_path / "x.net", ([[2.9, -4.9, 6], [8, 10, -12]], [[2, -2]]), delay=[100.0, 2.7]))
    assert net.layers[0].weight.tolist() == [[2, -4, 6], [8, 10, -12]]
    assert net.layers[0].delay.tolist() == [[62] * 3, [2] * 3]


@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_fractions_below_1_are_refused_with_what_to_do(tmp_path, kind):
    path = lava_dls(tmp_path / "x.net", ([[0.9, -0.2, 0.3], [0.1, 0, 0]], [[2, -2]]))
    if kind == "conv":
        with h5py.File(path, "r+") as file:
            del file["layer"]
            group = file.create_group("layer/0")
            group.create_dataset("type", (1,), "S10", [b"conv"])
            group["shape"], group["weight"] = [1, 3, 3], np.full((1, 1, 2, 2), 0.5, np.float32)
            for name, value in {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}.items():
                group[name] = value
            group["neuron/type"] = b"CUBA"
            group["neuron/iDecay"], group["neuron/vDecay"], group["neuron/vThMant"] = 1024, 128, 80
    with pytest.raises(FormatError, match=r"layer/0: weight: \d fractions below 1 .* quantize FILE.net --bits 8"):
        netx.load(path, (1, 4, 4) if kind == "conv" else None)


@pytest.mark.parametrize(("said", "steps"), [(300, 300), (300.0, 300), (0, None), (2.5, None), ([4, 4], None)])
def test_steps_of_lava_dls_files(tmp_path, said, steps):
    path = lava_dls(tmp_path / "x.net", EVEN)
    with h5py.File(path, "r+") as file:
        file["simulation/Ts"], file["simulation/tSample"] = 1, said
    net, messages = told(path)
    assert net.steps == steps
    assert len(messages) == (steps is None)
    with h5py.File(path, "r+") as file:
        file.attrs["snnkd_steps"] = 7
    assert netx.load(path).steps == 7


@pytest.mark.parametrize(
    ("threshold", "kind"),
    [(80, "count"), ((1 << 17) - 1, "count"), (1 << 17, "membrane"), (262143, "membrane"), (None, "membrane")],
)
def test_outputs_that_cannot_fire_are_read_by_their_membrane(tmp_path, threshold, kind):
    path = lava_dls(tmp_path / "x.net", ([[2, -4, 6], [8, 10, -12]], [[2, -2], [4, 4]]), (80, threshold))
    net = netx.load(path)
    assert net.readout.kind == kind
    assert net.read_by("count").readout.kind == "count"
    netx.save(net.read_by("count"), tmp_path / "y.net")
    assert netx.load(tmp_path / "y.net").readout.kind == "count", "what a file says holds"


def test_one_output_that_fires_is_counted(tmp_path):
    path = lava_dls(tmp_path / "x.net", ([[2, -4, 6], [8, 10, -12]], [[2, -2], [4, 4]]), (80, [1 << 17, 100]))
    assert netx.load(path).readout.kind == "count"


def test_another_readout_drops_the_rule_for_early_exit(build):
    net = build.net(3)
    net = replace(net, early_exit=EarlyExit(2, 1))
    assert net.read_by("count") is net
    assert net.read_by("membrane").early_exit is None


def test_a_file_that_is_not_as_listed_is_refused(tmp_path):
    neuron = Cuba(*(np.array(value, np.int32) for value in (1024, 128, 80)))
    path = tmp_path / "x.net"
    netx.save(IntNet((2,), (Dense(np.array([[2, -2]], np.int32), neuron),)), path)
    (tmp_path / checksums.SUMS).write_text(checksums.text({"x.net": checksums.of(path.read_bytes()), "y": "0"}))
    assert netx.load(path).parameters == 2
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"x\.net: damaged, or changed since it was written"):
        netx.load(path)
