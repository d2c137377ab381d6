"""ONNX Runtime's devices: which execution provider a name means, and what it has to be told.

    cpu, cuda:1, tensorrt, openvino:gpu, coreml, xnnpack, qnn:htp, directml, … as the installed build has them

Each is told to compute in the artifact's precision: left to itself, CUDA takes float32 as TF32, which has ten bits of
mantissa, and QNN takes it as float16. **None but the processor's own was run**; the options are the documented ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reidkit.runtime.artifact.manifest import Manifest
from reidkit.runtime.box.processor import usable_processors
from reidkit.runtime.cache import usable
from reidkit.runtime.engines._cropping import crop_shape
from reidkit.runtime.errors import InvalidInput

_SUFFIX = "ExecutionProvider"
_CPU = f"CPU{_SUFFIX}"
_INPUT = "images"  # the input of every graph that reidkit exports
_OTHER_NAMES = {"auto": "cpu", "directml": "dml"}

_NUMBERED = {"cuda", "tensorrt", "dml", "migraphx"}
"""Providers whose devices have numbers."""
_NAMED = {"openvino": "cpu", "coreml": "ALL", "qnn": "htp"}
"""Providers whose devices have names, and which is taken where none is given."""
_EXACT_CUDA = {"use_tf32": "0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Where a session is to run.

    Attributes:
        name: as it was asked for; `auto` is the processor, where the artifact's parity was measured.
        providers: of ONNX Runtime, with their options, the one that was asked for first.
        session_threads: for ONNX Runtime's own pool; 0 for its choice.
        memory_pattern: whether memory may be planned ahead.
    """

    name: str
    providers: Sequence[tuple[str, Mapping[str, str]]]
    session_threads: int
    memory_pattern: bool = True

    @property
    def provider(self) -> str:
        """The one that was asked for."""
        return self.providers[0][0]

    @property
    def is_processor(self) -> bool:
        """Whether that is ONNX Runtime's own code for the processor, from which nothing can fall back."""
        return self.provider == _CPU


def find_device(name: str, available: Sequence[str], manifest: Manifest, *, threads: int | None, cache: Path) -> Device:
    """The device of that name.

    Args:
        name: a provider without its suffix in any case, and after a colon which of its devices.
        available: the providers of the installed build.
        manifest: of the artifact that is to run there.
        threads: for one batch; None for the library's choice.
        cache: folder where a provider may keep what it compiles; made if it does.

    Raises:
        InvalidInput: the installed build has no such provider, or the provider no such device.
    """
    kind, _, which = name.partition(":")
    kind = _OTHER_NAMES.get(kind.lower(), kind.lower())
    known = {provider.removesuffix(_SUFFIX).lower(): provider for provider in available}
    if kind not in known:
        raise InvalidInput(
            f"the onnxruntime engine has no device '{name}' here",
            remedy=f"the installed build has {', '.join(sorted(known))}; others come with other builds of ONNX Runtime",
        )
    options = _options(kind, which, manifest, threads=threads, cache=cache)
    providers = [(known[kind], options)]
    if kind == "tensorrt" and "cuda" in known:  # for what TensorRT leaves over
        providers.append((known["cuda"], {"device_id": which or "0", **_EXACT_CUDA}))
    return Device(
        name="cpu" if kind == "cpu" else name,
        providers=providers,
        session_threads=1 if kind == "xnnpack" else threads or 0,  # XNNPACK has threads of its own
        memory_pattern=kind != "dml",
    )


def _options(kind: str, which: str, manifest: Manifest, *, threads: int | None, cache: Path) -> dict[str, str]:
    """What the provider is told; arguments and errors as for `find_device`."""
    if which and not (which.isdecimal() if kind in _NUMBERED else kind in _NAMED):
        remedy = f"use {kind}" + (f" or {kind}:NUMBER" if kind in _NUMBERED else "")
        raise InvalidInput(f"the onnxruntime engine has no device '{kind}:{which}'", remedy=remedy)
    device = which or ("0" if kind in _NUMBERED else _NAMED.get(kind, ""))
    half, int8 = ("1" if manifest.precision.built == precision else "0" for precision in ("fp16", "int8"))
    match kind:
        case "cuda":
            return {"device_id": device, **_EXACT_CUDA}
        case "dml" | "migraphx":
            return {"device_id": device}
        case "tensorrt":  # one engine for all batch sizes, built once; on TF32 only NVIDIA_TF32_OVERRIDE=0 decides
            crop, batch = "x".join(map(str, crop_shape(manifest.preprocessing))), manifest.batch
            sizes = {"min": 1 if batch.dynamic else batch.buckets[0], "opt": batch.max, "max": batch.max}
            kept = usable(cache)
            return {
                "device_id": device,
                "trt_fp16_enable": half,
                "trt_int8_enable": int8,
                **({"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(kept)} if kept else {}),
                **{f"trt_profile_{name}_shapes": f"{_INPUT}:{size}x{crop}" for name, size in sizes.items()},
            }
        case "openvino":
            precision = "FP16" if half == "1" and device.upper() != "CPU" else "FP32"
            own_threads = {"num_of_threads": str(threads)} if threads else {}
            return {"device_type": device.upper(), "precision": precision, **own_threads}
        case "coreml":  # its names for all units, CPUAndGPU and the like, are spelt so
            return {"ModelFormat": "MLProgram", "MLComputeUnits": device}
        case "xnnpack":
            return {"intra_op_num_threads": str(threads or usable_processors())}
        case "qnn":
            return {"backend_type": device, "enable_htp_fp16_precision": half}
    return {}
