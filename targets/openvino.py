"""OpenVINO: the graph as OpenVINO IR."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from types import MappingProxyType
from typing import Literal

from reidkit.calibration.quantization import Layout
from reidkit.runtime.engines.openvino import LATENCY, PERFORMANCE, THROUGHPUT, precision_hint
from reidkit.runtime.errors import ExportFailure, TargetUnavailable
from reidkit.runtime.inference_libraries import import_openvino, shared_core
from reidkit.targets.target import BuildJob, BuiltEngine, Option, Precision, read_options, refuse_precision

_DEVICE = "CPU"


def _performance(text: str) -> str:
    if text not in (LATENCY, THROUGHPUT):
        raise ValueError(text)
    return text


class OpenVinoTarget:
    """`Target` for Intel's processors and graphics, and for ARM processors.

    An artifact in fp16 is typed so, and half the size; a device computes it in half precision if it can, else in
    float32, as most processors do. The toolchain's `inference_precision` says what this machine's processor did, on
    which it was judged. In bf16 the graph is in float32 and the processor multiplies in bfloat16, which it has to have.
    In int8 it runs our Q/DQ graph, u8 behind a ReLU and s8 elsewhere; what is not quantised is computed in float32.
    """

    name = "openvino"
    engine = "openvino"
    consumes: Literal["onnx", "exported_program"] = "onnx"
    precisions = frozenset({Precision.FP32, Precision.FP16, Precision.BF16, Precision.INT8})
    by_hint = frozenset({Precision.BF16})
    int8_layout: Layout | None = Layout.HALVES
    calibrates = True
    options: Mapping[str, Option] = MappingProxyType(
        {
            PERFORMANCE: Option(
                about=f"{LATENCY}, the default: all threads on one batch; {THROUGHPUT}: a part of it on each of the "
                "processor's threads, other devices as before",
                read=_performance,
            )
        }
    )
    most_batch_sizes: int | None = None
    portable = False

    def available(self) -> str | None:
        """Why it cannot build here, None if it can."""
        return None if find_spec("openvino") else "openvino is not installed"

    def build(self, job: BuildJob) -> BuiltEngine:
        """Write ``engine.xml`` and ``engine.bin``, weights as they are in the graph; OpenVINO must compile them."""
        refuse_precision(self, job.precision)
        openvino = import_openvino("Target openvino")
        engine_file = job.folder / "engine.xml"
        core = shared_core(openvino)
        capabilities = core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")
        hint = precision_hint(str(job.precision), device=_DEVICE, capabilities=capabilities)
        if hint is None:
            raise TargetUnavailable(
                f"target openvino cannot build {job.precision} here: this processor does not multiply in it",
                remedy="it takes AMX or AVX-512 BF16; export with --precision fp32",
            )
        try:
            model = core.read_model(job.onnx_path)  # not convert_model, which reports its use to the vendor
            for index, node in enumerate(model.get_ordered_ops()):
                if node.get_friendly_name() == node.get_name():  # numbered by what this process did before
                    node.set_friendly_name(f"{node.get_type_name()}_{index}")
            openvino.save_model(model, engine_file, compress_to_fp16=False)
            core.compile_model(core.read_model(engine_file), _DEVICE, {"INFERENCE_PRECISION_HINT": hint})
        except RuntimeError as error:
            raise ExportFailure(f"OpenVINO {openvino.__version__} refuses the graph: {error}") from error
        return BuiltEngine(
            engine_file=engine_file.name,
            toolchain={
                "openvino": openvino.__version__,
                "inference_precision": hint,
                PERFORMANCE: read_options(self, job.options, job.precision, job.batch).get(PERFORMANCE, LATENCY),
            },
            precision_built=job.precision,
        )


TARGET = OpenVinoTarget()
