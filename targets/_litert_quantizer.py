"""A float32 ``.tflite`` in fewer bits, by ai-edge-quantizer: weights in float16, weights and activations in integers.

The model has signatures named `signature` of its batch sizes, which share their weights; so has the result.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.box.processor import usable_processors
from reidkit.runtime.errors import ExportFailure

_NOTHING = 1e-6
_IN_FLOAT = ("ADD", "MUL", "MEAN", "LOGISTIC", "OUTPUT")
"""Next to no work, and whoever rounds a sum rounds what all layers add to."""


def signature(size: int) -> str:
    """Name of the signature for so many crops."""
    return f"batch_{size}"


def halved(model: bytes) -> bytes:
    """The model with the weights of its products in float16; whoever opens it makes them float32 again."""
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import (
        ComputePrecision,
        OpQuantizationConfig,
        TensorDataType,
        TensorQuantizationConfig,
        TFLOperationName,
    )
    from ai_edge_quantizer.recipe_manager import RecipeManager

    recipes = RecipeManager()
    recipes.add_quantization_config(
        ".*",
        TFLOperationName.ALL_SUPPORTED,
        OpQuantizationConfig(
            weight_tensor_config=TensorQuantizationConfig(num_bits=16, dtype=TensorDataType.FLOAT),
            compute_precision=ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
        AlgorithmName.FLOAT_CASTING,
    )
    return _rewritten(model, recipes, ranges=None)


def dynamic_int8(model: bytes) -> bytes:
    """The model with 8-bit weights; activations become integers as it runs, each by its own largest value."""
    from ai_edge_quantizer import recipe
    from ai_edge_quantizer.recipe_manager import RecipeManager

    recipes = RecipeManager()
    recipes.load_quantization_recipe(recipe.dynamic_wi8_afp32())
    return _rewritten(model, recipes, ranges=None)


def full_int8(model: bytes, crops: NDArray[np.uint8], *, size: int) -> bytes:
    """The model with 8-bit weights and activations; sums, gates and the embeddings are float32.

    Scales span the smallest to the largest value that was seen. The quantizer's own choice, a moving average of each
    crop's extremes, cuts too much off: it leaves an OSNet x0.25 a median cosine of 0.946, the extremes 0.993.

    Args:
        model: in float32.
        crops: (N, 3, H, W) uint8, to observe activations on.
        size: of the signature to observe them in.

    Raises:
        ExportFailure: the signatures are not of one make, so that what was seen in one says nothing of another.
    """
    from ai_edge_quantizer import recipe
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.calibrator import Calibrator
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.recipe_manager import RecipeManager
    from ai_edge_quantizer.utils.qsv_utils import min_max_update

    recipes = RecipeManager()
    recipes.load_quantization_recipe(recipe.static_wi8_ai8())
    for operator in _IN_FLOAT:
        recipes.add_quantization_config(".*", TFLOperationName[operator], algorithm_key=AlgorithmName.NO_QUANTIZE)
    for name in _of_one_pixel(model):
        recipes.add_quantization_config(
            f"^{re.escape(name)}", TFLOperationName.CONV_2D, algorithm_key=AlgorithmName.NO_QUANTIZE
        )
    calibrator = Calibrator(model, num_threads=usable_processors(), qsv_update_func=min_max_update)
    whole = np.concatenate([crops, crops[: -len(crops) % size]])  # a fixed batch is filled up with the first crops
    batches = [{"args_0": whole[start : start + size]} for start in range(0, len(whole), size)]
    calibrator.calibrate({signature(size): batches}, recipes)
    ranges = {name: _scalable(seen) for name, seen in calibrator.get_model_qsvs().items()}
    return _rewritten(model, recipes, ranges=_for_every_signature(model, ranges, size))


def _of_one_pixel(model: bytes) -> list[str]:
    """Names of what convolutions give that see a single pixel: a gate's, which weigh whole channels."""
    from ai_edge_quantizer.utils.tfl_flatbuffer_utils import TFL_OP_CODE_TO_NAME, read_model

    whole = read_model(model)
    kinds = [TFL_OP_CODE_TO_NAME.get(code.builtinCode) for code in whole.operatorCodes]
    given = [
        graph.tensors[operator.outputs[0]]
        for graph in whole.subgraphs
        for operator in graph.operators
        if kinds[operator.opcodeIndex] == "CONV_2D"
    ]
    return [tensor.name.decode() for tensor in given if tuple(tensor.shape[1:3]) == (1, 1)]


def _scalable(seen: dict[str, Any]) -> dict[str, Any]:
    """The extremes of a tensor; of one that was zero on all crops, a gate that never opened, 0 and 1.

    XNNPACK (ai-edge-litert 2.3) refuses a whole model for a scale that is next to nothing beside another.
    """
    if max(np.abs(seen["min"]).max(), np.abs(seen["max"]).max()) > _NOTHING:
        return seen
    return {**seen, "min": np.zeros_like(seen["min"]), "max": np.ones_like(seen["max"])}


def _for_every_signature(model: bytes, ranges: dict[str, Any], size: int) -> dict[str, Any]:
    """The ranges seen in one signature, given to the same tensors of the others: they share weights, hence scales."""
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer.utils.tfl_interpreter_utils import get_signature_main_subgraph_index

    interpreter = Interpreter(model_content=model)
    tensors = {
        name: [
            tensor["name"]
            for tensor in interpreter.get_tensor_details(get_signature_main_subgraph_index(interpreter, name))
        ]
        for name in interpreter.get_signature_list()
    }
    seen = tensors[signature(size)]
    if any(len(names) != len(seen) for names in tensors.values()):
        raise ExportFailure(
            "LiteRT made another network of each batch size, which cannot share their int8 scales",
            remedy="export with a single --batch",
        )
    return {
        name: ranges[own] for names in tensors.values() for name, own in zip(names, seen, strict=True) if own in ranges
    }


def _rewritten(model: bytes, recipes: Any, *, ranges: dict[str, Any] | None) -> bytes:
    from ai_edge_quantizer.quantizer import Quantizer

    quantizer = Quantizer(model, recipes.get_quantization_recipe())
    result = quantizer.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)
