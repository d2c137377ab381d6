"""ONNX Runtime: the checked graph itself is the engine file."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from typing import Literal

from reidkit.calibration.quantization import Layout
from reidkit.runtime.errors import ExportFailure
from reidkit.runtime.inference_libraries import import_onnxruntime
from reidkit.targets.target import NO_OPTIONS, BuildJob, BuiltEngine, Precision, refuse_precision


class OnnxRuntimeTarget:
    """`Target` for ONNX Runtime: the processor, or whatever execution provider the engine is opened with.

    In fp16 the processor's provider keeps weights and activations in half precision and computes with them in float32,
    where it has no kernel of half precision: it is smaller there, and not faster. In int8 activations are u8, for which
    x86 has instructions; on processors without VNNI sums of two products may saturate (its own limit, of 16 bits).
    """

    name = "onnxruntime"
    engine = "onnxruntime"
    consumes: Literal["onnx", "exported_program"] = "onnx"
    precisions = frozenset({Precision.FP32, Precision.FP16, Precision.INT8})
    by_hint: frozenset[Precision] = frozenset()
    int8_layout: Layout | None = Layout.UNSIGNED
    calibrates = True
    options = NO_OPTIONS
    most_batch_sizes: int | None = None
    portable = False

    def available(self) -> str | None:
        """Why it cannot build here, None if it can."""
        return None if find_spec("onnxruntime") else "onnxruntime is not installed"

    def build(self, job: BuildJob) -> BuiltEngine:
        """Copy the graph as ``engine.onnx``; ONNX Runtime must open it."""
        refuse_precision(self, job.precision)
        onnxruntime = import_onnxruntime("Target onnxruntime")
        engine_file = job.folder / "engine.onnx"
        shutil.copyfile(job.onnx_path, engine_file)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        # As the engine does it: what the graph needs must lie beside it.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(job.folder))
        try:
            onnxruntime.InferenceSession(engine_file.read_bytes(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no base of their own
            raise ExportFailure(f"ONNX Runtime {onnxruntime.__version__} refuses the graph: {error}") from error
        return BuiltEngine(
            engine_file=engine_file.name,
            toolchain={"onnxruntime": onnxruntime.__version__},
            precision_built=job.precision,
        )


TARGET = OnnxRuntimeTarget()
