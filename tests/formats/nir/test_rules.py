"""What the rules make of each primitive is what the graph computes in float64."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnkd import formats
from snnkd.analysis import evaluation
from snnkd.base.errors import FormatError, SnnkdWarning
from snnkd.formats.nir import assembly, definition, graph, rounding
from snnkd.formats.nir.graph import Graph
from snnkd.formats.nir.real import RealConv, correlated

sys.path.insert(0, str(Path(__file__).parents[3] / "toolchain/benchmarks"))

from nir_graphs import affine, between, chain, conv, cuba, flatten, graphs, integrator, lif, node, pool, weights, write

GRAPHS = graphs()


def run_real(net, events):
    """The layers that the rules made, in float64: (N, T, *shape) of each, v where nothing fires."""
    found = []
    for layer in net.layers:
        samples, steps = events.shape[:2]
        if isinstance(layer.synapse, RealConv):
            images = events.reshape(-1, *layer.synapse.reads).astype(float)
            sums = correlated(layer.synapse, images).reshape(samples, steps, *layer.shape)
        else:
            flat = events.reshape(samples, steps, -1).astype(float)
            weight, delay = layer.synapse.weight, layer.synapse.delay
            delay = np.zeros(weight.shape, int) if delay is None else delay
            sums = np.tile(layer.synapse.bias, (samples, steps, 1))
            for wait in np.unique(delay):
                sums[:, wait:] += flat[:, : steps - wait] @ np.where(delay == wait, weight, 0).T
        neuron, u, v = layer.neuron, 0.0, np.zeros((samples, *layer.shape))
        out = np.zeros((samples, steps, *layer.shape))
        for t in range(steps):
            u = u * (1 - neuron.current_decay) + sums[:, t].reshape(v.shape)
            v = v * (1 - neuron.voltage_decay) + u + neuron.leak
            fired = v > neuron.threshold
            out[:, t] = fired if np.isfinite(neuron.threshold).all() else v
            v = np.where(fired, 0, v)
        found.append(out)
        events = out
    return found


@pytest.fixture
def events():
    return lambda found: np.random.default_rng(1).random((4, 30, *assembly.assembled(found).input_shape)) < 0.3


@pytest.mark.parametrize("name", GRAPHS)
def test_the_rules_say_what_the_graph_says(name, events, tmp_path):
    found = graph.read(write(GRAPHS[name], tmp_path / "x.nir"))
    net = assembly.assembled(found)
    signals = definition.run(found, events(found), net.dt).signals
    for layer, actual in zip(net.layers, run_real(net, events(found)), strict=True):
        expected = signals[layer.name].reshape(actual.shape)
        if np.isfinite(layer.neuron.threshold).all():
            assert 0.01 < expected.mean() < 0.99, "the numbers of this graph show nothing"
            assert np.abs(expected - actual).mean() < 1e-3
        elif name == "no neurons at the end":
            np.testing.assert_allclose(actual, expected.cumsum(axis=1))
        else:  # v in other units: the same but for one factor
            np.testing.assert_allclose(actual / actual.std(), expected / expected.std(), atol=1e-9)


@pytest.mark.parametrize("name", GRAPHS)
def test_the_integers_do_nearly_the_same(name, events, tmp_path):
    path = write(GRAPHS[name], tmp_path / "x.nir")
    found = graph.read(path)
    net, choices = rounding.rounded(assembly.assembled(found))
    real = assembly.assembled(found)
    run = evaluation.simulate(net, events(found).astype(np.uint8))
    signals = definition.run(found, events(found), real.dt).signals
    for layer, choice, trace in zip(real.layers, choices, run.layers, strict=True):
        assert max(choice.weight_error, choice.threshold_error, choice.decay_error) < 0.03
        if choice.layer.neuron.can_fire:
            assert np.abs(signals[layer.name].reshape(trace.spikes.shape) - trace.spikes).mean() < 0.06


def test_integers_of_a_float_file_are_found_exactly(tmp_path):
    """Whole weights, thresholds and decays of 4096 come out as they are, unscaled."""
    weight = np.array([[2.0, -6, 254], [4, 0, -256]], np.float32)
    one = cuba(n=(2,), tau_syn=4096 / 1024 * 1e-4, w_in=4.0, tau_mem=4096 / 128 * 1e-4, r=32.0, v_threshold=300.0)
    net = formats.load(write(between((3,), node("fc", "Linear", weight=weight), one), tmp_path / "x.nir"))
    layer = net.layers[0]
    np.testing.assert_array_equal(layer.weight, weight)
    assert (layer.neuron.current_decay, layer.neuron.voltage_decay, layer.neuron.threshold) == (1024, 128, 300)


def test_a_subgraph_is_taken_apart(tmp_path):
    import h5py

    path = write(between((5,), affine(), lif(), affine("fc1", 4, 3), lif("lif1", (4,))), tmp_path / "x.nir")
    expected = assembly.assembled(graph.read(path))
    with h5py.File(path, "r+") as file:
        nodes = file["node/nodes"]
        inner = nodes.create_group("part")
        inner["type"] = "NIRGraph"
        for name in ("lif", "fc1"):
            nodes.move(name, f"part/nodes/{name}")
        for name, kind, size in (("input", "Input", 3), ("output", "Output", 4)):
            inner[f"nodes/{name}/type"], inner[f"nodes/{name}/shape"] = kind, np.array([size])
        text = h5py.string_dtype()
        edges = [("input", "lif"), ("lif", "fc1"), ("fc1", "output")]
        inner.create_dataset("edges", data=np.array(edges, object), dtype=text)
        del file["node/edges"]
        edges = [("input", "fc"), ("fc", "part"), ("part", "lif1"), ("lif1", "output")]
        file["node"].create_dataset("edges", data=np.array(edges, object), dtype=text)
    found = assembly.assembled(graph.read(path))
    assert [layer.name for layer in found.layers] == ["part.lif", "lif1"]
    for mine, theirs in zip(expected.layers, found.layers, strict=True):
        np.testing.assert_array_equal(mine.synapse.weight, theirs.synapse.weight)


@pytest.mark.parametrize(
    ("found", "dt"),
    [
        (between((5,), affine(), lif()), 1e-4),
        (between((5,), affine(), lif(tau=5e-3, r=5.0)), 1e-3),
        (between((5,), affine(), lif(tau=20.0, r=1.0)), 1.0),
        (between((5,), affine(), integrator(r=1e3)), 1e-3),
        (between((5,), affine(), integrator()), 1.0),
        (between((5,), affine(), lif(r=1.0)), 1e-4),
        (between((5,), affine(), lif(r=1.0), dt=2e-4), 2e-4),
    ],
)
def test_the_time_step_that_a_file_was_written_with(found, dt):
    assert assembly.assembled(found).dt == pytest.approx(dt)
    assert assembly.assembled(found, dt=3e-4).dt == 3e-4


def test_losses_are_told_once(tmp_path):
    path = write(GRAPHS["Linear, LIF"], tmp_path / "x.nir")
    with pytest.warns(SnnkdWarning, match=r"x.nir: real numbers, rounded to integers \(errors up to \d"):
        formats.load(path)


BROKEN = {
    "nothing fires": (between((5,)), "has no neurons"),
    "recurrence": (
        Graph(
            GRAPHS["Linear, LIF"].nodes | {"rec": node("rec", "Linear", weight=weights(3, 3))},
            [*GRAPHS["Linear, LIF"].edges, ("lif", "rec"), ("rec", "lif")],
        ),
        "nodes lif, rec feed each other",
    ),
    "skip": (
        chain(
            node("input", "Input", shape=(3,)),
            affine("a", 3, 3),
            lif("x"),
            affine("b", 3, 3),
            lif("y"),
            node("output", "Output", shape=(3,)),
            extra=(("x", "y"), ("input", "y")),
        ),
        "skip connections",
    ),
    "LI inside": (
        between(
            (5,),
            affine(),
            node("li", "LI", tau=np.full(3, 1e-3), r=np.ones(3), v_leak=np.zeros(3)),
            affine("fc1", 3, 3),
            lif(),
        ),
        "node li (LI): never fires, but fc1 reads it",
    ),
    "tau below dt": (
        between((5,), affine(), lif(tau=1e-5, r=1.0)),
        "node lif (LIF): tau: 1e-05 s is shorter than the time step",
    ),
    "negative r": (between((5,), affine(), lif(r=-1.0)), "node lif (LIF): r: expected values above 0"),
    "threshold below reset": (between((5,), affine(), lif(v_reset=2.0)), "below v_reset"),
    "bias without decay": (between((5,), affine(bias=0.1), cuba(tau_syn=1e15)), "never decays"),
    "weights": (between((5,), affine(inputs=4), lif()), "node fc (Linear): weight: expected (O, 5)"),
    "neurons": (between((5,), affine(), lif(n=(2,))), "fits neither neurons of shape (3,)"),
    "unflattened": (between((2, 6, 6), affine(inputs=72), lif()), "put a Flatten node before it"),
    "border": (
        between((2, 7, 7), pool(), conv("conv", 3, 2, 3, 3, padding=(1, 1)), lif(n=(3, 3, 3))),
        "node conv (Conv2d): cannot be folded",
    ),
    "scale by pixel": (
        between((2, 6, 6), node("scale", "Scale", scale=weights(2, 6, 6)), conv("conv", 3, 2, 3, 3), lif(n=(3, 4, 4))),
        "differs between pixels",
    ),
    "delay of a convolution": (
        between(
            (2, 6, 6), conv("conv", 3, 2, 3, 3), node("wait", "Delay", delay=np.full((3, 4, 4), 1e-4)), lif(n=(3, 4, 4))
        ),
        "only synapses of dense layers have delays",
    ),
    "half a step": (between((5,), affine(), node("wait", "Delay", delay=np.full(3, 1.5e-4)), lif()), "whole steps"),
    "two delays of one connection": (
        chain(
            node("input", "Input", shape=(5,)),
            affine(),
            node("wait", "Delay", delay=np.full(3, 1e-4)),
            lif(),
            node("output", "Output", shape=(3,)),
            extra=(("fc", "lif"),),
        ),
        "a connection with several delays",
    ),
    "partial flatten": (
        between((2, 6, 6), node("flatten", "Flatten", start_dim=0, end_dim=1), affine(inputs=72), lif()),
        "only flattening all",
    ),
    "unknown edge": (
        Graph(between((5,), affine(), lif()).nodes, [("input", "fc"), ("fc", "x")]),
        "names a node that is not there",
    ),
    "two inputs": (
        chain(*between((5,), affine(), lif()).nodes.values(), node("i2", "Input", shape=(5,))),
        "expected one Input node",
    ),
    "beside the way": (
        Graph(GRAPHS["Linear, LIF"].nodes | {"x": lif("x")}, GRAPHS["Linear, LIF"].edges),
        "do not lie on the way",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_refused_by_name(name, tmp_path):
    found, part = BROKEN[name]
    path = write(found, tmp_path / "x.nir")
    with pytest.raises(FormatError) as error:
        formats.load(path)
    assert str(error.value).startswith(f"{path}: ") and part in str(error.value), error.value


def test_unknown_and_incomplete_nodes(tmp_path):
    found = GRAPHS["Linear, LIF"]
    strange = Graph(found.nodes | {"lif": replace(found.nodes["lif"], kind="Izhikevich")}, found.edges)
    with pytest.raises(FormatError, match="'Izhikevich': not a primitive that is read"):
        formats.load(write(strange, tmp_path / "x.nir"))
    values = {key: value for key, value in found.nodes["lif"].values.items() if key != "tau"}
    with pytest.raises(FormatError, match="node/nodes/lif: tau: is missing"):
        formats.load(write(Graph(found.nodes | {"lif": node("lif", "LIF", **values)}, found.edges), tmp_path / "x.nir"))


def _bomb(*nodes, shape=(1 << 24,)):
    return between(shape, *nodes)


BOMBS = {
    "identity": _bomb(lif(n=())),
    "delay": _bomb(node("wait", "Delay", delay=1e-4), lif(n=())),
    "scale": _bomb(node("scale", "Scale", scale=2.0), lif(n=())),
    "padding": _bomb(conv("conv", 2, 1, 1, 1, padding=(1 << 15, 1 << 15)), lif(n=()), shape=(1, 4, 4)),
    "kernel": _bomb(
        conv("conv", 1, 1, 2, 2, dilation=(1 << 11, 1 << 11)),
        conv("conv1", 1, 1, 2, 2, dilation=(1 << 11, 1 << 11)),
        lif(n=()),
        shape=(1, 4096, 4096),
    ),
    "flattened": _bomb(conv("conv", 1, 1, 1, 1), flatten(), affine(inputs=7), lif(), shape=(1, 4096, 4096)),
    "columns": _bomb(affine("a", 1, 5000), affine("b", 5000, 1), lif(n=()), shape=(5000,)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_small_files_fill_no_memory(name, tmp_path):
    """What a small file says can be larger than any memory: it is refused, or never made."""
    with pytest.raises(FormatError, match=r"x\.nir: node"):
        formats.load(write(BOMBS[name], tmp_path / "x.nir"))
