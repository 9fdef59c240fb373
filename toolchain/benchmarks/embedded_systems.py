"""What embedded.py compares: snnkd's C, and an ANN of the same layers as emlearn's C and in ONNX Runtime."""

from __future__ import annotations

import importlib
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from embedded_builds import Program, part
from snnkd import targets
from snnkd.analysis import early_exit, evaluation
from snnkd.base.errors import LimitError
from snnkd.data.datasets import Split
from snnkd.engines import c99
from snnkd.engines.c99.source import numbers
from snnkd.engines.c99.weights import channels_last
from snnkd.ir import trace
from snnkd.ir.network import Dense, IntNet

EPOCHS = 10
CALIBRATION = 500  # training images that ONNX Runtime's quantization sees
_OPSET = 13


# snnkd


@dataclass(frozen=True)
class Expected:
    """What the integer network says of N samples: classes (N,), and with its rule for early exit, if it has one.

    added: mean weights that the runtime adds or multiplies, event-driven, with early exit, and visiting every input.
    """

    classes: np.ndarray
    early: np.ndarray | None
    added: float
    added_early: float
    added_dense: int
    steps_early: float


def ours(net: IntNet) -> dict[str, Program]:
    """Programs by name. Raises LimitError where the runtime has no encoder for the network."""
    if c99.plan(net).encoder is None:
        raise LimitError(f"the C99 runtime has no encoder {net.encoding}: nothing to begin with an image")
    target = targets.load("c99")
    files = c99.runtime_files(target) | c99.model_files(net, target)
    files["subject_snnkd.c"] = part("subject_snnkd.c")
    sources = ("subject_snnkd.c", "snnkd.c", "snnkd_encoder.c", "model.c")
    programs = {"snnkd": Program(files, sources)}
    if net.early_exit is not None:
        programs["snnkd, early exit"] = Program(files, sources, ("-DSUBJECT_EXITS",))
    return programs | {"snnkd, dense variant": Program(files, sources, ("-DSNNKD_DENSE",))}


def products(net: IntNet) -> Program | None:
    """The bare products of a network of dense layers in 8 bits; None for other networks.

    Weights lie by output, rows filled up with zeros to a multiple of four outputs.
    """
    parts = c99.plan(net).parts
    stored = [
        layer.stored for layer in parts if isinstance(layer.layer, Dense) and layer.delays is None and layer.stored
    ]
    sizes = [weights.values.shape for weights in stored]
    if len(stored) < len(parts) or any(weights.bits > 8 for weights in stored) or any(rows % 4 for rows, _ in sizes):
        return None
    rows = [np.pad(weights.values.T, ((0, -weights.values.shape[1] % 4), (0, 0))) for weights in stored]
    widest = max(inputs for inputs, _ in sizes)
    header = [
        "#include <stdint.h>",
        f"#define PRODUCTS_STEPS {net.steps}U",
        f"#define PRODUCTS_LAYERS {len(rows)}U",
        f"#define PRODUCTS_WIDEST {widest}U",
        "typedef struct { const int8_t *weights; uint32_t inputs; uint32_t outputs; } products_layer;",
        f"static const uint8_t products_spikes[{widest}] = {{1}};",
    ]
    for k, values in enumerate(rows):
        header.append(f"static const int8_t products{k}[] = {{\n{numbers(values.reshape(-1).tolist())}}};")
    layers = ", ".join(f"{{products{k}, {values.shape[1]}U, {values.shape[0]}U}}" for k, values in enumerate(rows))
    header.append(f"static const products_layer products_layers[] = {{{layers}}};\n")
    files = {"products.h": "\n".join(header).encode(), "subject_products.c": part("subject_products.c")}
    return Program(files, ("subject_products.c",))


def expected(net: IntNet, events: np.ndarray) -> Expected:
    """Of events (N, T, *input_shape), by the fast engine."""
    kept = c99.plan(net).keeps_input
    classes, early, ends = list[np.ndarray](), list[np.ndarray](), list[np.ndarray]()
    added = added_early = 0
    for block in evaluation.in_blocks(events, evaluation.BLOCK):
        run = evaluation.simulate(net, block)
        course = evaluation.course(net, run)
        classes.append(course.classes[:, -1])
        added += _added(net, run, kept)
        if net.early_exit is not None:
            stopped, last = early_exit.stops(course, net.early_exit)
            early.append(stopped)
            ends.append(last)
            added_early += _added(net, early_exit.cut(run, last), kept)
    first, *deeper = (int(trace.fan_out(layer, shape)[0].sum()) for _, shape, layer in net.inputs())
    steps = events.shape[1]
    return Expected(
        np.concatenate(classes),
        np.concatenate(early) if early else None,
        added / len(events),
        added_early / len(events),
        first * (1 if kept else steps) + sum(deeper) * steps,
        float(np.concatenate(ends).mean()) if ends else float(steps),
    )


def _added(net: IntNet, run: trace.SpikeTrace, kept: bool) -> int:
    """Synaptic operations; those of an input that is kept, at the first step only."""
    _, first, *deeper = trace.count(net, run)
    if kept:
        first = trace.count(net, early_exit.cut(run, np.ones(run.samples, np.int64)))[1]
    return first.synops + sum(row.synops for row in deeper)


def pixels(images: np.ndarray) -> np.ndarray:
    """(N, bytes) uint8, channels last, of images (N, C, H, W)."""
    return channels_last(images, 1).reshape(len(images), -1)


# The ANN


@dataclass(frozen=True, eq=False)
class Ann:
    """Weights (inputs, outputs) and biases (outputs,) of dense layers, float32, with ReLU between them."""

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]

    @property
    def sizes(self) -> list[int]:
        return [len(weight) for weight in self.weights] + [len(self.biases[-1])]

    @property
    def multiplied(self) -> int:
        return sum(weight.size for weight in self.weights)


def no_ann(net: IntNet, classes: int) -> str | None:
    """Why the peers have no ANN of the network's size, None where they have."""
    if not all(isinstance(layer, Dense) for layer in net.layers):
        return "the network has layers that are not dense, and emlearn has none but dense ones"
    if len(net.layers) < 2 or classes < 3:
        return "emlearn needs a hidden layer, and this ANN three classes"
    return None


def train(net: IntNet, split: Split, seed: int) -> Ann:
    """An ANN with the network's hidden layers, trained on the same images."""
    hidden = [layer.shape[0] for layer in net.layers[:-1]]
    settings: dict[str, Any] = {"batch_size": 128, "max_iter": EPOCHS, "random_state": seed}
    model = MLPClassifier(hidden, **settings)
    with warnings.catch_warnings(), threadpool_limits(1):  # sums of several threads would depend on their number
        warnings.simplefilter("ignore", ConvergenceWarning)  # the epochs are what is wanted
        model.fit(pixels(split.pixels).astype(np.float32) / 255, split.labels)
    return Ann(
        *(tuple(np.asarray(values, np.float32) for values in arrays) for arrays in (model.coefs_, model.intercepts_))
    )


def no_emlearn() -> str | None:
    """None where it is installed, else what to do."""
    try:
        importlib.import_module("emlearn")
    except ImportError:
        return "emlearn is not installed: uv sync --group peers"
    return None


def emlearn(ann: Ann) -> Program:
    """Its code for networks in floats, in the form that it makes by default ('loadable')."""
    net = importlib.import_module("emlearn.net")
    common = importlib.import_module("emlearn.common")
    activations = ["relu"] * (len(ann.weights) - 1) + ["softmax"]
    code = net.c_generate_net_loadable(activations, ann.weights, ann.biases, prefix="ann")
    files = {"ann.h": code.encode(), "subject_emlearn.c": part("subject_emlearn.c")}
    defines = (f"-DSUBJECT_INPUTS={ann.sizes[0]}",)
    return Program(files, ("subject_emlearn.c",), defines, (Path(common.get_include_dir()),), floats=True)


# ONNX Runtime


def float_model(ann: Ann) -> bytes:
    """ONNX from `image` (N, inputs) uint8 to `class` (N,), in float32."""
    constants = {"scale": np.array(1 / 255, np.float32)}
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["pixels", "scale"], ["x0"]),
    ]
    last = len(ann.weights) - 1
    for k, (weight, bias) in enumerate(zip(ann.weights, ann.biases, strict=True)):
        constants |= {f"w{k}": weight, f"b{k}": bias}
        nodes.append(helper.make_node("Gemm", [f"x{k}", f"w{k}", f"b{k}"], [f"s{k}"]))
        if k < last:
            nodes.append(helper.make_node("Relu", [f"s{k}"], [f"x{k + 1}"]))
    nodes.append(helper.make_node("ArgMax", [f"s{last}"], ["class"], axis=1, keepdims=0))
    return _model(nodes, constants, ann.sizes[0], helper.make_tensor_value_info("class", TensorProto.INT64, ["N"]))


def empty_model(inputs: int) -> bytes:
    """ONNX that gives its image back: what a call costs."""
    nodes = [helper.make_node("Identity", ["image"], ["same"])]
    return _model(nodes, {}, inputs, helper.make_tensor_value_info("same", TensorProto.UINT8, ["N", inputs]))


def _model(nodes: list, constants: dict[str, np.ndarray], inputs: int, output: onnx.ValueInfoProto) -> bytes:
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", inputs])
    initial = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "ann", [image], [output], initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


class _Calibration(quantization.CalibrationDataReader):
    def __init__(self, images: np.ndarray):
        self._rows: Iterator[np.ndarray] = iter(images[:, None])

    def get_next(self) -> dict[str, np.ndarray] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        row = next(self._rows, None)
        return None if row is None else {"image": row}


def int8_model(model: bytes, images: np.ndarray) -> bytes:
    """`model` with products of 8 bit, by ONNX Runtime's static quantization; images (N, inputs) of the training."""
    with tempfile.TemporaryDirectory(prefix="snnkd-embedded-") as folder:
        source, result = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        source.write_bytes(model)
        with np.errstate(all="ignore"):  # tiny weights that become 0 are no error
            quantization.quantize_static(
                source,
                result,
                _Calibration(images[:CALIBRATION]),
                op_types_to_quantize=["Gemm"],
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
        return result.read_bytes()


def session(model: bytes) -> onnxruntime.InferenceSession:
    """One thread on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
