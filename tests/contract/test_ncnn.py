"""ncnn beside torch: trained weights on real crops, every family of networks, and what is this engine's alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tiny_artifact import altered, input_tensor, tiny_artifact, tiny_onnx
from tiny_manifest import HEIGHT, WIDTH, Tiny

torch = pytest.importorskip("torch", reason="exporting needs the extra 'export'")
onnx = pytest.importorskip("onnx", reason="exporting needs the extra 'export'")
from small_networks import SMALL  # noqa: E402

from reidkit.calibration.crops import find_crops, read_crops  # noqa: E402
from reidkit.calibration.street import render_crops  # noqa: E402
from reidkit.export.backbones import find_backbone  # noqa: E402
from reidkit.export.onnx import CropEmbedder  # noqa: E402
from reidkit.export.originals import trained_original  # noqa: E402
from reidkit.export.originals.backbone import LoadedBackbone, trained_backbone  # noqa: E402
from reidkit.export.pipeline import ExportJob, export  # noqa: E402
from reidkit.runtime.artifact.manifest import Batch, PrecisionInfo, Weights  # noqa: E402
from reidkit.runtime.engines import Engine, open_artifact  # noqa: E402
from reidkit.runtime.errors import ArtifactInvalid, ExportFailure, MissingDependency  # noqa: E402
from reidkit.targets import BuildJob, Precision, find_target  # noqa: E402

TARGET = find_target("ncnn")
if reason := TARGET.available():
    pytest.skip(f"target ncnn: {reason}", allow_module_level=True)

CARD = find_backbone("osnet_x0_25")
REAL = 48
BOUNDS = {Precision.FP32: (0.99999, 0.99999, 1e-4), Precision.FP16: (0.995, 0.999, 1e-2)}
"""Least cosine in the worst hundredth and in the middle, most a length may err."""


def job(folder: Path, model: onnx.ModelProto, precision: Precision = Precision.FP32) -> BuildJob:
    onnx.save_model(model, folder / "graph.onnx")
    batch = Batch(dynamic=True, max=4, buckets=[])
    return BuildJob(onnx_path=folder / "graph.onnx", folder=folder, precision=precision, batch=batch)


@pytest.fixture(scope="module")
def real(shared_data: Path) -> tuple[np.ndarray, np.ndarray]:
    """Crops, and their embeddings in torch."""
    crops = read_crops(find_crops(shared_data / "reid_crops" / "market_eval", limit=REAL), CARD.preprocessing)
    return crops, CropEmbedder(trained_backbone(CARD, None).module, CARD.preprocessing).embed(crops)


@pytest.fixture(scope="module", params=BOUNDS, ids=str)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    asked = ExportJob(
        original=partial(trained_original, CARD, None),
        target="ncnn",
        precision=request.param,
        output=tmp_path_factory.mktemp("ncnn"),
    )
    with open_artifact(export(asked).artifact, threads=2) as engine:
        yield engine


@pytest.mark.slow
def test_it_sees_what_torch_sees_at_any_batch(engine: Engine, real: tuple[np.ndarray, np.ndarray]) -> None:
    crops, expected = real
    worst, middle, stretch = BOUNDS[Precision(engine.manifest.precision.built)]
    found = np.concatenate([engine.embed(part, normalize=False) for part in np.split(crops, [0, 1, 4])])
    lengths, right = np.linalg.norm(found, axis=1), np.linalg.norm(expected, axis=1)
    cosines = (found * expected).sum(axis=1) / (lengths * right)
    print(f"{engine.manifest.name}: {np.quantile(cosines, 0.01):.7f}, {np.abs(lengths / right - 1).max():.1e}")
    assert np.quantile(cosines, 0.01) >= worst
    assert np.median(cosines) >= middle
    assert np.abs(lengths / right - 1).max() <= stretch


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_every_family_converts_and_agrees(name: str, tmp_path: Path) -> None:
    build: Callable[[], torch.nn.Module] = SMALL[name]
    torch.manual_seed(0)
    card = replace(CARD, preprocessing=replace(CARD.preprocessing, height=64, width=32))
    random = Weights(source="random", file=None, sha256=None, licence=None, dropped_keys=[])
    network = LoadedBackbone(card, build().eval(), random)
    asked = ExportJob(original=network.original, target="ncnn", precision=Precision.FP32, output=tmp_path)
    parity = export(asked).verdict.parity
    assert parity.cosine_min is not None
    assert parity.cosine_min >= 0.99999
    assert parity.norm_ratio_max_deviation is not None
    assert parity.norm_ratio_max_deviation <= 1e-4


def test_half_precision_makes_the_file_smaller(tmp_path: Path) -> None:
    sizes = {}
    for precision in BOUNDS:
        TARGET.build(job(tmp_path, tiny_onnx(Tiny()), precision))
        sizes[precision] = (tmp_path / "engine.bin").stat().st_size
    assert sizes[Precision.FP16] < 0.7 * sizes[Precision.FP32]


def test_any_number_of_threads_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = tiny_artifact(tmp_path, Tiny(target="ncnn"))
    batch = input_tensor(Tiny(), render_crops(7, seed=1, height=HEIGHT, width=WIDTH))
    answers = set()
    for threads in (1, 2, 5, None):
        with open_artifact(folder, threads=threads) as engine:
            answers.add(engine.embed(batch).tobytes())
    assert len(answers) == 1


def test_the_batch_it_is_given_stays_as_it_is(tmp_path: Path) -> None:
    """ncnn computes in place wherever it can, also over memory that is not its own."""
    tiny = Tiny(target="ncnn", dtype="float32")
    batch = input_tensor(tiny, render_crops(3, seed=1, height=HEIGHT, width=WIDTH))
    before = batch.copy()
    with open_artifact(tiny_artifact(tmp_path, tiny)) as engine:
        engine.embed(batch)
    np.testing.assert_array_equal(batch, before)


@pytest.mark.parametrize("file", ["engine.param", "engine.bin"])
def test_either_file_is_held_to_its_digest(tmp_path: Path, file: str) -> None:
    folder = tiny_artifact(tmp_path, Tiny(target="ncnn"))
    data = bytearray((folder / file).read_bytes())
    data[-2] ^= 1
    (folder / file).write_bytes(data)
    with pytest.raises(ArtifactInvalid, match=f"{file} was altered"):
        open_artifact(folder)


def test_another_precision_is_refused(tmp_path: Path) -> None:
    folder = altered(
        tiny_artifact(tmp_path, Tiny(target="ncnn")), precision=PrecisionInfo(requested="bf16", built="bf16")
    )
    with pytest.raises(ArtifactInvalid, match="built in bf16, this engine computes in fp32 and fp16"):
        open_artifact(folder)


def test_a_layer_that_ncnn_lacks_is_named(tmp_path: Path) -> None:
    model = tiny_onnx(Tiny())
    next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Hardmax"
    with pytest.raises(ExportFailure, match="refuses the graph: it has no layer "):
        TARGET.build(job(tmp_path, model))
    assert [path.name for path in tmp_path.iterdir()] == ["graph.onnx"]


def test_without_pnnx_it_says_which_extra_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pnnx", None)
    assert TARGET.available() == "pnnx is not installed"
    with pytest.raises(MissingDependency, match=r"pip install 'reidkit\[ncnn-export\]'"):
        TARGET.build(job(tmp_path, tiny_onnx(Tiny())))


def test_closing_gives_the_memory_back(tmp_path: Path) -> None:
    folder = tiny_artifact(tmp_path, Tiny(target="ncnn"))
    engine = open_artifact(folder, threads=2)
    engine.embed(input_tensor(Tiny(), render_crops(3, seed=1, height=HEIGHT, width=WIDTH)))
    workers = engine._pool._threads  # type: ignore[attr-defined]
    assert workers
    engine.close()
    assert not any(worker.is_alive() for worker in workers)
    assert not hasattr(engine, "_network")
