"""TensorRT: engines for the GPU in this machine, a Jetson or a desktop. **Not run on a device**.

Without TensorRT or without a GPU an export gives a bundle, which `reidkit build` makes into an engine on the box.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from types import MappingProxyType
from typing import Literal

from reidkit.calibration.quantization import Layout
from reidkit.runtime.engines._cuda import (
    compute_capability,
    cuda_runtime,
    device_index,
    device_name,
    make_current,
    no_device,
)
from reidkit.runtime.engines._tensorrt import this_box
from reidkit.runtime.errors import MissingDependency
from reidkit.targets._tensorrt_builder import Settings, build_engine
from reidkit.targets.target import (
    BuildJob,
    BuiltEngine,
    Option,
    Precision,
    natural,
    read_options,
    refuse_precision,
    yes_or_no,
)


class TensorRtTarget:
    """`Target` for TensorRT 10.3 and later."""

    name = "tensorrt"
    engine = "tensorrt"
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
            "dla": Option(
                about="core of the deep learning accelerator to use, 0 or 1; the GPU does the rest",
                read=natural,
                precisions=frozenset({Precision.FP16, Precision.INT8}),
                most_batch_sizes=1,
            ),
            "version_compatible": Option(about="yes: later versions of TensorRT may run the engine", read=yes_or_no),
            "hardware_compatible": Option(about="yes: any GPU from compute capability 8.0 may run it", read=yes_or_no),
        }
    )

    def available(self) -> str | None:
        """Why it cannot build here, None if it can."""
        return no_device() if find_spec("tensorrt") else "tensorrt is not installed"

    def build(self, job: BuildJob) -> BuiltEngine:
        """Write ``engine-tensorrt-VERSION-smNN-SYSTEM.plan``, tuned on the job's device, the first GPU by default."""
        refuse_precision(self, job.precision)
        settings = Settings(**read_options(self, job.options, job.precision, job.batch))
        try:
            import tensorrt
        except ModuleNotFoundError as error:
            raise MissingDependency("tensorrt", extra="tensorrt", purpose="Target tensorrt") from error
        cuda = cuda_runtime(extra="tensorrt", purpose="Target tensorrt")
        device = device_index(job.device, engine=self.name)
        make_current(cuda, device)
        toolchain = this_box("tensorrt", tensorrt, compute_capability(cuda, device))
        toolchain["gpu"] = device_name(cuda, device)
        if settings.version_compatible:
            toolchain["tensorrt"] += "+"
        if settings.hardware_compatible:
            toolchain["compute_capability"] = "8.0+"
        return build_engine(tensorrt, job, settings, toolchain, timing_cache=True)


TARGET = TensorRtTarget()
