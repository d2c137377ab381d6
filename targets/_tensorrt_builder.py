"""What the targets ``tensorrt`` and ``tensorrt_rtx`` share: a typed ONNX graph in, a serialized engine out.

Networks are strongly typed: the graph says in what numbers each layer computes, TensorRT 10 and 11 obey alike, and the
builder can fall back on nothing. The library is a parameter, `trt`, so what serves `tensorrt` (which needs a GPU to
build) is the code that is tested with `tensorrt_rtx` (which needs none). **What is for TensorRT alone (timing cache,
DLA, compatible engines) was not run**.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from reidkit.runtime.engines._tensorrt import DLA_CORE, profiles, vendor_log
from reidkit.runtime.errors import ExportFailure, InvalidInput, did_you_mean
from reidkit.runtime.files import whole_file
from reidkit.targets.target import BuildJob, BuiltEngine, Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How an engine is built.

    Attributes:
        workspace_mib: most memory for a layer's scratch space, in MiB; None for the library's choice.
        dla: core of the deep learning accelerator that takes the layers it can, in batches of the one size; None for
            the GPU alone.
        version_compatible: whether later versions of the library may run the engine.
        hardware_compatible: whether any GPU from compute capability 8.0 on may run it.
        compute_capability: GPUs to build for, such as ``("8.6", "8.9")``; empty for the library's choice.
    """

    workspace_mib: int | None = None
    dla: int | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False
    compute_capability: tuple[str, ...] = ()


def build_engine(
    trt: ModuleType, job: BuildJob, settings: Settings, toolchain: Mapping[str, str], *, timing_cache: bool
) -> BuiltEngine:
    """Write the engine, named after what it is bound to.

    Args:
        trt: the library's module.
        job: what is to be built.
        settings: how.
        toolchain: what the engine will be bound to; see `reidkit.runtime.engines._tensorrt.this_box`.
        timing_cache: whether this library measures kernels, and is spared that the next time.

    Raises:
        ExportFailure: the library refuses the graph, in its own words, or the graph is in another precision.
    """
    log = vendor_log(trt)
    try:
        builder = trt.Builder(log.logger)
    except TypeError as error:  # its constructor gave a null pointer
        raise ExportFailure(f"{trt.__name__} {trt.__version__} cannot build here: {log.take()}") from error
    network = _parsed(trt, builder, job.onnx_path)
    found = _precision(trt, network)
    if found is not job.precision:
        raise ExportFailure(
            f"{job.precision} was asked for, the graph is in {found}",
            remedy="precision is decided in the graph: export it in the one to be built",
        )
    config = _config(trt, builder, settings)
    _add_profiles(builder, config, network, job, fixed=settings.dla is not None)
    toolchain = dict(toolchain)
    if settings.dla is not None:
        toolchain |= {DLA_CORE: str(settings.dla), "dla_layers": _on_dla(config, network)}
    bound_to = _bound_to(toolchain)
    cache = job.cache_folder / f".{bound_to}.timing-cache" if timing_cache and job.cache_folder else None
    if cache:
        _load_timings(config, cache)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise _refusal(trt, log.take())
    if cache:
        _store_timings(config, cache)
    engine_file = f"engine-{bound_to}.plan"
    (job.folder / engine_file).write_bytes(plan)
    return BuiltEngine(engine_file=engine_file, toolchain=toolchain, precision_built=found)


def _parsed(trt: ModuleType, builder: Any, onnx_path: Path) -> Any:
    """The graph as the library's network. From bytes, so that no path gets into the engine."""
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, vendor_log(trt).logger)
    if not parser.parse(onnx_path.read_bytes()):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        raise _refusal(trt, "; ".join(f"{error.node_name() or 'parser'}: {error.desc()}" for error in errors))
    if not network.num_inputs or not network.num_outputs:
        raise _refusal(trt, "it has no input or no output")
    return network


def _precision(trt: ModuleType, network: Any) -> Precision:
    """In what a strongly typed network computes: the narrowest type that any layer gives."""
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    types = {layer.get_output(index).dtype for layer in layers for index in range(layer.num_outputs)}
    narrower = {
        Precision.INT8: trt.DataType.INT8,
        Precision.FP16: trt.DataType.HALF,
        Precision.BF16: trt.DataType.BF16,
    }
    return next((precision for precision, kind in narrower.items() if kind in types), Precision.FP32)


def _config(trt: ModuleType, builder: Any, settings: Settings) -> Any:
    config = builder.create_builder_config()
    # On by default, and it computes float32 with ten bits of mantissa: fp32 here is what it says.
    config.clear_flag(trt.BuilderFlag.TF32)
    if settings.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_mib << 20)
    if settings.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if settings.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if settings.dla is not None:
        if settings.dla >= builder.num_DLA_cores:
            raise InvalidInput(
                f"there is no DLA core {settings.dla}, this device has {builder.num_DLA_cores}",
                remedy="leave the option 'dla' out to use the GPU",
            )
        config.default_device_type = trt.DeviceType.DLA
        config.DLA_core = settings.dla
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    if settings.compute_capability:
        config.num_compute_capabilities = len(settings.compute_capability)
        for index, capability in enumerate(settings.compute_capability):
            config.set_compute_capability(_compute_capability(trt, capability), index)
    return config


def _compute_capability(trt: ModuleType, name: str) -> Any:
    """The library's constant for ``"8.6"``. Raises `InvalidInput` where it has none."""
    members = trt.ComputeCapability.__members__
    known = {f"{member[2:-1]}.{member[-1]}": value for member, value in members.items() if member.startswith("SM")}
    if name not in known:
        raise InvalidInput(
            f"{trt.__name__} {trt.__version__} builds for no compute capability {name}",
            remedy=did_you_mean(name, known),
        )
    return known[name]


def _add_profiles(builder: Any, config: Any, network: Any, job: BuildJob, *, fixed: bool) -> None:
    """A graph whose batch is open gets the profiles of the job's batch sizes; one of a fixed batch has none."""
    tensor = network.get_input(0)
    batch, *crop = tensor.shape
    if batch != -1:
        return
    for profile in profiles(job.batch, fixed=fixed):
        shapes = builder.create_optimization_profile()
        shapes.set_shape(tensor.name, *((size, *crop) for size in profile))
        config.add_optimization_profile(shapes)


def _on_dla(config: Any, network: Any) -> str:
    """``12 of 90`` layers that the deep learning accelerator takes. Raises `ExportFailure` where it takes none."""
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    taken = sum(config.can_run_on_DLA(layer) for layer in layers)
    if not taken:
        raise ExportFailure(
            f"the deep learning accelerator takes none of the {len(layers)} layers: all would run on the GPU",
            remedy="leave the option 'dla' out to use the GPU",
        )
    return f"{taken} of {len(layers)}"


def _load_timings(config: Any, path: Path) -> None:
    """Give the builder what it measured before; what it cannot read is measured again."""
    timings = config.create_timing_cache(path.read_bytes() if path.exists() else b"")
    config.set_timing_cache(timings or config.create_timing_cache(b""), ignore_mismatch=False)


def _store_timings(config: Any, path: Path) -> None:
    timings = config.get_timing_cache()
    with whole_file(path) as temporary:
        temporary.write_bytes(timings.serialize())


def _bound_to(toolchain: Mapping[str, str]) -> str:
    """``tensorrt-10.3.0-sm87-linux-aarch64``, for names of files."""
    (library, version), *_ = toolchain.items()
    capabilities = "-".join(f"sm{name.replace('.', '')}" for name in toolchain["compute_capability"].split())
    return f"{library}-{version}-{capabilities}-{toolchain['system']}"


def _refusal(trt: ModuleType, said: str) -> ExportFailure:
    return ExportFailure(f"{trt.__name__} {trt.__version__} refuses the graph: {' '.join(said.split())}")
