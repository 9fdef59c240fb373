"""What a recipe says of sigma-delta networks in files: which may teach, which a training may start from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnkd import recipe
from snnkd.base.errors import RecipeError
from snnkd.formats import netx
from snnkd.ir.network import Conv, Cuba, Delta, Dense, Input, IntNet, Neuron, Sigma, SigmaDelta
from snnkd.ir.readout import Readout

_NETWORK = """
[networks.tiny]
input = [1, 8, 8]
layers = [{kind = "conv", channels = 2, kernel = 3}, {kind = "dense", neurons = 10}]
"""
_TAUGHT = """
encoding = {kind = "direct", steps = 4}
[chain.teacher]
net = "old.net"
[chain.student]
network = "tiny"
epochs = 1
distil = {losses = {kl = 1.0}}
"""
_STARTED = """
encoding = {kind = "direct", steps = 1}
neuron = {kind = "sigma-delta"}
readout = {kind = "membrane"}
[chain.student]
network = "tiny"
epochs = 1
start = "old.net"
"""
_MEMBRANE = Readout("membrane", "first")


_CHANGES, _SUM = SigmaDelta(2), Sigma()
_ENCODERS = Input((1, 8, 8), Delta(0))
_CUBA = Cuba(*(np.array(value, np.int32) for value in (4096, 0, 90)))


def _net(hidden: Neuron = _CHANGES, last: Neuron = _SUM, odd: int = 0, **changes: Any) -> IntNet:
    """A network that fits _NETWORK but for `changes`: of IntNet, a layer in `first` or delays of the last one."""
    random = np.random.default_rng(1)
    conv = Conv((random.integers(-90, 90, (2, 1, 3, 3)) * 2).astype(np.int32), hidden, (2, 6, 6))
    delay = changes.pop("delay", None)
    dense = Dense((random.integers(-90, 90, (10, 72)) * 2 + odd).astype(np.int32), last, delay=delay)
    layers = (*changes.pop("first", ()), conv, dense)
    return IntNet(**{"input_shape": (1, 8, 8), "layers": layers, "message_bits": 8, "readout": _MEMBRANE, **changes})


def _load(folder: Path, text: str, net: IntNet, *changes: str) -> recipe.Recipe:
    netx.save(net, folder / "old.net")
    (folder / "mine.toml").write_text(text + _NETWORK)
    return recipe.load(folder / "mine.toml", list(changes))


@pytest.mark.parametrize(
    "net",
    [_net(), _net(first=(_ENCODERS,), message_bits=0), _net(last=_CUBA), _net(hidden=SigmaDelta(1, cumulative=True))],
)
def test_sigma_delta_files_may_teach(tmp_path: Path, net: IntNet) -> None:
    assert _load(tmp_path, _TAUGHT, net).chain["teacher"].net == str(tmp_path / "old.net")


def test_nothing_late_arrives_in_one_step(tmp_path: Path) -> None:
    late = _net(delay=np.full((10, 72), 2, np.int32))
    with pytest.raises(
        RecipeError, match=r"teacher\.net: .*: has delays of up to 2 steps, but sigma-delta neurons are"
    ):
        _load(tmp_path, _TAUGHT, late)
    assert _load(tmp_path, _TAUGHT, late, "encoding.kind=rate")
    assert _load(tmp_path, _TAUGHT, _net(hidden=_CUBA, last=_CUBA, delay=np.full((10, 72), 2, np.int32)))


@pytest.mark.parametrize(
    ("net", "expected"),
    [
        (_net(first=(_ENCODERS,)), "its first layer is one of input neurons, which networks are trained without"),
        (_net(hidden=_CUBA), "layer0: its neurons are 'cuba', expected 'sigma-delta' as the stage trains"),
        (_net(last=SigmaDelta(0)), "layer1: its neurons are 'sigma-delta', expected 'sigma' as the stage trains"),
        (_net(hidden=SigmaDelta(1, spike_exp=5)), "layer0.spike_exp: expected 6, found 5"),
        (_net(hidden=SigmaDelta(1, state_exp=4)), "layer0.state_exp: expected 6, found 4"),
        (_net(hidden=SigmaDelta(1, activation="unit")), "layer0.activation: expected 'relu', found 'unit'"),
        (_net(hidden=SigmaDelta(1, cumulative=True)), "layer0.cumulative: errors that add up are not trained"),
        (
            _net(hidden=SigmaDelta(0, np.arange(72, dtype=np.int32).reshape(2, 6, 6))),
            "layer0.bias: differs from neuron to neuron of a channel; expected one per channel",
        ),
        (_net(odd=1), "layer1.weight: expected even integers in [-256, 254], found 720 odd ones"),
        (_net(delay=np.ones((10, 72), np.int32)), "layer1.delay: this layer is trained without"),
        (_net(readout=Readout()), "its classes are read by 'count', expected readout.kind 'membrane'"),
    ],
)
def test_a_start_has_what_is_trained(tmp_path: Path, net: IntNet, expected: str) -> None:
    with pytest.raises(RecipeError) as raised:
        _load(tmp_path, _STARTED, net)
    assert f"chain.student.start: {tmp_path / 'old.net'}: {expected}" in str(raised.value)


def test_a_start_has_the_neurons_of_its_stage(tmp_path: Path) -> None:
    biased = SigmaDelta(2, np.broadcast_to(np.array([[[3]], [[-4]]], np.int32), (2, 6, 6)).copy())
    for net in (_net(), _net(hidden=biased)):
        assert _load(tmp_path, _STARTED, net).chain["student"].start == str(tmp_path / "old.net")
    with pytest.raises(RecipeError, match="layer0: its neurons are 'sigma-delta', expected 'cuba' as the stage trains"):
        _load(tmp_path, _STARTED, replace(_net(), readout=Readout()), "neuron.kind=cuba", "readout.kind=count")
