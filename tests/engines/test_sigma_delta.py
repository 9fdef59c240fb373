"""Sigma-delta neurons: what Lava's fixed-point models did, and a second writing of the definition, number by number."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from snnkd import engines, formats
from snnkd.base.errors import FormatError, LimitError, SnnkdWarning
from snnkd.engines import conformance
from snnkd.engines.lava import facts
from snnkd.engines.reference.definition import simulate
from snnkd.formats import netx
from snnkd.ir.network import Delta, Dense, Input, IntNet, Sigma, SigmaDelta
from snnkd.ir.readout import Readout

TOP = (1 << 31) - 1
ONE = np.array([[1]], np.int32)


def alone(neuron, inputs):
    """The trace of one neuron that gets these numbers as they are."""
    layer = Input((1,), neuron) if neuron.kind == "delta" else Dense(ONE, neuron)
    events = np.array(inputs, np.int64)[None, :, None]
    return simulate(IntNet((1,), (layer,), message_bits=31), events, states=True).layers[0]


def biased(value, **options):
    return SigmaDelta(options.pop("threshold", 0), np.array(value, np.int32), **options)


# (neurons, what arrives, the messages, act): what PyDeltaModelFixed and PySigmaDeltaModelFixed of lava-nc 0.10.0 did.
MEASURED = [
    (Delta(2), [1, 2, 3, 3, 0], [0, 128, 0, 0, -128], [4096, 8192, 12288, 12288, 0]),
    (Delta(2), [-1, -2, 5, 5, 5], [0, -128, 448, 0, 0], [-4096, -8192, 20480, 20480, 20480]),
    (Delta(0), [1 << 19, (1 << 19) - 1, 0], [0, 33554368, -33554368], [-TOP - 1, TOP - 4095, 0]),
    (Delta(0), [1 << 20, -(1 << 19), 5], [0, 0, 320], [0, -TOP - 1, 20480]),
    (biased(1, threshold=1), [4096, 0, -16384, 100000], [128, 0, -128, 1434], [8192, 8192, 0, 91808]),
    (biased(0, threshold=1), [100, 5000, 3, -70000], [0, 79, 0, -80], [100, 5100, 5103, 0]),
    (biased(-3, threshold=1), [63, 64, 128, 20000], [0, 0, 0, 124], [0, 0, 0, 7967]),
    (biased(0), [TOP, 1, 1, 0], [33554431, -33554432, 0, 0], [TOP, 0, 0, 0]),
    (biased(2), [TOP, 0, -8192, 0], [0, 0, 33554431, 0], [0, 0, TOP, TOP]),
    (biased(0, activation="unit"), [-TOP, TOP, 1, 0], [-33554432, 33554431, 0, 0], [-TOP, 0, 1, 1]),
    (biased(0, threshold=2, cumulative=True), [4096, 0, 0, 0, 0, 4096], [0, 64, 0, 0, 0, 0], [4096] * 5 + [8192]),
    (biased(0, threshold=2, cumulative=True), [4096, 4096, -4096, -4096], [0, 128, 0, -128], [4096, 8192, 4096, 0]),
    (biased(0, threshold=2, spike_exp=0, state_exp=0), [5, -1, 7], [5, 0, 6], [5, 4, 11]),
    (biased(0, threshold=2, spike_exp=0, state_exp=6), [500, -100, 700], [7, 0, 9], [500, 400, 1100]),
]


@pytest.mark.parametrize(("neuron", "inputs", "messages", "act"), MEASURED)
def test_what_lavas_models_did(neuron, inputs, messages, act):
    found = alone(neuron, inputs)
    assert found.spikes[0, :, 0].tolist() == messages
    assert found.act[0, :, 0].tolist() == act


def test_the_magnitude_of_the_lowest_number_is_itself():
    """Lava: |-2^31| is -2^31, below every threshold, so the change stays a residue."""
    for threshold in (0, 1):
        found = alone(SigmaDelta(threshold, activation="unit"), [-TOP, -1, 0])
        assert found.spikes[0, 1:, 0].tolist() == [-1, 0] if threshold == 0 else [0, 0]
        assert alone(Delta(threshold), [1 << 19, 1 << 19]).spikes.tolist() == [[[0], [0]]]
    assert alone(Delta(0), [1 << 19, 1 << 19]).residue[0, :, 0].tolist() == [-TOP - 1, -TOP - 1]


def test_sigma_sends_its_sum_at_every_step():
    found = alone(Sigma(), [5, 0, -8, TOP, 6])
    assert found.spikes[0, :, 0].tolist() == found.sigma[0, :, 0].tolist() == [5, 5, -3, TOP - 3, -TOP + 2 - 1]
    assert found.overflows == 1 and found.v_last.tolist() == [[-TOP + 1]]


def wrapped(value):
    return (value + (1 << 31)) % (1 << 32) - (1 << 31)


def second_writing(neuron, inputs):
    """Messages, and how often a value wrapped, in Python's integers."""
    sigma = act = residue = error = wraps = 0
    messages = []

    def kept(value):
        nonlocal wraps
        wraps += wrapped(value) != value
        return wrapped(value)

    def size(value):
        return value if value == -(1 << 31) else abs(value)

    shift = neuron.spike_exp + neuron.state_exp
    for number in inputs:
        if neuron.kind == "delta":
            new = kept(number << shift)
        else:
            sigma = kept(sigma + number)
            new = kept(sigma + (int(neuron.bias) << shift))
            new = max(new, 0) if neuron.activation == "relu" else new
        change = kept(new - act + residue)
        total = kept(error + change) if neuron.cumulative else change
        sent = change if size(total) >= neuron.threshold << shift else 0
        error = total if neuron.cumulative and size(sent) <= 0 else 0
        act, residue = new, change - sent
        messages.append(sent >> neuron.state_exp)
    return messages, wraps


@pytest.mark.parametrize("engine", ["reference", "fast", "onnx"])
def test_random_neurons(engine):
    """All exponents, activations, thresholds, at small numbers and at those that wrap; many neurons in one layer."""
    random = np.random.default_rng(0)
    wraps = 0
    for number in range(24):
        own = {"spike_exp": int(random.integers(0, 9)), "state_exp": int(random.integers(0, 9))}
        own |= {"cumulative": bool(number % 2), "threshold": int(random.integers(0, 9))}
        size = 1 << int(random.choice([4, 12, 30]))
        inputs = random.integers(-size, size, (20, 5))
        delta = number % 3 == 0
        neuron = (
            Delta(**own)
            if delta
            else SigmaDelta(
                bias=random.integers(-9, 9, 5).astype(np.int32), activation=("relu", "unit")[number % 4 // 2], **own
            )
        )
        layer = Input((5,), neuron) if delta else Dense(np.eye(5, dtype=np.int32), neuron)
        net = IntNet((5,), (layer,), message_bits=0 if delta else 31)
        found = engines.get(engine).run(net, inputs[None]).layers[0]
        expected = [
            second_writing(neuron if delta else replace(neuron, bias=neuron.bias[k]), inputs[:, k].tolist())
            for k in range(5)
        ]
        assert found.spikes[0].T.tolist() == [messages for messages, _ in expected]
        assert found.overflows in (-1, sum(count for _, count in expected))
        wraps += sum(count for _, count in expected)
    assert wraps > 200


@pytest.mark.parametrize(
    "engine", ["reference", "fast", "onnx", pytest.param("c99", marks=pytest.mark.compiler("gcc"))]
)
@pytest.mark.parametrize("last", [SigmaDelta(3, None, 2, 0, "unit"), Sigma()])
@pytest.mark.parametrize("over", ["max", "sum"])
def test_readouts_over_all_steps(engine, last, over):
    """They read the membrane by its name: act of sigma-delta outputs, of Sigma ones sigma. No other state is kept."""
    random = np.random.default_rng(0)
    layers = (
        Dense(random.integers(-9, 10, (6, 5)).astype(np.int32), SigmaDelta(2, None, 0, 0)),
        Dense(random.integers(-9, 10, (4, 6)).astype(np.int32), last),
    )
    net = IntNet((5,), layers, message_bits=8, readout=Readout("membrane", over=over))
    events = random.integers(-255, 256, (12, 7, 5))
    membrane = simulate(net, events, states=True).layers[-1].states[last.membrane].astype(np.int64)
    scores = membrane.max(axis=1) if over == "max" else membrane.sum(axis=1)
    assert (scores.argmax(axis=1) != membrane[:, -1].argmax(axis=1)).any()
    trace = engines.get(engine).run(net, events)
    np.testing.assert_array_equal(trace.layers[-1].membrane, membrane)
    np.testing.assert_array_equal(trace.classes(net), scores.argmax(axis=1))
    assert not trace.layers[0].states


def test_layers_at_rest_do_no_work_but_count_alike():
    """A bias that makes the activation wrap does so at every step, also where nothing arrives."""
    neuron = SigmaDelta(0, np.array([(1 << 19) - 1, 0], np.int32))
    events = np.zeros((1, 5, 2), np.int64)
    events[0, 1] = 9000
    net = IntNet((2,), (Dense(np.eye(2, dtype=np.int32), neuron),), message_bits=16)
    expected = simulate(net, events)
    assert expected.layers[0].overflows >= 4
    assert engines.get("fast").run(net, events).layers[0].overflows == expected.layers[0].overflows


# Files


def sdnn(path, change):
    """lava-dl's form of Delta encoders, a dense layer and a Sigma output, changed."""
    layers = (Input((2,), Delta(6)), *(Dense(np.eye(2, dtype=np.int32) * 2, n) for n in (biased(3), Sigma())))
    netx.save(IntNet((2,), layers), path)
    with h5py.File(path, "r+") as file:
        change(file["layer"])
    return path


def test_lava_dls_own_keys_only(tmp_path):
    with h5py.File(sdnn(tmp_path / "x.net", lambda layers: None)) as file:
        keys = [set(file[f"layer/{k}/neuron"]) for k in range(3)]
    assert keys == [{"type", "activation", "vThMant"}] * 2 + [{"type", "activation", "vThMant", "sigma_output"}]


def put(layer, name, value):
    def change(layers):
        group = layers[str(layer)]
        if name in group:
            del group[name]
        group[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (put(2, "bias", [1, 2]), "layer/2: bias: NetX fails on it: a Sigma output has none"),
        (put(1, "neuron/messageBits", 24), "layer/1/neuron: messageBits: NetX fails on it"),
        (put(1, "neuron/vThMant", [1, 2]), "layer/1/neuron: vThMant: expected one number in"),
        (put(1, "neuron/spikeExp", 16), "layer/1/neuron: spikeExp: expected one integer in"),
    ],
)
def test_refused_sigma_delta(tmp_path, change, problem):
    with pytest.raises(FormatError, match=problem):
        netx.load(sdnn(tmp_path / "x.net", change))


def test_numbers_that_lava_cannot_hold(tmp_path):
    """vth << 12 is what Lava fails on, bias << 12 what it wraps."""
    with pytest.raises(FormatError, match=r"vThMant: expected one number in \[0, 524287\]"):
        netx.load(sdnn(tmp_path / "x.net", put(0, "neuron/vThMant", 1 << 19)))
    with pytest.warns(SnnkdWarning, match="1 of 2 do not fit 20 bits and wrap around"):
        net = netx.load(sdnn(tmp_path / "y.net", put(1, "bias", [1 << 19, -5])))
    assert net.layers[1].neuron.bias.tolist() == [-(1 << 19), -5]


def test_another_activation_is_told(tmp_path):
    with pytest.warns(SnnkdWarning, match="'sigmoid' is taken for relu, as NetX does"):
        net = netx.load(sdnn(tmp_path / "x.net", put(1, "neuron/activation", b"sigmoid")))
    assert net.layers[1].neuron.activation == "relu"


def test_neurons_where_they_cannot_be():
    with pytest.raises(
        FormatError, match=r"layer0: a layer of the kind 'dense' cannot have neurons of the kind 'delta'"
    ):
        IntNet((1,), (Dense(ONE, Delta(0)),))
    with pytest.raises(FormatError, match=r"layer0\.threshold"):
        IntNet((1,), (Input((1,), Delta(1 << 19)),))


def test_what_does_not_take_them_says_so(tmp_path):
    net, _ = conformance.networks()["sigma delta once"]
    with pytest.raises(
        LimitError, match=r"does not take this network: layer3: sums of .* read it by --readout membrane"
    ):
        engines.usable("c99", net.read_by("count"))
    with pytest.raises(LimitError, match=r"NIR has no sigma-delta neurons; write the network as a \.net file"):
        formats.save(net, tmp_path / "x.nir")
    assert not list(tmp_path.iterdir())


def test_sums_that_leave_lavas_integers():
    """Lava shifts 3 up to 96 before it sums: 5 bits less for the sum."""
    net = IntNet((1,), (Dense(np.array([[3]], np.int32), Sigma()),), message_bits=30)
    trace = [simulate(net, np.full((1, 1, 1), value, np.int64)) for value in (1 << 23, 1 << 26)]
    assert facts.sums_beyond(net, trace[0]) is None
    assert "layer0: sums of messages of up to 201326592 do not fit" in (facts.sums_beyond(net, trace[1]) or "")
