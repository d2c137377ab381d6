"""OpenVINO: the graph as OpenVINO IR."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

from reidkit.runtime.errors import ExportFailure, MissingDependency
from reidkit.targets.target import NO_OPTIONS, BuildJob, BuiltEngine, Precision, refuse_precision


class OpenVinoTarget:
    """`Target` for Intel's processors and graphics, and for ARM processors."""

    name = "openvino"
    engine = "openvino"
    consumes: Literal["onnx", "exported_program"] = "onnx"
    precisions = frozenset({Precision.FP32})
    options = NO_OPTIONS
    portable = False

    def available(self) -> str | None:
        """Why it cannot build here, None if it can."""
        return None if find_spec("openvino") else "openvino is not installed"

    def build(self, job: BuildJob) -> BuiltEngine:
        """Write ``engine.xml`` and ``engine.bin``, weights in float32; OpenVINO must compile them."""
        refuse_precision(self, job.precision)
        try:
            import openvino
        except ModuleNotFoundError as error:
            raise MissingDependency("openvino", extra="openvino", purpose="Target openvino") from error
        engine_file = job.folder / "engine.xml"
        core = openvino.Core()
        try:
            model = core.read_model(job.onnx_path)  # not convert_model, which reports its use to the vendor
            for index, node in enumerate(model.get_ordered_ops()):
                if node.get_friendly_name() == node.get_name():  # numbered by what this process did before
                    node.set_friendly_name(f"{node.get_type_name()}_{index}")
            openvino.save_model(model, engine_file, compress_to_fp16=False)
            core.compile_model(core.read_model(engine_file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        except RuntimeError as error:
            raise ExportFailure(f"OpenVINO {openvino.__version__} refuses the graph: {error}") from error
        return BuiltEngine(
            engine_file=engine_file.name,
            toolchain={"openvino": openvino.__version__},
            precision_built=job.precision,
        )


TARGET = OpenVinoTarget()
