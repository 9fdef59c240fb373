"""What a check advises is something that the layer can follow."""

import re
from dataclasses import replace

import numpy as np
import pytest

from snnkd.analysis import fit, narrowing, remedies
from snnkd.engines import c99
from snnkd.ir.network import Conv, Cuba, Dense, Input, IntNet, SigmaDelta
from snnkd.targets import Target
from snnkd.targets.quantities import Quantity

NEURON = Cuba(np.array(1024, np.int32), np.array(128, np.int32), np.array(80, np.int32))


def dense(outputs: int, inputs: int, delay: int = 0, neuron: Cuba = NEURON, largest: int = 7) -> Dense:
    random = np.random.default_rng(1)
    weight = random.integers(-largest, largest + 1, (outputs, inputs), dtype=np.int32)
    return Dense(weight, neuron, delay=np.full(weight.shape, delay, np.int32) if delay else None)


def limited(**bounds: float) -> Target:
    return Target("small", "test", limits={k: Quantity(v, v, v, "byte", "assumed", "test") for k, v in bounds.items()})


def test_delays_that_fill_the_ram_are_to_be_shorter_and_then_they_fit() -> None:
    def net(delay: int) -> IntNet:
        return IntNet((1,), (dense(300, 1, delay), dense(4, 300)))

    (violation,) = fit.check(net(62), limited(ram=1 << 16))
    assert "give layer0 shorter delays, at most 51 steps instead of 62" in violation.fix
    assert not fit.check(net(51), limited(ram=1 << 16))
    assert fit.check(net(52), limited(ram=1 << 16))
    (violation,) = fit.check(net(62), limited(ram=2000))
    assert violation.fix == "give layer0 no delays, which hold back its sums, and fewer neurons"


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (IntNet((9,), (dense(30, 9), dense(4, 30))), "give layer0 fewer neurons"),
        (
            IntNet((1, 9, 9), (Conv(np.ones((8, 1, 3, 3), np.int32), NEURON, (8, 7, 7)),)),
            "give layer0 fewer neurons: larger strides, or fewer channels",
        ),
        (
            IntNet((1, 9, 9), (Input((1, 9, 9), NEURON), dense(4, 81))),
            "give layer0 fewer neurons: a smaller image",
        ),
        (
            IntNet((9,), (dense(30, 9), replace(dense(20, 30), neuron=SigmaDelta(0)), dense(4, 20))),
            "give layer1 fewer neurons",
        ),
    ],
    ids=["dense", "conv", "input", "sigma delta"],
)
def test_ram(net: IntNet, words: str) -> None:
    (violation,) = fit.check(net, limited(ram=100))
    assert violation.fix == words


OWN = Cuba(np.array(1024, np.int32), np.array(128, np.int32), np.arange(100, 400, dtype=np.int32))


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (IntNet((90,), (dense(30, 90, largest=100),)), "or 4 bits of each, about half: `snnkd quantize FILE.net"),
        (IntNet((90,), (dense(30, 90),)), "give layer0 fewer weights"),
        (IntNet((3,), (dense(300, 3, neuron=OWN),)), "give all neurons of layer0 the same parameters, or fewer"),
    ],
    ids=["8 bits", "4 bits", "neurons"],
)
def test_flash(net: IntNet, words: str) -> None:
    (violation,) = fit.check(net, limited(flash=500))
    assert violation.fix.startswith(words) or words in violation.fix
    assert ("--bits 4" in violation.fix) == (c99.plan(net).parts[0].stored.bits > 4 and "parameters" not in words)


def test_delays_of_every_synapse_take_flash() -> None:
    layer = dense(30, 90)
    delays = np.random.default_rng(2).integers(0, 3, layer.weight.shape, dtype=np.int32)
    net = IntNet((90,), (Dense(layer.weight, NEURON, delay=delays),))
    (violation,) = fit.check(net, limited(flash=500))
    assert "one delay for each input or each neuron" in violation.fix


def test_rounding_names_the_command_and_few_inputs_what_lies_before() -> None:
    assert remedies.fewer_bits("layer1", 4).endswith("`snnkd quantize FILE.net --bits 4 --out NEW.net`")
    assert "--bits 8" in remedies.fewer_bits("layer1", 9)  # Loihi 1; `quantize` knows no more
    assert "snnkd quantize" not in remedies.fewer_bits("layer1", 1)
    conv = Conv(np.ones((8, 1, 3, 3), np.int32), NEURON, (8, 7, 7))
    net = IntNet((1, 9, 9), (conv, dense(4, 392), dense(4, 4)))
    assert "larger strides, or fewer channels in layer0" in remedies.fewer_inputs(net, "layer1", 0.385)
    assert remedies.fewer_inputs(net, "layer1", 0.385).endswith("prune its weights to 38 %")
    assert remedies.fewer_inputs(net, "layer2", 0.5).startswith("give layer2 fewer inputs: fewer neurons in layer1")
    assert "a smaller input" in remedies.fewer_inputs(net, "layer0", 0.5)


def small() -> IntNet:
    conv = Conv(np.ones((8, 1, 3, 3), np.int32), NEURON, (8, 7, 7))
    own = Cuba(np.array(1024, np.int32), np.array(128, np.int32), np.arange(70, 90, dtype=np.int32))
    return IntNet((1, 9, 9), (conv, dense(20, 392, neuron=own), dense(4, 20)))


def test_a_narrowed_network_has_the_first_channels_with_all_their_weights() -> None:
    net = small()
    found = narrowing.narrowed(net, 0, 3)
    assert [layer.shape for layer in found.layers] == [(3, 7, 7), (20,), (4,)]
    np.testing.assert_array_equal(found.layers[1].weight, net.layers[1].weight[:, : 3 * 49])
    found = narrowing.narrowed(net, 1, 7)
    np.testing.assert_array_equal(found.layers[1].neuron.threshold, np.arange(70, 77))
    np.testing.assert_array_equal(found.layers[2].weight, net.layers[2].weight[:, :7])


def test_advice_in_numbers_is_the_most_that_fits() -> None:
    net = small()
    (violation,) = fit.check(net, limited(ram=c99.plan(net).ram - 500))
    found = re.search(r"; it fits with (\d+) output channels of layer0 instead of 8$", violation.fix)
    assert found is not None
    kept = int(found[1])
    target = limited(ram=c99.plan(net).ram - 500)
    assert not fit.check(narrowing.narrowed(net, 0, kept), target)
    assert fit.check(narrowing.narrowed(net, 0, kept + 1), target)
    (violation,) = fit.check(net, limited(ram=c99.plan(net).ram * 2 // 5))
    assert re.search(r"; it fits with \d\d % of the channels of all hidden layers$", violation.fix)
