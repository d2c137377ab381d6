"""Opening an artifact: what is refused, how it is told, and the box's check of itself."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from tiny_artifact import altered, tiny_artifact
from tiny_manifest import DIM, Tiny

from reidkit.runtime.artifact import Golden, load_golden, read_artifact, write_golden
from reidkit.runtime.artifact.manifest import Batch, PrecisionInfo
from reidkit.runtime.artifact.trust import built_here
from reidkit.runtime.cache import cache_folder, locked, usable
from reidkit.runtime.engines import open_artifact
from reidkit.runtime.engines.onnxruntime import OnnxRuntimeEngine
from reidkit.runtime.errors import ArtifactInvalid, ArtifactUntrusted, EngineFailure, InvalidFile, MissingDependency

pytest.importorskip("onnxruntime", reason="needs the extra 'onnxruntime'")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_artifact(tmp_path)


def with_golden_embeddings(folder: Path, factor: np.ndarray | float) -> Path:
    golden = load_golden(folder)
    write_golden(folder, replace(golden, embeddings=(golden.embeddings * factor).astype(np.float32)))
    return altered(folder)


def test_it_opens_under_another_name_and_through_a_link(folder: Path) -> None:
    moved = folder.rename(folder.with_name("moved"))
    folder.symlink_to(moved)
    with open_artifact(str(folder)) as engine:
        assert engine.manifest.name == "tiny"


def test_a_user_without_a_home_opens_it_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2_000_000_000)  # nobody's number
    with pytest.raises(RuntimeError):
        Path.home()
    with open_artifact(folder) as engine:
        assert not built_here(engine.manifest)
    assert usable(cache_folder()) is None
    with pytest.raises(InvalidFile, match="XDG_CACHE_HOME"), locked(cache_folder("lock")):
        pass


def test_no_folder_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match=r"nowhere is not an artifact \(no such folder\): make one"):
        open_artifact(tmp_path / "nowhere")


def test_what_is_no_path_is_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match="is not an artifact"):
        open_artifact("a\0b")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(ArtifactInvalid, match="is not an artifact"):
        open_artifact(tmp_path / "circle")


def test_a_folder_without_manifest_is_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match=r"no manifest\.json in it"):
        open_artifact(tmp_path)


def test_golden_crops_that_give_other_directions_are_told_with_figures(folder: Path) -> None:
    away = np.ones(DIM)
    away[0] = -1
    with pytest.raises(EngineFailure, match=r"other embeddings here .* cosine 0\.\d+ \(at least 0\.9999\)"):
        open_artifact(with_golden_embeddings(folder, away))


def test_golden_crops_that_give_other_lengths_are_told_with_figures(folder: Path) -> None:
    with pytest.raises(EngineFailure, match=r"lengths off by 0\.5 \(at most 0\.001\)"):
        open_artifact(with_golden_embeddings(folder, 2))


@pytest.mark.parametrize(
    "golden",
    [
        Golden(crops=np.zeros((2, 9, 9, 3), np.uint8), embeddings=np.zeros((2, DIM), np.float32)),
        Golden(crops=np.zeros((2, 32, 16, 3), np.uint8), embeddings=np.zeros((2, DIM))),
        Golden(crops=np.zeros((2, 32, 16, 3), np.uint8), embeddings=np.zeros((1, DIM), np.float32)),
        Golden(crops=np.zeros((0, 32, 16, 3), np.uint8), embeddings=np.zeros((0, DIM), np.float32)),
        Golden(crops=np.array([{}]), embeddings=np.zeros((1, DIM), np.float32)),
    ],
    ids=["size", "dtype", "count", "none", "pickle"],
)
def test_a_golden_file_that_does_not_fit_is_refused(folder: Path, golden: Golden) -> None:
    write_golden(folder, golden)
    with pytest.raises(ArtifactInvalid, match=r"golden\.npz (holds|cannot be read)"):
        open_artifact(altered(folder))


def test_a_golden_bomb_is_not_unpacked(folder: Path) -> None:
    np.savez_compressed(folder / "golden.npz", crops=np.zeros(300 << 20, np.uint8), embeddings=np.zeros(1))
    with pytest.raises(ArtifactInvalid, match="unpacks to 31457"):
        open_artifact(altered(folder))


def test_an_unknown_engine_is_told_with_a_suggestion(folder: Path) -> None:
    with pytest.raises(ArtifactInvalid, match="asks for the engine 'onnxruntim': did you mean 'onnxruntime'"):
        open_artifact(altered(folder, engine="onnxruntim"))


def test_an_unknown_precision_is_refused(folder: Path) -> None:
    with pytest.raises(ArtifactInvalid, match="built in int3, this reidkit knows fp32"):
        open_artifact(altered(folder, precision=PrecisionInfo(requested="int3", built="int3")))


def test_a_missing_library_names_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependency, match=r"Opening tiny needs onnxruntime.*reidkit\[onnxruntime\]"):
        open_artifact(folder)


def test_native_code_runs_only_when_trusted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OnnxRuntimeEngine, "runs_native_code", True)
    with pytest.raises(ArtifactUntrusted, match="--trust"):
        open_artifact(folder)
    open_artifact(folder, trusted=True).close()


def test_a_model_with_other_tensors_than_the_manifest_says_is_refused(folder: Path) -> None:
    size = read_artifact(folder)[0].preprocessing
    with pytest.raises(ArtifactInvalid, match=r"takes uint8 \[None, 3, 32, 16\], its manifest says float32 \[None"):
        open_artifact(altered(folder, preprocessing=replace(size, dtype="float32")))


def test_a_model_for_other_batches_than_the_manifest_says_is_refused(tmp_path: Path) -> None:
    folder = tiny_artifact(tmp_path, Tiny(batch=Batch(dynamic=False, max=4, buckets=[4])))
    with pytest.raises(ArtifactInvalid, match=r"takes uint8 \[4, 3, 32, 16\], its manifest says uint8 \[8"):
        open_artifact(altered(folder, batch=Batch(dynamic=False, max=8, buckets=[8])))


def test_tensors_outside_the_artifact_are_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = onnx.load(folder / "engine.onnx")
    onnx.save_model(
        model, folder / "engine.onnx", save_as_external_data=True, location="tensors.bin", size_threshold=500
    )
    altered(folder)
    open_artifact(folder).close()  # a listed file beside the graph is part of the artifact
    (folder / "tensors.bin").rename(folder.parent / "tensors.bin")
    monkeypatch.chdir(folder.parent)
    with pytest.raises(EngineFailure, match=r"refuses tiny on cpu: .*xternal data"):
        open_artifact(altered(folder))


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_a_library_that_refuses_the_file_is_quoted(tmp_path: Path, target: str) -> None:
    pytest.importorskip(target, reason=f"needs the extra '{target}'")
    folder = tiny_artifact(tmp_path, Tiny(target=target))
    engine_file = folder / read_artifact(folder)[0].engine_file
    engine_file.write_bytes(engine_file.read_bytes()[:99])
    with pytest.raises(EngineFailure, match="refuses tiny"):
        open_artifact(altered(folder))


@pytest.mark.parametrize(
    ("fields", "condition"),
    [
        ({"batch": Batch(dynamic=True, max=0, buckets=[])}, "batch.max is 1"),
        ({"batch": Batch(dynamic=False, max=4, buckets=[])}, "batch.buckets ascend"),
        ({"batch": Batch(dynamic=False, max=4, buckets=[4, 1])}, "batch.buckets ascend"),
        ({"batch": Batch(dynamic=False, max=8, buckets=[1, 4])}, "batch.buckets ascend"),
        ({"engine_file": "elsewhere.onnx"}, "engine_file"),
    ],
    ids=str,
)
def test_values_that_mean_nothing_are_refused(folder: Path, fields: dict[str, object], condition: str) -> None:
    with pytest.raises(ArtifactInvalid, match=f"it must be that .*{condition}"):
        open_artifact(altered(folder, **fields))


def test_pixels_are_not_normalised_as_integers(folder: Path) -> None:
    size = read_artifact(folder)[0].preprocessing
    runtime = replace(size.normalization, where="runtime")
    with pytest.raises(ArtifactInvalid, match="normalises are no integers"):
        open_artifact(altered(folder, preprocessing=replace(size, normalization=runtime)))
