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
from reidkit.calibration.gates import compare_embeddings  # noqa: E402
from reidkit.calibration.street import render_crops  # noqa: E402
from reidkit.export.backbones import find_backbone  # noqa: E402
from reidkit.export.onnx import CropEmbedder, write_onnx  # noqa: E402
from reidkit.export.originals import trained_original  # noqa: E402
from reidkit.export.originals.backbone import LoadedBackbone, trained_backbone  # noqa: E402
from reidkit.export.pipeline import ExportJob, export  # noqa: E402
from reidkit.runtime.artifact.manifest import Batch, PrecisionInfo, Weights  # noqa: E402
from reidkit.runtime.engines import Engine, open_artifact  # noqa: E402
from reidkit.runtime.errors import ArtifactInvalid, ExportFailure, MissingDependency  # noqa: E402
from reidkit.targets import BuildJob, Precision, find_target  # noqa: E402
from reidkit.targets._ncnn_quantizer import int8  # noqa: E402

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


@pytest.mark.slow
def test_int8_keeps_people_apart_in_a_third_of_the_size(
    real: tuple[np.ndarray, np.ndarray], shared_data: Path, tmp_path: Path
) -> None:
    crops, expected = real
    asked = ExportJob(
        original=partial(trained_original, CARD, None),
        target="ncnn",
        precision=Precision.INT8,
        output=tmp_path,
        calibration=shared_data / "reid_crops" / "market_train",
    )
    artifact = export(asked).artifact
    with open_artifact(artifact) as engine:
        parity = compare_embeddings(expected, engine.embed(crops, normalize=False))
    assert parity.cosine_p01 is not None
    assert parity.cosine_p01 >= 0.98
    assert (artifact / "engine.bin").stat().st_size < 300_000  # 800,000 in float32
    assert " 8=1" in (artifact / "engine.param").read_text()


@pytest.mark.parametrize("name", ["clip", "convnext"])
def test_int8_is_refused_where_the_products_are_of_another_kind(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    small = replace(CARD.preprocessing, height=64, width=32)
    write_onnx(CropEmbedder(SMALL[name](), small), tmp_path / "graph.onnx")
    crops = np.zeros((1, 3, 64, 32), np.uint8)
    batch = Batch(dynamic=True, max=4, buckets=[])
    asked = BuildJob(
        onnx_path=tmp_path / "graph.onnx", folder=tmp_path, precision=Precision.INT8, batch=batch, calibration=crops
    )
    with pytest.raises(ExportFailure, match="as a Gemm, which is not quantised here"):
        TARGET.build(asked)


def test_groups_of_several_channels_stay_in_float(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 16, 3, groups=2), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers, torch.nn.Conv2d(16, 16, 3, groups=16), torch.nn.AdaptiveAvgPool2d(1))
    small = replace(CARD.preprocessing, height=HEIGHT, width=WIDTH)
    write_onnx(CropEmbedder(torch.nn.Sequential(network, torch.nn.Flatten()), small), tmp_path / "graph.onnx")
    crops = render_crops(4, seed=1, height=HEIGHT, width=WIDTH).transpose(0, 3, 1, 2)
    batch = Batch(dynamic=True, max=4, buckets=[])
    TARGET.build(
        BuildJob(
            onnx_path=tmp_path / "graph.onnx", folder=tmp_path, precision=Precision.INT8, batch=batch, calibration=crops
        )
    )
    products = [line for line in (tmp_path / "engine.param").read_text().splitlines() if line.startswith("Conv")]
    assert [" 8=1" in line for line in products] == [True, False, True]


def test_int8_of_nothing_is_refused_and_not_float_by_another_name(tmp_path: Path) -> None:
    TARGET.build(job(tmp_path, tiny_onnx(Tiny())))
    structure, weights = ((tmp_path / f"engine.{kind}").read_bytes() for kind in ("param", "bin"))
    # Mean and deviation are all its weights then.
    nothing = structure.replace(b"Convolution ", b"ReLU        ").replace(b"InnerProduct ", b"ReLU         ")
    with pytest.raises(ExportFailure, match="ncnn has nothing to quantise"):
        int8(pytest.importorskip("ncnn"), nothing, weights[:24], np.zeros((1, 3, HEIGHT, WIDTH), np.uint8))


def test_int8_is_the_nearest_of_255_levels(tmp_path: Path) -> None:
    """Weights and scales as ncnn will read them, beside those of the float network."""
    TARGET.build(job(tmp_path, tiny_onnx(Tiny())))
    structure, weights = ((tmp_path / f"engine.{kind}").read_bytes() for kind in ("param", "bin"))
    crops = render_crops(4, seed=1, height=HEIGHT, width=WIDTH).transpose(0, 3, 1, 2)
    told, content = int8(pytest.importorskip("ncnn"), structure, weights, crops)
    assert told.count(b" 8=1") == 2
    begin, outputs, count = 6 * 4 + 4, 8, 216  # behind mean and deviation; the first convolution, without bias
    whole = np.frombuffer(weights, "<f4", count, begin).reshape(outputs, -1)
    integers = np.frombuffer(content, np.int8, count, begin).reshape(outputs, -1)
    scales = np.frombuffer(content, "<f4", outputs, begin + count)
    assert content[begin - 4 : begin] == (0x000D4B38).to_bytes(4, "little")
    np.testing.assert_array_equal(np.abs(integers).max(axis=1), 127)
    assert (np.abs(integers / scales[:, None] - whole) <= 0.5001 / scales[:, None]).all()


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
    with pytest.raises(ArtifactInvalid, match="built in bf16, this engine computes in fp32, fp16 and int8"):
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
