"""The ONNX models: equal to the definition in every state, standard integer operators only, usable without snnkd."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnkd import engines
from snnkd.analysis.verification import compare
from snnkd.base.errors import LimitError
from snnkd.engines import conformance
from snnkd.engines.reference import definition
from snnkd.formats import netx
from snnkd.ir.network import Cuba, Dense, IntNet
from snnkd.ir.readout import OVER, Readout

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from onnx.reference import ReferenceEvaluator  # noqa: E402

from snnkd.engines import onnx as engine  # noqa: E402
from snnkd.engines.onnx import graph  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
CASES = conformance.networks()


def equals_the_definition(net, events):
    expected = definition.simulate(net, events, states=True)
    found = engine.run(net, events, states=True)
    assert compare(net, expected, found).first_difference is None
    for want, have in zip(expected.layers, found.layers, strict=True):
        np.testing.assert_array_equal(want.v_last, have.v_last)
    return expected


def given(net, events):
    """Events in the type that the models of `net` take."""
    model = graph.step_model(net)
    kind = onnx.helper.tensor_dtype_to_np_dtype(model.graph.input[0].type.tensor_type.elem_type)
    return np.ascontiguousarray(events, dtype=kind)


def session_of(model):
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def called(session, feeds):
    """Outputs by name, of onnxruntime or of onnx' own evaluator."""
    names = getattr(session, "output_names", None) or [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))


def stepped(net, session, events):
    """What a session of the step model gives at each step, its states carried on."""
    states = {
        value.name: np.zeros(
            [len(events), *(one.dim_value for one in value.type.tensor_type.shape.dim[1:])],
            onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type),
        )
        for value in graph.step_model(net).graph.input[1:]
    }
    for t in range(events.shape[1]):
        found = called(session, {"input": events[:, t], **states})
        states = {name: found[f"{name}_next"] for name in states}
        yield found


def check_steps(net, session, events):
    """Spikes, u, v, counts and classes of every step."""
    trace = definition.simulate(net, events, states=True)
    for t, found in enumerate(stepped(net, session, given(net, events))):
        for layer in trace.layers:
            np.testing.assert_array_equal(found[layer.name], layer.spikes[:, t])
            for state, values in layer.states.items():
                np.testing.assert_array_equal(found[f"{layer.name}_{state}_next"], values[:, t])
        last = trace.layers[-1]
        counts = last.spikes[:, : t + 1].sum(axis=1, dtype=int).reshape(len(events), -1)
        np.testing.assert_array_equal(found["counts_next"], counts)
        read = net.readout.read(last.membrane.reshape(*last.membrane.shape[:2], -1))[:, t]
        np.testing.assert_array_equal(found["classes"], net.readout.classify(counts, read))


def check_inference(net, session, events):
    trace = definition.simulate(net, events)
    found = called(session, {"input": given(net, events)})
    for layer, seen in zip(net.layers, trace.layers, strict=True):
        np.testing.assert_array_equal(found[seen.name], seen.spikes)
        np.testing.assert_array_equal(found[f"{seen.name}_{layer.neuron.membrane}"], seen.v_last)
    np.testing.assert_array_equal(found["counts"], trace.counts)
    np.testing.assert_array_equal(found["classes"], trace.classes(net))
    assert found["classes"].dtype == np.int64 and found["counts"].dtype in (np.int32, np.int64)


@pytest.mark.parametrize("name", CASES)
def test_named_cases_in_onnx(name):
    net, events = CASES[name]
    equals_the_definition(net, events)
    equals_the_definition(net, events[:1])
    check_inference(net, session_of(graph.inference_model(net, events.shape[1])), events)


@pytest.mark.parametrize("seed", range(34))
def test_random_networks_in_onnx(seed):
    net = conformance.random_net(seed)
    events = conformance.random_events(np.random.default_rng(seed), net, 3, 12, activity=0.4)
    equals_the_definition(net, events)
    check_steps(net, session_of(graph.step_model(net)), events[:2, :7])


@pytest.mark.parametrize("name", CASES)
def test_steps_are_those_of_the_inference(name):
    net, events = CASES[name]
    check_steps(net, session_of(graph.step_model(net)), events)


@pytest.mark.parametrize("name", CASES)
def test_another_runtime_gives_the_same(name):
    """ONNX' own evaluator in numpy: nothing rests on what onnxruntime makes of an operator."""
    net, events = CASES[name]
    check_inference(net, ReferenceEvaluator(graph.inference_model(net, events.shape[1])), events)
    check_steps(net, ReferenceEvaluator(graph.step_model(net)), events[:, :5])


def few_spikes(readout, outputs=6, samples=40):
    """A network whose outputs spike so seldom that their counts tie, and its events."""
    random = np.random.default_rng(3)
    layer = conformance.random_dense(random, (12,), outputs, decays=(500, 900), thresholds=(60, 60))
    return IntNet((12,), (layer,), readout=readout), (random.random((samples, 4, 12)) < 0.3).astype(np.uint8)


@pytest.mark.parametrize("population", [1, 2, 3])
@pytest.mark.parametrize(
    ("kind", "ties", "over"),
    [("count", "first", "last"), ("count", "membrane", "last"), *(("membrane", "first", o) for o in OVER)],
)
def test_readouts(kind, ties, over, population):
    net, events = few_spikes(Readout(kind, ties, population, over))
    check_inference(net, session_of(graph.inference_model(net, events.shape[1])), events)
    check_steps(net, session_of(graph.step_model(net)), events)
    trace = definition.simulate(net, events, states=True)
    np.testing.assert_array_equal(engine.run(net, events).classes(net), trace.classes(net))
    scores = net.readout.scores(trace.counts, net.readout.read(trace.layers[0].v)[:, -1])
    tied = (scores == scores.max(axis=1, keepdims=True)).sum(axis=1) > 1
    assert (tied.any() or kind == "membrane") and len(set(trace.classes(net))) > 1


def test_classes_where_v_ties_too():
    """Each output is there twice: the first of them."""
    net, events = few_spikes(Readout("count", "membrane"))
    (layer,) = net.layers
    twice = replace(net, layers=(replace(layer, weight=layer.weight[[0, 1, 2, 2, 1, 0]]),))
    check_inference(twice, session_of(graph.inference_model(twice, 4)), events)
    assert len({*definition.simulate(twice, events).classes(twice)} & {0, 1, 2}) > 1


def shifted(weight_exp, *, delays=0, bits=0, largest=254, decay=300):
    random = np.random.default_rng(weight_exp % 97)
    layer = conformance.random_dense(random, (20,), 8, delays=delays, largest=largest, decays=(decay, decay))
    threshold = np.array(100, np.int32)
    layer = replace(layer, weight_exp=weight_exp, neuron=replace(layer.neuron, threshold=threshold))
    net = IntNet((20,), (layer,), message_bits=bits)
    events = conformance.random_events(random, net, 3, 8)
    return net, events * random.choice([-1, 1], events.shape).astype(np.int32) if bits else events


@pytest.mark.parametrize("delays", [0, 3, 62])
@pytest.mark.parametrize("weight_exp", [-70, -33, -7, -1, 1, 5, 17, 26, 31, 80])
def test_weight_exponents_of_either_sign(weight_exp, delays):
    """Sums that round down, and that wrap in 32 bits once shifted."""
    for bits in (0, 9):
        equals_the_definition(*shifted(weight_exp, delays=delays, bits=bits))


def test_sums_beyond_32_bits():
    """Those wrap before a negative exponent rounds them, of each delay by itself."""
    for weight_exp in (0, -9):
        for delays in (0, 5):
            trace = equals_the_definition(*shifted(weight_exp, bits=31, delays=delays))
            assert trace.layers[0].overflows


def test_sums_beyond_64_bits_are_refused():
    net, events = shifted(0, bits=31, largest=1 << 30)
    with pytest.raises(LimitError, match=r"layer0: sums of up to .* fewer message_bits"):
        engine.run(net, events)
    with pytest.raises(LimitError):
        graph.step_model(net)


def test_u_at_its_limits_is_corrected_once():
    """u is 2^23, one more, -2^23, one more than that, and far out of range on both sides."""
    keeps = Cuba(*(np.array(value, np.int32) for value in (0, 4096, 1 << 17)))
    weight = np.array(
        [[1 << 17], [(1 << 17) + 1], [-(1 << 17)], [1 - (1 << 17)], [(1 << 25) - 1], [-(1 << 25)]], np.int32
    )
    net = IntNet((1,), (Dense(weight, keeps),))
    trace = equals_the_definition(net, np.ones((1, 6, 1), np.uint8))
    assert (trace.layers[0].u[0, 0, :3] == (1 << 23, 64 - (1 << 23), 1 << 23)).all()
    assert np.abs(trace.layers[0].u).max() > 1 << 24


def test_blocks_of_samples():
    net, events = CASES["conv"]
    events = np.concatenate([events] * 3)
    model = graph.inference_model(net, events.shape[1], True).SerializeToString()
    whole = engine.run_model(model, net, events, states=True)
    five = 5 * engine._bytes_of_a_sample(net, events.shape[1], True)
    parts = engine.run_model(model, net, events, states=True, most=five)
    assert whole.samples == 12 and compare(net, whole, parts).equal


def models(net):
    return graph.step_model(net), graph.inference_model(net, 5), graph.inference_model(net, 5, True)


@pytest.mark.parametrize("name", CASES)
def test_models_are_valid_and_integer(name):
    net, _ = CASES[name]
    for model in models(net):
        onnx.checker.check_model(model, full_check=True)
        assert [(one.domain, one.version) for one in model.opset_import] == [("", 13)] and model.ir_version == 7
        floats = {getattr(onnx.TensorProto, kind) for kind in ("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16")}
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
        bodies = [one.g for node in inferred.node for one in node.attribute if one.name == "body"]
        for part in (inferred, *bodies):
            assert not {value.type.tensor_type.elem_type for value in (*part.value_info, *part.output)} & floats
            assert not {node.domain for node in part.node} - {""}
            assert not {tensor.data_type for tensor in part.initializer} & floats
            assert any(value.type.tensor_type.elem_type for value in part.value_info)
        shapes = [value.type.tensor_type.shape.dim[0].dim_param for value in (*inferred.input, *inferred.output)]
        assert set(shapes) == {"N"}


def test_two_calls_give_the_same_bytes():
    net, _ = CASES["delays"]
    again, _ = conformance.networks()["delays"]
    for one, other in zip(models(net), models(again), strict=True):
        assert one.SerializeToString() == other.SerializeToString() == one.SerializeToString(deterministic=True)


def test_weights_are_small():
    """Trained weights take 8 bits, those of all delays together too, and the columns of a convolution no table."""
    random = np.random.default_rng(0)
    conv = conformance.random_conv(random, (16, 24, 24), 16, padding=(1, 1), largest=254)
    dense = conformance.random_dense(random, conv.shape, 10, delays=62, largest=254)
    for model in models(IntNet((16, 24, 24), (conv, dense))):
        kinds = {one.name: one.data_type for one in model.graph.initializer}
        assert {kinds[f"layer{k}_weight"] for k in (0, 1)} | {kinds["layer1_delay"]} == {onnx.TensorProto.INT8}
        assert model.ByteSize() < conv.weight.size + 2 * dense.weight.size + 20_000


def test_files_say_what_they_are():
    net, _ = CASES["conv"]
    net = replace(net, steps=9, encoding={"kind": "rate", "steps": 9}, readout=Readout("count", "membrane"))
    step, inference, _ = models(net)
    told = {one.key: json.loads(one.value) for one in inference.metadata_props}
    assert told["readout"] == {"kind": "count", "ties": "membrane", "population": 1}
    assert (told["steps"], told["encoding"], told["input_shape"]) == (5, {"kind": "rate", "steps": 9}, [2, 9, 7])
    assert json.loads({one.key: one.value for one in step.metadata_props}["steps"]) == 9
    assert "input (N, 2, 9, 7): events 0 or 1, uint8" in step.graph.doc_string
    assert "over 5 time steps" in inference.graph.doc_string and "(N, 5, 2, 9, 7)" in inference.graph.doc_string
    assert inference.producer_name == "snnkd"


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert str(engine.available()).endswith("pip install 'snnkd[onnx]'")
    with pytest.raises(LimitError, match="engine onnx: onnxruntime is not installed"):
        engine.run(*CASES["single"])


def test_the_scripts_need_no_snnkd(tmp_path):
    """The two scripts of docs/onnx.md, as they are, where snnkd cannot be imported."""
    net, _ = CASES["graded conv"]
    net = replace(net, steps=6)
    events = conformance.random_events(np.random.default_rng(1), net, 5, 6)
    (tmp_path / "inference.onnx").write_bytes(graph.inference_model(net, 6).SerializeToString())
    (tmp_path / "step.onnx").write_bytes(graph.step_model(net).SerializeToString())
    np.save(tmp_path / "events.npy", events)
    page = (ROOT / "docs" / "onnx.md").read_text()
    classify, steps = (one for one in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "snnkd" not in one)
    assert len(classify.strip().splitlines()) <= 10
    script = "\n".join(("import sys; sys.modules['snnkd'] = None", classify, "print('then')", steps))
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    trace = definition.simulate(net, events)
    expected = f"{trace.classes(net)} {trace.counts}"
    assert done.stdout == f"{expected}\nthen\n{expected}\n"


def test_on_the_command_line(tmp_path, call):
    net, events = CASES["conv"]
    netx.save(net, tmp_path / "x.net")
    np.save(tmp_path / "events.npy", events)

    def printed_by(*words):
        status, output, _ = call(*words, "--input", tmp_path / "events.npy", "--json")
        return status, json.loads(output)

    status, printed = printed_by("verify", tmp_path / "x.net", "--against", "onnx")
    assert (status, printed["equal"], printed["against"]) == (0, True, "onnx") and printed["compared"]["states"]
    out = tmp_path / "trace.npz"
    status, printed = printed_by("simulate", tmp_path / "x.net", "--engine", "onnx", "--out", out, "--states")
    assert (status, printed["layers"][0]["overflows"]) == (0, -1)
    np.testing.assert_array_equal(np.load(out)["layer1_u"], definition.simulate(net, events, True).layers[1].u)


def test_it_is_an_engine():
    assert engines.get("onnx") is engine and engine.available() is None
