"""What is LiteRT's own: several signatures in one file that share weights and scales, and the two ways of int8.

On OSNet x0.25 with real weights, and on the miniature. What all targets have in common is held to elsewhere.
"""

from __future__ import annotations

import gc
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tiny_artifact import altered, tiny_artifact, tiny_job, tiny_onnx
from tiny_manifest import Tiny
from tiny_program import tiny_program

torch = pytest.importorskip("torch", reason="networks need the extra 'export'")
if find_spec("litert_torch") is None:
    pytest.skip("needs the extra 'litert-export'", allow_module_level=True)

from reidkit.calibration.crops import find_crops, read_crops  # noqa: E402
from reidkit.calibration.gates import compare_embeddings  # noqa: E402
from reidkit.calibration.street import render_crops  # noqa: E402
from reidkit.export.backbones import find_backbone  # noqa: E402
from reidkit.export.originals import Original, onnx_original, trained_original  # noqa: E402
from reidkit.export.pipeline import ExportJob, export  # noqa: E402
from reidkit.runtime.artifact import read_artifact  # noqa: E402
from reidkit.runtime.artifact.manifest import Batch, PrecisionInfo  # noqa: E402
from reidkit.runtime.engines import Engine, open_artifact  # noqa: E402
from reidkit.runtime.errors import ArtifactInvalid, ExportFailure, InvalidInput  # noqa: E402
from reidkit.targets import BuildJob, Precision, find_target  # noqa: E402
from reidkit.targets._litert_quantizer import dynamic_int8, full_int8, halved  # noqa: E402
from reidkit.targets._litert_ways import fittest  # noqa: E402

CARD = find_backbone("osnet_x0_25")
CROPS = 40


@pytest.fixture(scope="module")
def original(shared_data: Path) -> Original:
    return trained_original(CARD, shared_data / "reid_weights" / "osnet_x0_25_msmt17.pt")


@pytest.fixture(scope="module")
def crops(shared_data: Path) -> np.ndarray:
    return read_crops(find_crops(shared_data / "reid_crops" / "market_eval", limit=CROPS), CARD.preprocessing)


@pytest.fixture(scope="module")
def reference(original: Original, crops: np.ndarray) -> np.ndarray:
    return original.embed(crops)


@pytest.fixture(scope="module")
def artifact(original: Original, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In float32, with signatures for one crop and for four."""
    job = ExportJob(
        original=lambda: original,
        target="litert",
        precision=Precision.FP32,
        output=tmp_path_factory.mktemp("litert"),
        batch_sizes=(1, 4),
    )
    return export(job).artifact


@pytest.fixture(scope="module")
def engine(artifact: Path) -> Iterator[Engine]:
    with open_artifact(artifact, threads=1) as engine:
        yield engine


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 4, 9], ids="N={}".format)
def test_float32_is_torch(engine: Engine, crops: np.ndarray, reference: np.ndarray, batch: int) -> None:
    found = np.concatenate([engine.embed(crops[at : at + batch], normalize=False) for at in range(0, CROPS, batch)])
    parity = compare_embeddings(reference, found)
    assert parity.cosine_min >= 0.99999
    assert parity.norm_ratio_max_deviation <= 1e-4


@pytest.mark.slow
def test_every_batch_gives_the_same_bytes_again(engine: Engine, crops: np.ndarray) -> None:
    assert engine.embed(crops[:7]).tobytes() == engine.embed(crops[:7]).tobytes()
    assert engine.embed(crops[:0]).shape == (0, engine.embedding_dim)


@pytest.mark.slow
def test_the_manifest_tells_what_built_it(artifact: Path) -> None:
    manifest, _ = read_artifact(artifact)
    assert (manifest.batch.max, manifest.batch.buckets) == (4, [1, 4])
    assert manifest.toolchain["inference_precision"] == "f32"
    assert manifest.toolchain.keys() >= {"torch", "litert-torch", "ai-edge-litert"}
    assert "onnx" not in manifest.toolchain


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "median", "p01", "largest"),
    [("fp16", 0.999, 0.995, 0.9), ("full", 0.98, 0.97, 0.9), ("dynamic", 0.98, 0.97, 0.9)],
)
def test_fewer_bits_keep_people_apart_in_a_smaller_file(
    artifact: Path,
    shared_data: Path,
    crops: np.ndarray,
    reference: np.ndarray,
    tmp_path: Path,
    precision: str,
    median: float,
    p01: float,
    largest: float,
) -> None:
    whole = (artifact / "engine.tflite").read_bytes()
    if precision == "full":
        seen = read_crops(find_crops(shared_data / "reid_crops" / "market_train", limit=32), CARD.preprocessing)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the quantizer, about the memory it takes
            model = full_int8(whole, seen, size=1)
    else:
        model = {"fp16": halved, "dynamic": dynamic_int8}[precision](whole)
    assert len(model) < largest * len(whole)
    with open_artifact(_with_model(artifact, tmp_path, model, precision)) as engine:
        alone = np.concatenate([engine.embed(crop[None], normalize=False) for crop in crops])
        parity = compare_embeddings(reference, alone)
        np.testing.assert_allclose(engine.embed(crops, normalize=False), alone, rtol=1e-3, atol=1e-3)
    print(f"{precision}: {parity}, {len(model)} of {len(whole)} bytes")
    assert parity.cosine_median >= median
    assert parity.cosine_p01 >= p01


def _with_model(artifact: Path, parent: Path, model: bytes, precision: str) -> Path:
    folder = parent / artifact.name
    shutil.copytree(artifact, folder)
    (folder / "engine.tflite").write_bytes(model)
    built = "fp16" if precision == "fp16" else "int8"
    return altered(folder, precision=PrecisionInfo(requested=built, built=built))


def miniature(folder: Path, **changes: Any) -> BuildJob:
    return replace(tiny_job(Tiny(target="litert"), folder, into=folder), **changes)


def test_int8_is_built_in_the_way_that_is_asked_for_or_in_the_faster(tmp_path: Path) -> None:
    crops = render_crops(8, seed=2, height=32, width=16).transpose(0, 3, 1, 2)
    found = {}
    for asked in ("full", "dynamic", None):
        options = {"int8": asked} if asked else {}
        job = miniature(tmp_path, precision=Precision.INT8, options=options, calibration=crops)
        built = find_target("litert").build(job)
        found[asked] = built.toolchain["int8"]
        assert built.calibrated is (found[asked] == "full")
    assert found.pop(None) in ("full", "dynamic")
    assert all(asked == built for asked, built in found.items())


@pytest.mark.slow
def test_the_way_that_keeps_no_embeddings_or_does_not_run_is_not_taken(artifact: Path, crops: np.ndarray) -> None:
    whole = (artifact / "engine.tflite").read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the quantizer, about the memory it takes
        blind = full_int8(whole, np.zeros_like(crops[:2]), size=1)  # scales of black pictures
    ways = {"blind": blind, "dynamic": dynamic_int8(whole), "torn": whole[: len(whole) // 2]}
    taken, against = fittest(ways, whole, crops, size=1)
    assert taken == "dynamic"
    assert against.keys() == {"int8 blind", "int8 torn"}
    assert "cosine" in against["int8 blind"]
    assert fittest({"blind": blind}, whole, crops, size=1)[0] == "blind"


def test_only_full_int8_takes_crops(tmp_path: Path) -> None:
    target = find_target("litert")
    for options in ({}, {"int8": "full"}):
        with pytest.raises(InvalidInput, match="int8 takes crops to calibrate with"):
            target.build(miniature(tmp_path, precision=Precision.INT8, options=options))
    assert target.build(miniature(tmp_path, precision=Precision.INT8, options={"int8": "dynamic"}))


def test_what_somebody_keeps_is_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = miniature(tmp_path, program=cache(tiny_program(Tiny(target="litert"))))
    find_target("litert").build(job)
    whole = (tmp_path / "engine.tflite").read_bytes()
    monkeypatch.setattr("litert_torch.Converter", None)
    find_target("litert").build(replace(job, precision=Precision.FP16))
    assert (tmp_path / "engine.tflite").read_bytes() == halved(whole)
    with pytest.raises(ExportFailure, match="refuses this network: 'NoneType' object is not callable"):
        find_target("litert").build(miniature(tmp_path))


def test_a_third_way_of_int8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="option int8 of target litert cannot be 'half': full or dynamic"):
        find_target("litert").build(miniature(tmp_path, precision=Precision.INT8, options={"int8": "half"}))


def test_a_way_of_int8_is_no_way_of_float(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="option int8 of target litert does nothing in fp32: it is for int8"):
        find_target("litert").build(miniature(tmp_path, options={"int8": "full"}))


class Unheard(torch.nn.Module):
    """Computes what torch exports and LiteRT has no word for."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(images.float().mean((2, 3)))


def test_an_operator_that_litert_lacks_is_an_export_failure(tmp_path: Path) -> None:
    def program(batch: int) -> torch.export.ExportedProgram:
        return torch.export.export(Unheard(), (torch.zeros(batch, 3, 32, 16, dtype=torch.uint8),))

    with pytest.raises(ExportFailure, match=r"LiteRT, by litert-torch \S+, refuses this network: .*bessel"):
        find_target("litert").build(miniature(tmp_path, program=program))
    assert not (tmp_path / "engine.tflite").exists()


def test_a_ready_onnx_file_is_refused(tmp_path: Path) -> None:
    onnx.save_model(tiny_onnx(Tiny(dtype="float32", where="runtime")), tmp_path / "tiny.onnx")
    job = ExportJob(
        original=lambda: onnx_original(tmp_path / "tiny.onnx", preprocessing="rgb-imagenet-32x16"),
        target="litert",
        precision=Precision.FP32,
        output=tmp_path / "artifacts",
    )
    with pytest.raises(ExportFailure, match="target litert is built from a network in torch, tiny is none"):
        export(job)
    assert not (tmp_path / "artifacts").exists()


def test_a_file_without_the_signatures_of_its_manifest_is_refused(tmp_path: Path) -> None:
    fixed = tiny_artifact(tmp_path, Tiny(target="litert", batch=Batch(dynamic=False, max=4, buckets=[4])))
    altered(fixed, batch=Batch(dynamic=True, max=4, buckets=[]))
    with pytest.raises(ArtifactInvalid, match="has no signature for batches of 1"):
        open_artifact(fixed)


def test_what_is_closed_is_given_back(tmp_path: Path) -> None:
    folder = tiny_artifact(tmp_path, Tiny(target="litert"))
    before = _interpreters()
    engine = open_artifact(folder)
    assert _interpreters() == before + 1
    engine.close()
    assert _interpreters() == before


def _interpreters() -> int:
    """How many of LiteRT's hold memory."""
    from ai_edge_litert.interpreter import Interpreter

    gc.collect()
    return sum(type(held) is Interpreter for held in gc.get_objects())
