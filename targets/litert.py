"""LiteRT, once TensorFlow Lite: a ``.tflite`` for phones and small boards, made of the program that torch exports.

program, once a batch size ─ litert-torch ─ signatures that share their weights ─ ai-edge-quantizer ─ engine.tflite
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Literal

from reidkit.runtime.artifact.manifest import Batch
from reidkit.runtime.errors import ExportFailure, InvalidInput, MissingDependency, ReidkitError
from reidkit.targets.target import NO_OPTIONS, BuildJob, BuiltEngine, Precision, refuse_precision

_LIBRARIES = ("litert-torch", "ai-edge-quantizer", "ai-edge-litert")


class LiteRtTarget:
    """`Target` for Android, the Raspberry Pi and other processors that XNNPACK knows.

    LiteRT takes no open batch size: each that is named is a signature of its own (``--batch 1,4,8``), and beside them
    there is always one crop. A single size is but the most crops that the engine is given at once: they are run one by
    one, which takes XNNPACK no longer.

    In fp16 the weights of convolutions and linear layers are float16. XNNPACK makes them float32 again as it opens the
    file and computes in that, so the file is smaller, and the engine as fast.
    """

    name = "litert"
    engine = "litert"
    consumes: Literal["onnx", "exported_program"] = "exported_program"
    precisions = frozenset({Precision.FP32, Precision.FP16})
    by_hint: frozenset[Precision] = frozenset()
    int8_layout = None
    options = NO_OPTIONS
    portable = False

    def available(self) -> str | None:
        """Why it cannot build here, None if it can."""
        return None if find_spec("litert_torch") else "litert-torch is not installed"

    def build(self, job: BuildJob) -> BuiltEngine:
        """Write ``engine.tflite``; LiteRT must open it."""
        refuse_precision(self, job.precision)
        try:
            with _quietly():
                import litert_torch  # noqa: F401
        except ModuleNotFoundError as error:
            raise MissingDependency("litert-torch", extra="litert-export", purpose="Target litert") from error
        if job.program is None:
            raise InvalidInput("target litert is built from a program of torch, none was given")
        engine_file = job.folder / "engine.tflite"
        try:
            with _quietly():
                model = _converted(job.program, job.batch)
                if job.precision is Precision.FP16:
                    model = _halved(model)
                _expect_opens(model)
        except ReidkitError:
            raise
        except Exception as error:  # of torch, jax, MLIR and LiteRT, with no base of their own
            reason = str(error).strip().partition("\n")[0]
            raise ExportFailure(f"LiteRT, by litert-torch {version('litert-torch')}, refuses it: {reason}") from error
        engine_file.write_bytes(model)
        return BuiltEngine(
            engine_file=engine_file.name,
            toolchain={**{library: version(library) for library in _LIBRARIES}, "inference_precision": "f32"},
            precision_built=job.precision,
        )


def signature_sizes(batch: Batch) -> list[int]:
    """The batch sizes that get a signature, ascending."""
    return sorted({1, *batch.buckets}) if batch.dynamic else sorted(batch.buckets)


def _converted(program: Callable[[int], Any], batch: Batch) -> bytes:
    """The float32 model."""
    import litert_torch

    litert_torch.config.show_progress = False
    converter = litert_torch.Converter()
    for size in signature_sizes(batch):
        traced = program(size)
        converter.add_signature(f"batch_{size}", traced.module(), *traced.example_inputs)
    model: bytes = converter.convert().model_content()
    return model


def _halved(model: bytes) -> bytes:
    """The same with weights in float16."""
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import (
        ComputePrecision,
        OpQuantizationConfig,
        TensorDataType,
        TensorQuantizationConfig,
        TFLOperationName,
    )
    from ai_edge_quantizer.quantizer import Quantizer

    quantizer = Quantizer(model)
    quantizer.update_quantization_recipe(
        regex=".*",
        operation_name=TFLOperationName.ALL_SUPPORTED,
        op_config=OpQuantizationConfig(
            weight_tensor_config=TensorQuantizationConfig(num_bits=16, dtype=TensorDataType.FLOAT),
            compute_precision=ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
        algorithm_key=AlgorithmName.FLOAT_CASTING,
    )
    return bytes(quantizer.quantize(enable_progress_bar=False, enable_progress_report=False).quantized_model)


def _expect_opens(model: bytes) -> None:
    from ai_edge_litert.interpreter import Interpreter

    Interpreter(model_content=model).allocate_tensors()


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep the libraries' warnings, logs and progress to themselves. Their errors are exceptions and pass."""
    silenced = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(silenced)


TARGET = LiteRtTarget()
