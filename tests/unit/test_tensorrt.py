"""TensorRT without a device: profiles, what fits a box, what is refused, and that every name it calls exists."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny_artifact import tiny_artifact, tiny_onnx
from tiny_manifest import Tiny, tiny_manifest

from reidkit.runtime.artifact.manifest import Batch
from reidkit.runtime.engines import _cuda, _tensorrt, open_artifact
from reidkit.runtime.engines._tensorrt import Profile, choose, deserialized, expect_fit, profiles, vendor_log
from reidkit.runtime.errors import (
    ArtifactUntrusted,
    EngineFailure,
    EngineNotBuilt,
    ExportFailure,
    InvalidInput,
    TargetUnavailable,
)
from reidkit.targets import BuildJob, BuiltEngine, Precision, _tensorrt_builder, find_target
from reidkit.targets.target import options_for, read_options

BATCH = Batch(dynamic=True, max=4, buckets=[])


@pytest.fixture(scope="module")
def trt() -> ModuleType:
    module: ModuleType = pytest.importorskip("tensorrt_rtx", reason="needs the extra 'tensorrt_rtx'")
    return module


@pytest.fixture
def cuda() -> ModuleType:
    module: ModuleType = pytest.importorskip("cuda.bindings.runtime", reason="needs the extra 'tensorrt_rtx'")
    return module


def build(
    folder: Path,
    graph: onnx.ModelProto,
    *,
    precision: Precision = Precision.FP32,
    batch: Batch = BATCH,
    **options: str,
) -> BuiltEngine:
    (folder / "graph.onnx").write_bytes(graph.SerializeToString())
    job = BuildJob(
        onnx_path=folder / "graph.onnx",
        folder=folder,
        precision=precision,
        batch=batch,
        options=options,
        cache_folder=folder,
    )
    return find_target("tensorrt_rtx").build(job)


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        (Batch(dynamic=True, max=8, buckets=[]), [Profile(1, 8, 8)]),
        (Batch(dynamic=True, max=1, buckets=[]), [Profile(1, 1, 1)]),
        (Batch(dynamic=True, max=32, buckets=[1, 8, 32]), [Profile(1, 8, 32)]),
        (Batch(dynamic=True, max=8, buckets=[2, 8]), [Profile(2, 8, 8)]),
        (Batch(dynamic=True, max=8, buckets=[8]), [Profile(8, 8, 8)]),
        (Batch(dynamic=False, max=8, buckets=[1, 4, 8]), [Profile(1, 1, 1), Profile(4, 4, 4), Profile(8, 8, 8)]),
    ],
    ids=str,
)
def test_batch_sizes_become_profiles(batch: Batch, expected: list[Profile]) -> None:
    assert profiles(batch) == expected


@pytest.mark.parametrize("buckets", [[1, 2, 4, 8], [1, 16]], ids=str)
def test_batch_sizes_that_are_no_profile_are_refused(buckets: list[int]) -> None:
    with pytest.raises(InvalidInput, match=r"are no optimization profile: give MIN,OPT,MAX"):
        profiles(Batch(dynamic=True, max=8, buckets=buckets))


@pytest.mark.parametrize(
    ("among", "count", "expected"),
    [
        ([Profile(1, 8, 32)], 1, (0, 1)),
        ([Profile(1, 8, 32)], 32, (0, 32)),
        ([Profile(4, 8, 32)], 3, (0, 4)),
        ([Profile(1, 1, 1), Profile(4, 4, 4), Profile(8, 8, 8)], 1, (0, 1)),
        ([Profile(1, 1, 1), Profile(4, 4, 4), Profile(8, 8, 8)], 2, (1, 4)),
        ([Profile(1, 1, 1), Profile(4, 4, 4), Profile(8, 8, 8)], 5, (2, 8)),
        ([Profile(1, 4, 8), Profile(1, 16, 32)], 8, (0, 8)),
    ],
)
def test_the_profile_that_is_filled_up_least_is_chosen(
    among: list[Profile], count: int, expected: tuple[int, int]
) -> None:
    assert choose(among, count) == expected


HERE = {"tensorrt": "10.7.0", "compute_capability": "8.7", "system": "linux-aarch64"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"compute_capability": "8.6 8.7"},
        {"compute_capability": "8.0+"},
        {"compute_capability": "8.7+"},
        {"tensorrt": "10.3.0.26+"},
        {"tensorrt": "9.10+"},
        {"torch": "2.13.0"},
    ],
    ids=str,
)
def test_an_engine_for_this_box_fits(changes: dict[str, str]) -> None:
    expect_fit(manifest_of({**HERE, **changes}), HERE, Path("here"))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tensorrt": "10.3.0"}, "tensorrt 10.3.0, here it is 10.7.0"),
        ({"tensorrt": "10.13.0+"}, r"tensorrt 10.13.0\+, here it is 10.7.0"),
        ({"compute_capability": "8.6"}, "compute capability 8.6, here it is 8.7"),
        ({"compute_capability": "8.9+"}, r"compute capability 8.9\+, here it is 8.7"),
        ({"compute_capability": "12.0+"}, r"compute capability 12.0\+, here it is 8.7"),
        ({"system": "linux-x86_64"}, "system linux-x86_64, here it is linux-aarch64"),
        ({"tensorrt": "", "compute_capability": "8.6"}, "tensorrt , here it is 10.7.0 and for compute capability 8.6"),
    ],
    ids=str,
)
def test_an_engine_for_another_box_is_to_be_built_here(changes: dict[str, str], told: str) -> None:
    with pytest.raises(EngineNotBuilt, match=f"tiny was built for {told}.*: build it here with reidkit build here"):
        expect_fit(manifest_of({**HERE, **changes}), HERE, Path("here"))


def test_an_engine_for_another_gpu_of_this_box_is_to_be_built_for_that_one() -> None:
    with pytest.raises(EngineNotBuilt, match="build it here with reidkit build here --device cuda:1, or"):
        expect_fit(manifest_of({**HERE, "compute_capability": "8.6"}), HERE, Path("here"), device="cuda:1")


def manifest_of(toolchain: dict[str, str]) -> Any:
    manifest = tiny_manifest(Tiny(target="tensorrt"), engine="tensorrt", engine_file="plan", files={})
    return replace(manifest, toolchain=toolchain)


@pytest.mark.parametrize(("name", "index"), [("auto", 0), ("cuda", 0), ("cuda:0", 0), ("cuda:3", 3)])
def test_devices_have_names(name: str, index: int) -> None:
    assert _cuda.device_index(name, engine="tensorrt") == index


@pytest.mark.parametrize("name", ["cpu", "gpu", "cuda:", "cuda:-1", "cuda:x", "abacus"])
def test_other_devices_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"the tensorrt engine has no device '{name}'"):
        _cuda.device_index(name, engine="tensorrt")


@pytest.mark.parametrize(
    ("target", "option", "text"),
    [
        ("tensorrt", "workspace_mib", "-1"),
        ("tensorrt", "dla", "zero"),
        ("tensorrt", "version_compatible", "true"),
        ("tensorrt_rtx", "compute_capability", "8.6;8.9"),
        ("tensorrt_rtx", "compute_capability", ""),
    ],
)
def test_an_option_of_another_kind_says_what_it_is_about(target: str, option: str, text: str) -> None:
    with pytest.raises(InvalidInput, match=f"option {option} of target {target} cannot be '{text}': "):
        read_options(find_target(target), {option: text}, Precision.FP16, BATCH)


def test_options_are_the_builders_settings() -> None:
    given = {"workspace_mib": "512", "dla": "0", "version_compatible": "yes", "hardware_compatible": "no"}
    settings = _tensorrt_builder.Settings(**read_options(find_target("tensorrt"), given, Precision.FP16, BATCH))
    assert settings == _tensorrt_builder.Settings(
        workspace_mib=512, dla=0, version_compatible=True, hardware_compatible=False
    )


@pytest.mark.parametrize(
    ("precision", "buckets", "told"),
    [
        (Precision.FP32, [], "option dla of target tensorrt does nothing in fp32: it is for fp16, int8: leave it out"),
        (Precision.FP16, [1, 8], "takes at most 1 batch sizes, found 1, 8: give --batch the size to build for"),
    ],
)
def test_a_deep_learning_accelerator_that_could_do_nothing_is_refused(
    precision: Precision, buckets: list[int], told: str
) -> None:
    batch = Batch(dynamic=True, max=8, buckets=buckets)
    with pytest.raises(InvalidInput, match=told):
        read_options(find_target("tensorrt"), {"dla": "0"}, precision, batch)
    without = options_for(find_target("tensorrt"), {"dla": "0", "workspace_mib": "512"}, Precision.FP32)
    assert without == {"workspace_mib": "512"}


def test_an_accelerator_takes_one_size_to_which_others_are_filled_up() -> None:
    (profile,) = profiles(Batch(dynamic=True, max=8, buckets=[]), fixed=True)
    assert profile == Profile(8, 8, 8)
    assert [choose([profile], count) for count in (1, 8)] == [(0, 8), (0, 8)]


def test_layers_that_the_accelerator_takes_are_counted(trt: ModuleType, tmp_path: Path) -> None:
    """The real library says of every layer that this machine's accelerator, which it has not, does not take it."""
    (tmp_path / "graph.onnx").write_bytes(tiny_onnx(Tiny()).SerializeToString())
    builder = trt.Builder(vendor_log(trt).logger)
    network = _tensorrt_builder._parsed(trt, builder, tmp_path / "graph.onnx")
    with pytest.raises(ExportFailure, match=f"takes none of the {network.num_layers} layers: all would run on the GPU"):
        _tensorrt_builder._on_dla(builder.create_builder_config(), network)
    convolutions = SimpleNamespace(can_run_on_DLA=lambda layer: layer.type == trt.LayerType.CONVOLUTION)
    assert _tensorrt_builder._on_dla(convolutions, network) == f"1 of {network.num_layers}"


def test_an_engine_tells_what_it_is_bound_to(trt: ModuleType, tmp_path: Path) -> None:
    built = build(tmp_path, tiny_onnx(Tiny()), compute_capability="8.6,12.0")
    system = built.toolchain["system"]
    assert built.toolchain == {
        "tensorrt_rtx": trt.__version__,
        "compute_capability": "8.6 12.0",
        "system": system,
    }
    assert built.engine_file == f"engine-tensorrt_rtx-{trt.__version__}-sm86-sm120-{system}.plan"


def test_for_other_gpus_another_engine_is_built(trt: ModuleType, tmp_path: Path) -> None:
    plans = {
        (tmp_path / build(tmp_path, tiny_onnx(Tiny()), **options).engine_file).read_bytes()
        for options in ({}, {"compute_capability": "8.6"}, {"compute_capability": "8.9"})
    }
    assert len(plans) == 3


@pytest.mark.parametrize(
    "batch",
    [Batch(dynamic=True, max=8, buckets=[1, 4, 8]), Batch(dynamic=False, max=4, buckets=[1, 4])],
    ids=["range", "one profile a bucket"],
)
def test_profiles_get_into_the_engine(trt: ModuleType, tmp_path: Path, batch: Batch) -> None:
    default = (tmp_path / build(tmp_path, tiny_onnx(Tiny())).engine_file).read_bytes()
    assert (tmp_path / build(tmp_path, tiny_onnx(Tiny()), batch=batch).engine_file).read_bytes() != default


def test_a_graph_of_a_fixed_batch_needs_no_profile(trt: ModuleType, tmp_path: Path) -> None:
    batch = Batch(dynamic=False, max=4, buckets=[4])
    assert build(tmp_path, tiny_onnx(Tiny(batch=batch)), batch=batch).precision_built is Precision.FP32


def test_turing_refuses_float32_in_the_vendors_words(trt: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ExportFailure, match=r"refuses the graph: .*\(SM75\): FP32 GEMM is not supported"):
        build(tmp_path, tiny_onnx(Tiny()), compute_capability="7.5")
    assert not list(tmp_path.glob("*.plan"))


def test_a_gpu_that_the_library_does_not_know_is_refused(trt: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"builds for no compute capability 8\.7: did you mean '8\.9'"):
        build(tmp_path, tiny_onnx(Tiny()), compute_capability="8.7")


@pytest.mark.parametrize(
    ("activations", "quantize_bias", "told"),
    [
        (np.int8, True, "dq_bias: .*input has type Int32 but must have type FP8, FP4, Int4, Int8, or UInt8"),
        (np.uint8, False, "q: .*Non-zero zero point is not supported"),
    ],
    ids=["bias in int32", "unsigned and asymmetric"],
)
def test_other_layouts_of_int8_are_refused_in_the_vendors_words(
    trt: ModuleType, tmp_path: Path, activations: type[np.generic], quantize_bias: bool, told: str
) -> None:
    with pytest.raises(ExportFailure, match=f"refuses the graph: {told}"):
        build(tmp_path, quantized(activations, quantize_bias=quantize_bias))


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
def test_int8_under_another_name_is_refused(trt: ModuleType, tmp_path: Path, precision: Precision) -> None:
    """Symmetric int8 with a float bias is what TensorRT takes; so this fails for its name alone."""
    with pytest.raises(ExportFailure, match=f"{precision} was asked for, the graph is in int8"):
        build(tmp_path, quantized(np.int8, quantize_bias=False), precision=precision)


def test_float32_under_the_name_of_float16_is_refused(trt: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ExportFailure, match="fp16 was asked for, the graph is in fp32: precision is decided in the gr"):
        build(tmp_path, tiny_onnx(Tiny()), precision=Precision.FP16)


def quantized(activations: type[np.generic], *, quantize_bias: bool) -> onnx.ModelProto:
    """images ─ Q ─ DQ ─ Conv (int8 weights, bias in int32 or float32) ─ embeddings."""
    constants: dict[str, Any] = {
        "scale": np.float32(0.1),
        "zero": activations(128 if activations is np.uint8 else 0),
        "weights": np.ones((8, 3, 32, 16), np.int8),
        "bias": np.ones(8, np.int32 if quantize_bias else np.float32),
        "picture": np.array([2, 3], np.int64),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["images", "scale", "zero"], ["q"], name="q"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"], name="dq"),
        helper.make_node("DequantizeLinear", ["weights", "scale"], ["dq_weights"], name="dq_weights"),
    ]
    bias = "bias"
    if quantize_bias:
        nodes.append(helper.make_node("DequantizeLinear", ["bias", "scale"], ["dq_bias"], name="dq_bias"))
        bias = "dq_bias"
    nodes += [
        helper.make_node("Conv", ["dq", "dq_weights", bias], ["map"], name="conv"),
        helper.make_node("Squeeze", ["map", "picture"], ["embeddings"], name="flat"),
    ]
    graph = helper.make_graph(
        nodes,
        "quantized",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 32, 16])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["batch", 8])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def test_bytes_that_are_no_engine_are_refused_with_both_versions(trt: ModuleType) -> None:
    with pytest.raises(EngineFailure) as caught:
        deserialized(trt, b"no engine", {"tensorrt_rtx": "0.9"}, name="tiny")
    told = str(caught.value)
    assert f"tensorrt_rtx {trt.__version__} refuses tiny, built with 0.9: " in told
    assert "readHeader" in told  # in the vendor's own words
    assert "reidkit build" in told


def test_what_the_library_said_is_told_once(trt: ModuleType) -> None:
    log = vendor_log(trt)
    assert vendor_log(trt) is log
    for message in ("it\n failed", "it failed", "badly"):
        log.logger.log(trt.ILogger.ERROR, message)
    log.logger.log(trt.ILogger.WARNING, "mind the gap")
    assert log.take() == "it failed; badly"
    assert log.take() == "it gave no reason"


def test_an_engine_from_elsewhere_is_native_code(trt: ModuleType, tmp_path: Path) -> None:
    folder = tiny_artifact(tmp_path, Tiny(target="tensorrt_rtx"), vouched=False)
    with pytest.raises(ArtifactUntrusted, match="tiny holds native code for tensorrt_rtx that was built elsewhere"):
        open_artifact(folder)


def test_without_a_device_opening_says_so_in_cudas_words(trt: ModuleType, tmp_path: Path) -> None:
    if not _cuda.no_device():
        pytest.skip("there is a CUDA device here")
    folder = tiny_artifact(tmp_path, Tiny(target="tensorrt_rtx"))
    with pytest.raises(TargetUnavailable, match=r"tiny cannot run here: CUDA says: .*\(cudaError"):
        open_artifact(folder)
    with pytest.raises(InvalidInput, match="no device 'abacus'"):
        open_artifact(folder, device="abacus")


def test_every_name_of_tensorrts_interface_is_there(trt: ModuleType) -> None:
    """The engine was not run on a device, but what it calls exists: each attribute is looked up in the real library."""
    kinds = {
        "builder": trt.Builder,
        "config": trt.IBuilderConfig,
        "context": trt.IExecutionContext,
        "engine": trt.ICudaEngine,
        "error": trt.ParserError,
        "layer": trt.ILayer,
        "network": trt.INetworkDefinition,
        "parser": trt.OnnxParser,
        "runtime": trt.Runtime,
        "shapes": trt.IOptimizationProfile,
        "tensor": trt.ITensor,
        "timings": trt.ITimingCache,
        "trt": trt,
    }
    used = {names for module in (_tensorrt, _tensorrt_builder) for names in attributes(module) if names[0] in kinds}
    assert {names[0] for names in used} == kinds.keys()
    assert [names for names in used if not resolves(kinds[names[0]], names[1:])] == []


def test_every_name_of_cudas_interface_is_there(cuda: ModuleType) -> None:
    nodes = ast.walk(ast.parse(Path(_cuda.__file__).read_text()))
    strings = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    called = {(name,) for name in strings if re.fullmatch("cuda[A-Z][A-Za-z]+", name)}
    used = called | {names[1:] for names in attributes(_cuda) if names[0] == "runtime"}
    assert {("cudaMallocHost",), ("cudaMemcpyAsync",), ("cudaGetDeviceCount",)} <= used
    assert [names for names in used if not resolves(cuda, names)] == []


def attributes(module: ModuleType) -> set[tuple[str, ...]]:
    """Every ``name.attribute`` and ``name.attribute.attribute`` in a module's source; ``self._x`` counts as ``x``."""
    found = set()
    for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text())):
        chain: list[str] = []
        while isinstance(node, ast.Attribute):
            chain.insert(0, node.attr)
            node = node.value
        if chain and isinstance(node, ast.Name):
            names = [chain[0].lstrip("_"), *chain[1:]] if node.id == "self" else [node.id, *chain]
            if len(names) > 1:
                found.add(tuple(names))
    return found


def resolves(owner: object, names: tuple[str, ...]) -> bool:
    for name in names:
        if not hasattr(owner, name):
            return False
        owner = getattr(owner, name)
    return True
