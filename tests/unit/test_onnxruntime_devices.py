"""ONNX Runtime's execution providers: what their names mean, what they are told, and that none is fallen back from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_artifact import tiny_artifact
from tiny_manifest import Tiny, tiny_manifest

from reidkit.runtime.artifact import Manifest
from reidkit.runtime.artifact.manifest import Batch, PrecisionInfo
from reidkit.runtime.box.processor import read_processor, usable_processors
from reidkit.runtime.engines import open_artifact
from reidkit.runtime.engines._execution_providers import find_device
from reidkit.runtime.errors import EngineFailure, InvalidInput

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra 'onnxruntime'")

EVERY = onnxruntime.get_all_providers()


def options_of(name: str, tmp_path: Path, *, precision: str = "fp32", threads: int | None = None, **fields: Any) -> Any:
    manifest: Manifest = tiny_manifest(Tiny(), engine="onnxruntime", engine_file="engine.onnx", files={})
    manifest = replace(manifest, precision=PrecisionInfo(requested=precision, built=precision), **fields)
    device = find_device(name, EVERY, manifest, threads=threads, cache=tmp_path / "cache")
    assert {provider for provider, _ in device.providers} <= set(EVERY)
    return device


def test_the_processor_is_what_is_taken_unasked(tmp_path: Path) -> None:
    for name in ("auto", "cpu", "CPU"):
        device = options_of(name, tmp_path, threads=3)
        assert (device.name, device.provider, device.session_threads) == ("cpu", "CPUExecutionProvider", 3)
        assert device.is_processor


@pytest.mark.parametrize(
    ("name", "provider", "told"),
    [
        ("cuda", "CUDAExecutionProvider", {"device_id": "0", "use_tf32": "0"}),
        ("CUDA:1", "CUDAExecutionProvider", {"device_id": "1", "use_tf32": "0"}),
        ("directml:2", "DmlExecutionProvider", {"device_id": "2"}),
        ("openvino", "OpenVINOExecutionProvider", {"device_type": "CPU", "precision": "FP32"}),
        ("openvino:gpu.1", "OpenVINOExecutionProvider", {"device_type": "GPU.1", "precision": "FP32"}),
        ("coreml", "CoreMLExecutionProvider", {"ModelFormat": "MLProgram", "MLComputeUnits": "ALL"}),
        ("coreml:CPUAndGPU", "CoreMLExecutionProvider", {"ModelFormat": "MLProgram", "MLComputeUnits": "CPUAndGPU"}),
        ("qnn", "QNNExecutionProvider", {"backend_type": "htp", "enable_htp_fp16_precision": "0"}),
        ("cann", "CANNExecutionProvider", {}),
    ],
)
def test_a_device_is_a_provider_and_what_it_is_told(
    name: str, provider: str, told: dict[str, str], tmp_path: Path
) -> None:
    device = options_of(name, tmp_path)
    assert (device.name, device.providers) == (name, [(provider, told)])
    assert not device.is_processor


def test_half_precision_is_asked_for_where_the_artifact_is_in_it(tmp_path: Path) -> None:
    told = {name: options_of(name, tmp_path, precision="fp16").providers[0][1] for name in ("qnn", "openvino:npu")}
    assert (told["qnn"]["enable_htp_fp16_precision"], told["openvino:npu"]["precision"]) == ("1", "FP16")
    assert options_of("openvino:cpu", tmp_path, precision="fp16").providers[0][1]["precision"] == "FP32"


@pytest.mark.parametrize(
    ("batch", "least"),
    [(Batch(dynamic=True, max=8, buckets=[]), 1), (Batch(dynamic=False, max=8, buckets=[4, 8]), 4)],
    ids=["any", "4 or 8"],
)
def test_tensorrt_is_told_the_batches_and_has_cuda_behind_it(batch: Batch, least: int, tmp_path: Path) -> None:
    device = options_of("tensorrt:1", tmp_path, precision="int8", batch=batch)
    (first, told), (second, behind) = device.providers
    assert (first, second) == ("TensorrtExecutionProvider", "CUDAExecutionProvider")
    assert (told["device_id"], behind["device_id"]) == ("1", "1")
    assert (told["trt_fp16_enable"], told["trt_int8_enable"]) == ("0", "1")
    assert told["trt_profile_min_shapes"] == f"images:{least}x3x32x16"
    assert told["trt_profile_opt_shapes"] == told["trt_profile_max_shapes"] == "images:8x3x32x16"
    assert Path(told["trt_engine_cache_path"]).is_dir()


def test_xnnpack_has_the_threads_and_nobody_else(tmp_path: Path) -> None:
    device = options_of("xnnpack", tmp_path, threads=4)
    assert (device.providers[0][1], device.session_threads) == ({"intra_op_num_threads": "4"}, 1)


@pytest.fixture
def one_processor() -> Iterator[None]:
    """As `taskset` leaves it."""
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(all_of_them)})
    yield
    os.sched_setaffinity(0, all_of_them)


@pytest.mark.usefixtures("one_processor")
def test_threads_nobody_named_are_as_many_as_the_processors_that_may_be_used(tmp_path: Path) -> None:
    assert options_of("xnnpack", tmp_path).providers[0][1] == {"intra_op_num_threads": "1"}
    assert usable_processors() == read_processor(Path("/")).usable == 1


@pytest.mark.parametrize("name", ["cuda:x", "cuda:-1", "cpu:0", "xnnpack:1", "abacus", ""])
def test_other_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=f"the onnxruntime engine has no device '{name}'"):
        options_of(name, tmp_path)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifact(tmp_path_factory.mktemp("artifact"))


def test_a_provider_that_the_build_lacks_is_refused_with_those_it_has(artifact: Path) -> None:
    missing = next(name for name in EVERY if name not in onnxruntime.get_available_providers())
    with pytest.raises(InvalidInput, match=r"no device .* here: the installed build has .*cpu"):
        open_artifact(artifact, device=missing.removesuffix("ExecutionProvider"))


def test_a_provider_that_leaves_everything_to_the_processor_is_an_error(artifact: Path) -> None:
    """Azure's, which every build has, takes the session and none of these nodes."""
    if "AzureExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this build of ONNX Runtime has no provider that takes nothing")
    with pytest.raises(EngineFailure, match=r"was to run on azure, ONNX Runtime runs nothing of it there \(Azure"):
        open_artifact(artifact, device="azure")


def test_it_says_where_it_runs(artifact: Path) -> None:
    with open_artifact(artifact) as engine:
        assert (engine.device, engine.providers) == ("cpu", ("CPUExecutionProvider",))  # type: ignore[attr-defined]


def test_a_batch_is_read_where_it_lies_and_rows_are_written_where_they_are_read(artifact: Path) -> None:
    with open_artifact(artifact, threads=1) as engine:
        memory = engine.batch_memory(4)
        memory[:] = 7
        first = engine.embed(memory)
        memory[:, 0] = 200
        binding, session = engine._binding, engine._session  # type: ignore[attr-defined]
        session.run_with_iobinding(binding)  # nothing bound anew: it reads what lies there now
        (answer,) = binding.get_outputs()
        assert answer.data_ptr() == engine._rows.ctypes.data  # type: ignore[attr-defined]
        changed = np.array(engine._rows)  # type: ignore[attr-defined]
        assert not np.allclose(first, changed)
        np.testing.assert_array_equal(changed, engine.embed(memory, normalize=False))
