"""Anybody's ONNX classifier: which input and output it is, how it is run, and what about a file is refused."""

from pathlib import Path

import numpy as np
import pytest

from snnkd.base.errors import FormatError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from snnkd.engines.onnx.classifier import Classifier  # noqa: E402

WEIGHT = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
SAMPLES = np.random.default_rng(1).normal(size=(7, 3, 2, 2)).astype(np.float32)
EXPECTED = SAMPLES.reshape(7, -1) @ WEIGHT


def write(path: Path, shape=("n", 3, 2, 2), kind=TensorProto.FLOAT, outputs=("logits",), inputs=1, **save) -> Path:
    """A linear classifier: label (its argmax), relu and logits are values of its graph."""
    nodes = [
        helper.make_node("Flatten", ["x0"], ["flat"]),
        helper.make_node("Cast", ["flat"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["floats", "w"], ["logits"]),
        helper.make_node("Relu", ["logits"], ["relu"]),
        helper.make_node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0),
    ]
    known = {"logits": (TensorProto.FLOAT, ["n", 3]), "label": (TensorProto.INT64, ["n"])}
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info(f"x{i}", kind, list(shape)) for i in range(inputs)],
        [helper.make_tensor_value_info(name, *known[name]) for name in outputs],
        [numpy_helper.from_array(WEIGHT, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path), **save)
    return path


@pytest.mark.parametrize("shape", [("n", 3, 2, 2), ("n", 12), (None, None), ("n", 3, "h", "w"), (1, 3, 2, 2), (4, 12)])
def test_inputs_of_any_batch_flat_or_not(tmp_path: Path, shape: tuple) -> None:
    answers, features = Classifier(write(tmp_path / "a.onnx", shape))(SAMPLES, ["relu"])
    np.testing.assert_allclose(answers, EXPECTED, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(features["relu"], answers.clip(0))


def test_the_output_is_the_first_of_floats_and_inputs_may_be_doubles(tmp_path: Path) -> None:
    classifier = Classifier(write(tmp_path / "a.onnx", kind=TensorProto.DOUBLE, outputs=("label", "logits")))
    np.testing.assert_allclose(classifier(SAMPLES)[0], EXPECTED, rtol=1e-5, atol=1e-6)
    assert classifier.parameters() == WEIGHT.size


def test_weights_in_a_file_beside_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.onnx", save_as_external_data=True, location="a.onnx.data", size_threshold=0)
    assert (tmp_path / "a.onnx.data").stat().st_size >= WEIGHT.nbytes
    classifier = Classifier(path)
    np.testing.assert_allclose(classifier(SAMPLES, ["relu"])[0], EXPECTED, rtol=1e-5, atol=1e-6)
    assert classifier.parameters() == WEIGHT.size
    (tmp_path / "a.onnx.data").unlink()
    with pytest.raises(FormatError, match=r"a.onnx: onnxruntime refuses the model"):
        Classifier(path)


def test_what_is_no_classifier_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    with pytest.raises(FormatError, match=r"a.onnx: expected one input, of floats, found x0: tensor\(int32\)"):
        Classifier(write(path, kind=TensorProto.INT32))
    with pytest.raises(FormatError, match=r"expected one input, of floats, found x0: tensor\(float\), x1: tensor"):
        Classifier(write(path, inputs=2))
    with pytest.raises(FormatError, match=r"expected an output of floats \(N, classes\), found label: tensor\(int64\)"):
        Classifier(write(path, outputs=("label",)))
    path.write_bytes(b"no graph")
    with pytest.raises(FormatError, match=r"a.onnx: is text: expected an ONNX model"):
        Classifier(path)


def test_samples_and_layers_that_do_not_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"its input 'x0' is \('n', 2, 2, 3\), and it would get \('N', 3, 2, 2\)"):
        Classifier(write(tmp_path / "a.onnx", ("n", 2, 2, 3)))(SAMPLES)
    with pytest.raises(FormatError, match=r"no value of its graph is called 'rellu': did you mean 'relu'"):
        Classifier(write(tmp_path / "a.onnx"))(SAMPLES, ["rellu"])
    with pytest.raises(FormatError, match=r"onnxruntime fails on samples \(7, 5\)"):
        Classifier(write(tmp_path / "a.onnx", ("n", "features")))(SAMPLES.reshape(7, -1)[:, :5])
