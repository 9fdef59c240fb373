"""A recording of one's own beside the network: its lag, what it holds, and what differs."""

import json
from dataclasses import replace

import numpy as np
import pytest

from snnkd.analysis import recording
from snnkd.base.errors import FormatError, MismatchError
from snnkd.engines import conformance
from snnkd.engines.reference.definition import simulate
from snnkd.formats import netx
from snnkd.ir import partial_trace, trace
from snnkd.ir.network import IntNet

STEPS, LATE = 40, 3


@pytest.fixture
def net(build):
    random = np.random.default_rng(4)
    conv = build.conv(random, (2, 4, 5), 3, thresholds=(20, 60))
    return IntNet((2, 4, 5), (conv, build.dense(random, conv.shape, 4, thresholds=(40, 80))), steps=STEPS)


@pytest.fixture
def run(net, build):
    return simulate(net, build.events(np.random.default_rng(1), net, 3, STEPS), states=True)


@pytest.fixture
def held(run, tmp_path):
    """The arrays of the run's own file."""
    trace.save(run, tmp_path / "own.npz")
    return dict(np.load(tmp_path / "own.npz"))


@pytest.fixture
def verified(net, run, tmp_path):
    """Writes arrays as a recording and compares it."""

    def verify(held, lags=None, most=1 << 30):
        np.savez(tmp_path / "r.npz", **held)
        return recording.verify(net, partial_trace.load(tmp_path / "r.npz", net), run.input, lags, most)

    return verify


def late(array, steps=LATE):
    """The same, so many steps later."""
    moved = np.zeros_like(array)
    moved[:, steps:] = array[:, : array.shape[1] - steps]
    return moved


def test_what_simulate_writes_is_a_recording(net, run, held, verified):
    found = verified(held)
    cells = 3 * STEPS * net.neurons
    assert found.equal and found.compared["cells"] == 3 * cells and found.compared["states"] == 2 * cells
    assert [row.lag for row in found.arrays] == [0] * 6 and found.missing == found.ignored == ()
    assert json.loads(json.dumps(found.to_json()))["arrays"][2]["agree"] == int(run.layers[0].spikes.sum())


def test_a_part_is_compared_at_its_own_lag(net, held, verified):
    part = {
        "layer0": late(held["layer0"]).astype(np.float32),  # as SLAYER has it
        "layer1_v": held["layer1_v"][:, :30, [3, 0]],
        "layer1_v_neurons": np.array([3, 0]),
        "notes": np.zeros(2),
    }
    found = verified(part)
    by_name = {row.array: row for row in found.arrays}
    assert found.equal
    assert (by_name["layer0"].lag, by_name["layer0"].steps, by_name["layer0"].found) == (LATE, STEPS - LATE, True)
    assert by_name["layer0"].agree == by_name["layer0"].values > by_name["layer0"].at_most
    assert (by_name["layer1_v"].neurons, by_name["layer1_v"].size, by_name["layer1_v"].steps) == (2, 4, 30)
    assert found.missing == ("layer0_u", "layer0_v", "layer1", "layer1_u") and found.ignored == ("notes",)
    by_sample = verified(part, most=1)  # lags are found on the first one
    assert by_sample.arrays[0].samples == 1 and by_sample.arrays[0].lag == LATE
    assert replace(by_sample, arrays=found.arrays) == found


def test_a_difference_is_explained_as_an_engines(net, run, held, verified):
    """A synapse that has another weight on the chip."""
    weight = net.layers[1].weight.copy()
    rates = run.layers[0].spikes[0].reshape(STEPS, -1).mean(axis=0)
    weight[2, np.abs(rates - 0.5).argmin()] ^= 16
    other = simulate(
        replace(net, layers=(net.layers[0], replace(net.layers[1], weight=weight))), run.input, states=True
    )
    layer = other.layers[1]
    held |= {"layer1": late(layer.spikes), "layer1_u": late(layer.u), "layer1_v": late(layer.v)}
    found = verified(held, {"layer1_u": LATE, "layer1_v": LATE})
    assert not found.equal and found.differences["layer0"] == 0 < found.differences["layer1"]
    assert found.first_difference.layer == "layer1" and found.first_difference.neuron == [2]
    assert found.sums.expected.u == found.first_difference.expected and found.causes[0].name == "weight"
    without = {name: array for name, array in held.items() if not name.startswith("layer0")}
    assert any("does not show all spikes of layer0" in text for text in verified(without, LATE).warnings)


def test_no_lag_makes_another_recording_pass(run, held, verified):
    spikes = held["layer0"]
    assert not verified({"layer0": np.zeros_like(spikes)}).equal  # silent
    assert not verified({"layer0": spikes[::-1]}).equal  # other samples
    missing = late(spikes)
    missing[tuple(np.argwhere(missing)[-1])] = 0
    found = verified({"layer0": missing})
    assert not found.equal and found.differences["layer0"] == 1 and found.arrays[0].lag == LATE
    assert not verified({"layer0": late(spikes)}, lags=0).equal  # a given one is taken


def test_a_spike_before_the_lag_is_over_differs(held, verified):
    early = late(held["layer0"])
    early[1, 1, 0, 0, 0] = 1
    found = verified({"layer0": early})
    assert (found.first_difference.step, found.first_difference.sample) == (1 - LATE, 1)
    assert found.sums is None and found.causes[0].name == "lag"


def test_a_lag_that_two_steps_explain_is_refused(net, run, tmp_path):
    """One spike, which is the second of a neuron in time, or its first one late."""
    spikes = run.layers[1].spikes[0]
    neuron = int(spikes.sum(axis=0).argmax())
    first, second = np.flatnonzero(spikes[:, neuron])[:2]
    one = np.zeros((1, STEPS, 1), np.uint8)
    one[0, second] = 1
    np.savez(tmp_path / "r.npz", layer1=one, layer1_neurons=np.array([neuron]))
    recorded = partial_trace.load(tmp_path / "r.npz", net)
    with pytest.raises(
        FormatError, match=rf"layer1: its lag is ambiguous: at each of 0, {second - first} steps 1 of its 1"
    ):
        recording.verify(net, recorded, run.input[:1])
    found = recording.verify(net, recorded, run.input[:1], {"layer1": 0})
    assert not found.equal and found.first_difference.step == first


def test_a_lag_that_little_speaks_for_is_said(held, verified):
    silent = np.zeros_like(held["layer1"])
    assert "layer1: its lag is not known, it holds nothing but 0" in " ".join(verified({"layer1": silent}).warnings)
    alone = silent.copy()
    alone[tuple(np.argwhere(held["layer1"])[-1])] = 1  # one of many
    found = verified({"layer1": alone}, 0)
    assert not found.equal and not any("lag" in text for text in found.warnings)  # it was given
    totals = held["layer1"].sum(axis=(0, 1), dtype=float)
    rare = int(np.where(totals > 0, totals, np.inf).argmin())
    few = verified({"layer1": held["layer1"][:, :, [rare]], "layer1_neurons": np.array([rare])})
    assert few.equal and few.arrays[0].agree == few.arrays[0].values < 10
    assert f"layer1: its lag of 0 steps was found by {few.arrays[0].agree} values alone" in " ".join(few.warnings)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda held: {"hidden": held["layer0"]}, r"has nothing to compare: expected any of layer0, layer1, .* hidden"),
        (lambda held: {"layer1": np.moveaxis(held["layer1"], 1, -1)}, r"steps come last, as in SLAYER; .*moveaxis"),
        (lambda held: {"layer0": held["layer0"][0]}, r"one axis for samples and steps; .* array\[None\]"),
        (lambda held: {"layer1": np.argwhere(held["layer1"][0])[::-1]}, r"a list of events\? .* whatever order"),
        (lambda held: {"layer1": held["layer1"][:, :0]}, "at least one sample, step and neuron"),
        (lambda held: {"layer1": held["layer1"] * 0.5}, "expected integers, found float64"),
        (lambda held: {"layer1": held["layer1"], "layer0": held["layer0"][:1]}, "layer0 1, layer1 3"),
        (lambda held: {"layer1": held["layer1"], "input": held["input"] + 5}, "r.npz: input: expected events 0 or 1"),
        (
            lambda held: {"layer1": held["layer1"], "layer1_neurons": np.array([0, 1, 2, 4])},
            "neurons 0 to 3, found 0 to 4",
        ),
        (lambda held: {"layer1": held["layer1"], "layer1_neurons": np.array([0, 1, 1, 2])}, "names a neuron twice"),
        (lambda held: {"layer1": held["layer1"], "layer1_neurons": np.arange(3)}, r"expected \(N, T, 3\)"),
    ],
)
def test_what_is_no_recording_is_refused(held, verified, change, words):
    with pytest.raises(FormatError, match=rf"r.npz: .*{words}|{words}"):
        verified(change(held))


def test_other_samples_and_lags_that_are_none_are_refused(net, run, held, verified, tmp_path):
    with pytest.raises(FormatError, match=r"--lag layer7=1: .* has no array of this name"):
        verified({"layer1": held["layer1"]}, {"layer7": 1})
    with pytest.raises(FormatError, match=f"expected 0 to {STEPS - 1}"):
        verified({"layer1": held["layer1"]}, STEPS)
    with pytest.raises(MismatchError, match="has 3 samples, its input 2"):
        recording.verify(net, partial_trace.load(tmp_path / "r.npz", net), run.input[:2])


def test_the_command(net, run, held, tmp_path, call):
    netx.save(net, tmp_path / "x.net")
    np.savez(tmp_path / "r.npz", input=held["input"], layer0=late(held["layer0"]), layer1=late(held["layer1"], 2))
    words = ("verify", str(tmp_path / "x.net"), "--against", str(tmp_path / "r.npz"))
    status, printed, _ = call(*words, "--json")
    printed = json.loads(printed)
    assert status == 0 and printed["equal"] and [row["lag"] for row in printed["arrays"]] == [LATE, 2]
    status, printed, _ = call(*words, "--samples", "2")
    assert status == 0 and "2 samples" in printed and "not compared: layer0_u, layer0_v, layer1_u" in printed
    status, printed, _ = call(*words, "--lag", f"layer0={LATE}", "--lag", "layer1=1")
    assert status == 1 and "differences by layer: layer0 0" in printed and "3 (given)" in printed
    status, _, errors = call(*words, "--lag", "late")
    assert status == 2 and "--lag late: expected steps" in errors
    np.savez(tmp_path / "r.npz", layer0=held["layer0"])
    status, _, errors = call(*words)
    assert status == 2 and "r.npz: has no array input: give the events that went in with --input" in errors
    np.save(tmp_path / "events.npy", run.input)
    assert call(*words, "--input", str(tmp_path / "events.npy"))[0] == 0


@pytest.fixture(scope="module")
def graded():
    """(network, its run) with Delta encoders, sigma-delta layers and a Sigma output."""
    net, events = conformance.networks()["sigma delta"]
    return net, simulate(net, events, states=True)


def test_a_recording_of_sigma_delta_layers(graded, tmp_path):
    """Messages and states by their names, late; one layer's residue is missing, another has a single neuron."""
    net, run = graded
    trace.save(run, tmp_path / "own.npz")
    held = {name: array if name == "input" else late(array) for name, array in np.load(tmp_path / "own.npz").items()}
    del held["layer1_residue"]
    held |= {"layer2_act": held["layer2_act"][:, :, [5]], "layer2_act_neurons": np.array([5])}
    np.savez(tmp_path / "r.npz", **held)
    recorded = partial_trace.load(tmp_path / "r.npz", net)
    assert [r.quantity for r in recorded.records if r.layer == 3] == ["sigma", "act", "s", "residue"]
    found = recording.verify(net, recorded, run.input)
    assert found.equal and found.missing == ("layer1_residue",) and {row.lag for row in found.arrays} == {LATE}


def test_a_bias_explains_a_recording_of_messages_alone(graded, tmp_path):
    """A neuron without its bias, recorded in its messages and nothing else."""
    net, run = graded
    neuron = net.layers[1].neuron
    other = replace(neuron, bias=neuron.bias * (np.arange(24) != 3))
    changed = replace(net, layers=(net.layers[0], replace(net.layers[1], neuron=other), *net.layers[2:]))
    np.savez(tmp_path / "r.npz", layer1=simulate(changed, run.input).layers[1].spikes)
    found = recording.verify(net, partial_trace.load(tmp_path / "r.npz", net), run.input)
    assert found.first_difference and found.first_difference.neuron == [3]
    assert found.sums.actual["s"] == found.first_difference.actual and found.sums.actual["sigma"] is None
    assert [cause.name for cause in found.causes] == ["parameter"] and "its bias is 0 instead" in found.causes[0].text
