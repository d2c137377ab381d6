"""Writes `ready.onnx`: a network from elsewhere, for one crop at a time, in an old opset."""

import numpy as np
import onnx

model = onnx.parser.parse_model("""
    <ir_version: 7, opset_import: ["" : 11]>
    ready (float[1, 3, 256, 128] pixels) => (float[1, 24] embedding)
    <float[24, 3, 8, 8] kernel, int64[2] shape = {1, 24}>
    {
        edges = Conv <strides = [8, 8]> (pixels, kernel)
        found = Relu (edges)
        mean = GlobalAveragePool (found)
        embedding = Reshape (mean, shape)
    }
""")
kernel = np.random.default_rng(0).normal(0, 0.1, (24, 3, 8, 8)).astype(np.float32)
model.graph.initializer.append(onnx.numpy_helper.from_array(kernel, "kernel"))
onnx.save(model, "ready.onnx")
