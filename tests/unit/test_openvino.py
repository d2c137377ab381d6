"""OpenVINO: in what it computes, how a batch is cut, and what becomes of what it compiled."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_artifact import altered, tiny_artifact
from tiny_manifest import Tiny

from reidkit.runtime.artifact import Manifest, load_golden, read_artifact
from reidkit.runtime.artifact.manifest import Batch, PrecisionInfo
from reidkit.runtime.cache import cache_folder
from reidkit.runtime.engines import _compiled, open_artifact, self_check
from reidkit.runtime.engines import openvino as engine_module
from reidkit.runtime.engines.openvino import OpenVinoEngine, _has, parts, precision_hint
from reidkit.runtime.errors import EngineFailure, InvalidInput
from reidkit.targets import Precision, find_target
from reidkit.targets.target import read_options

pytest.importorskip("openvino", reason="needs the extra 'openvino'")

CROPS = np.random.default_rng(0).integers(0, 256, (8, 3, 32, 16), np.uint8)
AMX, AVX2 = "flags\t: fpu avx2 amx_bf16 amx_tile\n", "flags\t: fpu avx2\n"


@pytest.mark.parametrize(
    ("built", "capabilities", "processor", "expected"),
    [
        ("fp32", ["FP32", "BF16"], AMX, "f32"),
        ("int8", ["FP32", "INT8"], AVX2, "f32"),
        ("fp16", ["FP32", "FP16"], AVX2, "f16"),
        ("fp16", ["FP32", "BF16"], AMX, "f32"),
        ("bf16", ["FP32", "BF16"], AMX, "bf16"),
        ("bf16", ["FP32", "BF16"], "flags\t: avx512f avx512_bf16\n", "bf16"),
        ("bf16", ["FP32", "BF16"], "Features\t: asimd bf16\n", "bf16"),
        ("bf16", ["FP32", "BF16"], AVX2, None),
        ("bf16", ["FP32"], AMX, None),
        ("fp8", ["FP32"], AMX, None),
    ],
)
def test_precision_is_what_the_device_computes_in(
    built: str, capabilities: list[str], processor: str, expected: str | None, tmp_path: Path
) -> None:
    (tmp_path / "cpuinfo").write_text(processor)
    hint = precision_hint(built, device="CPU", capabilities=capabilities, processor=tmp_path / "cpuinfo")
    assert hint == expected


def test_another_device_or_system_is_believed(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(AVX2)
    for device, processor in (("GPU", tmp_path / "cpuinfo"), ("CPU", tmp_path / "there is none")):
        assert precision_hint("bf16", device=device, capabilities=["BF16"], processor=processor) == "bf16"


@pytest.mark.parametrize("streams", [1, 2, 3, 8])
def test_parts_are_powers_of_two_within_a_streams_share(streams: int) -> None:
    for count in range(1, 20):
        found = parts(count, streams=streams)
        assert sum(found) == count
        assert found == sorted(found, reverse=True)
        assert all(size & (size - 1) == 0 for size in found)
        assert found[0] <= -(-count // streams)


def test_for_latency_a_batch_is_its_powers_of_two() -> None:
    assert parts(7, streams=1) == [4, 2, 1]


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return tiny_artifact(tmp_path, Tiny(target="openvino", batch=Batch(dynamic=True, max=8, buckets=[])))


def test_performance_is_an_option_that_the_artifact_keeps(artifact: Path) -> None:
    target = find_target("openvino")
    batch = Batch(dynamic=True, max=8, buckets=[])
    assert read_options(target, {"performance": "throughput"}, Precision.FP32, batch) == {"performance": "throughput"}
    with pytest.raises(InvalidInput, match="cannot be 'speed': latency"):
        read_options(target, {"performance": "speed"}, Precision.FP32, batch)


def test_for_throughput_parts_of_a_batch_are_under_way_at_once(artifact: Path) -> None:
    with open_artifact(artifact, threads=2) as engine:
        assert engine.streams == 1  # type: ignore[attr-defined]
        expected = [engine.embed(CROPS[:count]) for count in range(9)]
    altered(artifact, toolchain={"openvino": "any", "performance": "throughput"})
    with open_artifact(artifact, threads=2) as engine:
        assert engine.streams == engine.execution["streams"] == 2  # type: ignore[attr-defined]
        for count in range(9):
            np.testing.assert_allclose(engine.embed(CROPS[:count]), expected[count], atol=1e-6)
        assert {(4, 0), (4, 1)} <= engine._requests.keys()  # type: ignore[attr-defined]
        streams = engine._compiled[4].get_property("NUM_STREAMS")  # type: ignore[attr-defined]
        assert streams == 2


def blobs() -> list[Path]:
    return sorted(path for path in cache_folder("openvino").rglob("*") if path.is_file() and path.suffix != ".sha256")


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.usefixtures("own_cache")
def test_what_was_compiled_is_loaded_the_next_time(artifact: Path) -> None:
    for _ in range(2):
        with open_artifact(artifact) as engine:
            engine.embed(CROPS)
    kept = blobs()
    assert {path.parent.name for path in kept} == {"1", "2", "8"}  # three golden crops, and these eight
    assert all(path.with_name(f"{path.name}.sha256").exists() for path in kept)
    assert len(kept) == 3


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("damage", ["empty", "half", "a byte", "no digest", "a digest like any"])
def test_a_damaged_blob_is_compiled_anew(artifact: Path, damage: str) -> None:
    with open_artifact(artifact) as engine:
        expected = engine.embed(CROPS)
    before = {path: path.read_bytes() for path in blobs()}
    for path, data in before.items():
        middle = len(data) // 2
        digest = path.with_name(f"{path.name}.sha256")
        flipped = data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]
        path.write_bytes({"empty": b"", "half": data[:middle], "a byte": flipped}.get(damage, b"not a blob"))
        if damage == "no digest":
            digest.unlink()
        elif damage == "a digest like any":
            digest.write_bytes(b"\xff" * 64)
    with open_artifact(artifact) as engine:
        np.testing.assert_array_equal(engine.embed(CROPS), expected)
    assert [path.stat().st_size for path in blobs()] == [len(data) for data in before.values()]
    assert all(path.read_bytes() != b"not a blob" for path in blobs())


def test_a_disk_without_room_keeps_nothing_and_is_no_error(tmp_path: Path) -> None:
    blob = tmp_path / "cache" / "model.blob"
    blob.parent.mkdir()
    blob.write_bytes(b"compiled")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        _compiled.record(blob.parent)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert _compiled.sound(blob.parent) == blob.parent
    assert list(blob.parent.iterdir()) == []
    blob.write_bytes(b"compiled")
    _compiled.record(blob.parent)
    assert _compiled.sound(blob.parent) == blob.parent
    assert blob.exists()


def test_what_cannot_be_looked_at_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "model.blob").write_bytes(b"compiled")
    (tmp_path / "model.blob.sha256").mkdir()
    assert _compiled.sound(tmp_path) is None
    _compiled.record(tmp_path / "gone")


@pytest.mark.parametrize("kind", ["a file in its place", "no such place"])
def test_without_a_cache_it_compiles_each_time(
    artifact: Path, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("here is no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file") if kind == "a file in its place" else "/proc/none")
    with open_artifact(artifact) as engine:
        assert engine.embed(CROPS).shape == (8, 12)
    assert not cache_folder("openvino").exists()


def int8(artifact: Path) -> tuple[Manifest, Path]:
    manifest, folder = read_artifact(artifact)
    return replace(manifest, precision=PrecisionInfo(requested="int8", built="int8")), folder


@pytest.mark.parametrize(
    ("processor", "precision", "sizes"),
    [("aarch64", "int8", [1, 2, 4, 8]), ("x86_64", "int8", []), ("aarch64", "fp32", [])],
)
def test_int8_on_arm_proves_every_size_before_it_is_opened(
    artifact: Path, processor: str, precision: str, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO 2026.4 answered there with an array of no rows, or not at all, by size."""
    monkeypatch.setattr(engine_module, "machine", lambda: processor)
    manifest, folder = int8(artifact) if precision == "int8" else read_artifact(artifact)
    with OpenVinoEngine(manifest, folder, device="auto", threads=1) as engine:
        assert list(engine.sizes_to_prove) == sizes
        self_check(engine, load_golden(artifact))
        assert {size for size, _ in engine._requests} == ({*sizes} or {1, 2})


class WrongAtFour(OpenVinoEngine):
    def _run(self, batch: np.ndarray) -> np.ndarray:
        return super()._run(batch)[:0] if len(batch) == 4 else super()._run(batch)


def test_a_size_that_it_gets_wrong_is_found(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "machine", lambda: "aarch64")
    with (
        WrongAtFour(*int8(artifact), device="auto", threads=1) as engine,
        pytest.raises(EngineFailure, match=r"answered 4 crops with an array of shape \(0, 12\)"),
    ):
        self_check(engine, load_golden(artifact))


def test_of_several_devices_of_a_kind_each_has_a_number_and_the_first_needs_none() -> None:
    two = ["CPU", "GPU.0", "GPU.1"]
    found = [device for device in ("CPU", "GPU", "GPU.0", "GPU.1", "GPU.2", "NPU", "G", "") if _has(two, device)]
    assert found == ["CPU", "GPU", "GPU.0", "GPU.1"]


def test_a_device_that_openvino_does_not_find_is_refused(artifact: Path) -> None:
    with pytest.raises(InvalidInput, match=r"finds no device 'npu' here: use auto or one of .*cpu"):
        open_artifact(artifact, device="npu")
    with open_artifact(artifact, device="CPU") as engine:
        assert engine.device == "cpu"
