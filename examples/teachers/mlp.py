"""A perceptron of scikit-learn, trained on 8x8 digits and written as ONNX: python mlp.py writes mlp.onnx.

Its input (N, 64) is flat; its output has the logits (N, 10).
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.neural_network import MLPClassifier

from snnkd.data import datasets

if __name__ == "__main__":
    train = datasets.load("digits").train
    model = MLPClassifier((128,), max_iter=60, random_state=0, early_stopping=False)
    model.fit(train.images.reshape(len(train), -1) / np.float32(255), train.labels)

    weights = {f"w{i}": w for i, w in enumerate(model.coefs_)} | {f"b{i}": b for i, b in enumerate(model.intercepts_)}
    nodes = [
        helper.make_node("Gemm", ["x", "w0", "b0"], ["sums"]),
        helper.make_node("Relu", ["sums"], ["hidden"]),
        helper.make_node("Gemm", ["hidden", "w1", "b1"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), "mlp.onnx")
