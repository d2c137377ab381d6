"""Writes `clothes.onnx`: says whether the upper half of a crop is light or dark, and how bright it is.

No use but as a pattern: one input of crops, outputs by name; `clothes.yaml` beside it says what they mean.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

weights = {
    "upper": np.array([0, 0, 8, 0], np.int64),
    "end": np.array([2**31, 3, 60, 2**31], np.int64),
    "over": np.array([1, 2, 3], np.int64),
    "limit": np.array(110, np.float32),
    "steepness": np.array([-0.05, 0.05], np.float32),
    "one": np.array([1], np.int64),
}
nodes = [
    helper.make_node("Slice", ["crops", "upper", "end"], ["chest"]),
    helper.make_node("ReduceMean", ["chest", "over"], ["level"], keepdims=0),
    helper.make_node("Unsqueeze", ["level", "one"], ["brightness"]),
    helper.make_node("Sub", ["brightness", "limit"], ["beyond"]),
    helper.make_node("Mul", ["beyond", "steepness"], ["clothes"]),
]
crops = helper.make_tensor_value_info("crops", TensorProto.FLOAT, ["n", 3, 128, 64])
outputs = [
    helper.make_tensor_value_info("clothes", TensorProto.FLOAT, ["n", 2]),
    helper.make_tensor_value_info("brightness", TensorProto.FLOAT, ["n", 1]),
]
constants = [numpy_helper.from_array(value, name) for name, value in weights.items()]
graph = helper.make_graph(nodes, "clothes", [crops], outputs, constants)
save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), "clothes.onnx")
