"""TensorRT-RTX: engines for PCs with an RTX GPU, built on any machine. **Built here, not run on a device**."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.util import find_spec
from types import MappingProxyType
from typing import Literal

from reidkit.calibration.quantization import Layout
from reidkit.runtime.engines._tensorrt import this_box
from reidkit.runtime.errors import MissingDependency
from reidkit.targets._tensorrt_builder import Settings, build_engine
from reidkit.targets.target import BuildJob, BuiltEngine, Option, Precision, natural, read_options, refuse_precision

# What the library builds for unless told otherwise: all RTX GPUs since Ampere.
_DEFAULT_CAPABILITY = "8.0+"


def _capabilities(text: str) -> tuple[str, ...]:
    capabilities = tuple(text.split(","))
    if not all(re.fullmatch(r"\d+\.\d", capability) for capability in capabilities):
        raise ValueError(text)
    return capabilities


class TensorRtRtxTarget:
    """`Target` for TensorRT-RTX, which compiles without a GPU and finishes on the one it meets.

    It takes the options of TensorRT for other devices in silence and does nothing; so they are not offered.
    """

    name = "tensorrt_rtx"
    engine = "tensorrt_rtx"
    consumes: Literal["onnx", "exported_program"] = "onnx"
    precisions = frozenset({Precision.FP32, Precision.FP16, Precision.INT8})
    by_hint: frozenset[Precision] = frozenset()
    int8_layout: Layout | None = Layout.SIGNED
    calibrates = True
    most_batch_sizes: int | None = 3  # of an optimization profile: the least, the best, the most
    portable = True
    options: Mapping[str, Option] = MappingProxyType(
        {
            "workspace_mib": Option(about="most scratch memory for a layer, in MiB", read=natural),
            "compute_capability": Option(
                about="GPUs to build for, such as 8.6,8.9; otherwise all from 8.0 on", read=_capabilities
            ),
        }
    )

    def available(self) -> str | None:
        """Why it cannot build here, None if it can."""
        return None if find_spec("tensorrt_rtx") else "tensorrt_rtx is not installed"

    def build(self, job: BuildJob) -> BuiltEngine:
        """Write ``engine-tensorrt_rtx-VERSION-smNN-SYSTEM.plan``."""
        refuse_precision(self, job.precision)
        settings = Settings(**read_options(self, job.options, job.precision, job.batch))
        try:
            import tensorrt_rtx
        except ModuleNotFoundError as error:
            raise MissingDependency("tensorrt_rtx", extra="tensorrt_rtx", purpose="Target tensorrt_rtx") from error
        capability = " ".join(settings.compute_capability) or _DEFAULT_CAPABILITY
        toolchain = this_box("tensorrt_rtx", tensorrt_rtx, capability)
        return build_engine(tensorrt_rtx, job, settings, toolchain, timing_cache=False)


TARGET = TensorRtRtxTarget()
