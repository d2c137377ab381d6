"""Ensembles: what the one graph computes, which weights go where, what is refused, and what is told of the result."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="exporting needs the extra 'export'")
for library in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(library, reason="exporting needs the extra 'export'")

import onnx  # noqa: E402
from torch.nn import functional  # noqa: E402

from reidkit.calibration.metrics import read_gallery, score_retrieval  # noqa: E402
from reidkit.calibration.street import render_crops  # noqa: E402
from reidkit.export.backbones import _from_files, backbones, find_backbone, use_backbones_of  # noqa: E402
from reidkit.export.commands.export import export  # noqa: E402
from reidkit.export.ensembles import Ensemble, find_gallery, load_parts  # noqa: E402
from reidkit.export.ensembles.network import Join, Way  # noqa: E402
from reidkit.export.ensembles.projection import Projection  # noqa: E402
from reidkit.export.ensembles.worth import counted, with_retrieval  # noqa: E402
from reidkit.export.onnx import run_onnx  # noqa: E402
from reidkit.export.originals import untrained_backbone  # noqa: E402
from reidkit.runtime.artifact.folder import read_artifact  # noqa: E402
from reidkit.runtime.engines import open_artifact  # noqa: E402
from reidkit.runtime.errors import (  # noqa: E402
    ExportFailure,
    InvalidCheckpoint,
    InvalidFile,
    InvalidInput,
    ReidkitError,
)

MINE = """
import torch
from dataclasses import replace
from functools import partial
from reidkit.export.backbones.card import IMAGENET_256X128, ModelCard
from reidkit.runtime.artifact.manifest import Normalization

CROPS = replace(IMAGENET_256X128, height=32, width=16)
GREY = Normalization(where="graph", scale=1.0, mean=[100.0, 110.0, 120.0], std=[50.0, 60.0, 70.0])

class Network(torch.nn.Module):
    def __init__(self, dim, running=True):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 5, stride=4)
        self.norm = torch.nn.BatchNorm2d(8, track_running_stats=running)
        self.fc = torch.nn.Linear(8, dim)

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).relu().mean((2, 3)))

def card(name, dim, crops=CROPS, **options):
    build = partial(Network, dim, **options)
    return ModelCard(name=name, family="mine", build=build, preprocessing=crops, source="", terms="")

CARDS = (
    card("narrow", 12),
    card("wide", 20),
    card("blue", 8, replace(CROPS, height=48, width=12, color="bgr", normalization=GREY)),
    card("crowd", 12, running=False),
)
"""


@pytest.fixture(scope="module", autouse=True)
def mine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file of little networks, in use."""
    path = tmp_path_factory.mktemp("mine") / "mine.py"
    path.write_text(MINE)
    use_backbones_of(path)
    yield path
    _from_files.clear()
    backbones.cache_clear()


def ensemble(*names: str, weights: list[float] | None = None) -> Ensemble:
    return Ensemble.of(load_parts([find_backbone(name) for name in names], (), random=True), weights=weights)


def crops(count: int, *, height: int = 32, width: int = 16) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, 3, height, width), dtype=np.uint8)


def graph(whole: Ensemble, folder: Path) -> Path:
    whole.original().write_onnx(folder / "graph.onnx")
    return folder / "graph.onnx"


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def checkpoint(name: str, path: Path, *, seed: int = 0) -> Path:
    torch.save(untrained_backbone(find_backbone(name), seed=seed).module.state_dict(), path)
    return path


def test_the_graph_joins_weighted_unit_embeddings(tmp_path: Path) -> None:
    whole, images = ensemble("narrow", "wide", "narrow", weights=[1, 0.5, 2]), crops(8)
    how = whole.preprocessing.normalization
    mean, std = torch.tensor(how.mean)[:, None, None], torch.tensor(how.std)[:, None, None]
    with torch.inference_mode():
        prepared = (torch.from_numpy(images).float() / 255 - mean) / std
        parts = [functional.normalize(part.backbone.module(prepared)) for part in whole.parts]
        expected = torch.cat([parts[0], 0.5 * parts[1], 2 * parts[2]], 1).numpy()
    embed = run_onnx(graph(whole, tmp_path))
    assert expected.shape == (8, whole.dim) == (8, 12 + 20 + 12)
    for found in (
        whole.original().embed(images),
        whole.join(whole.unit_embeddings(images)),
        embed(images),
        np.concatenate([embed(images[row : row + 1]) for row in range(8)]),
    ):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_a_part_sees_its_own_colours_size_and_normalisation(tmp_path: Path) -> None:
    whole = ensemble("narrow", "blue")
    assert (whole.preprocessing.height, whole.preprocessing.width, whole.preprocessing.color) == (48, 16, "rgb")
    images = crops(3, height=48, width=16)
    blue, narrow = find_backbone("blue").preprocessing, find_backbone("narrow").preprocessing
    expected = []
    for part, how in zip(whole.parts, (narrow, blue), strict=True):
        grey = torch.from_numpy(images[:, ::-1].copy() if how is blue else images).double()
        grey = functional.interpolate(grey, (how.height, how.width), mode="bilinear", align_corners=False)
        norm = how.normalization
        mean, std = torch.tensor(norm.mean)[:, None, None], torch.tensor(norm.std)[:, None, None]
        with torch.inference_mode():
            expected.append(unit(part.backbone.module(((grey * norm.scale - mean) / std).float()).numpy()))
    for found in (whole.original().embed(images), run_onnx(graph(whole, tmp_path))(images)):
        np.testing.assert_allclose(found, np.concatenate(expected, 1), rtol=0, atol=2e-6)
    assert [note.split(" takes ")[0] for note in whole.compromises()] == ["narrow", "blue"]


def test_what_is_equal_is_done_once_and_the_join_can_be_found(tmp_path: Path) -> None:
    nodes = onnx.load(graph(ensemble("narrow", "wide", weights=[1, 2]), tmp_path)).graph.node
    assert [node.op_type for node in nodes].count("Cast") == 1
    assert not [node.name for node in nodes if "ways" in node.name]
    joining = [node.op_type for node in nodes if node.name.startswith("backbone.join")]
    assert sorted(joining) == ["Concat", "Div", "Div", "Mul", "ReduceL2", "ReduceL2"]
    nodes = onnx.load(graph(ensemble("blue", "narrow", "wide"), tmp_path)).graph.node
    assert [node.op_type for node in nodes].count("Resize") == 2


def test_one_normalisation_told_in_two_ways_is_done_once() -> None:
    ours, fastreid = find_backbone("osnet_x0_25").preprocessing, find_backbone("resnest50_bot").preprocessing
    assert ours.normalization != fastreid.normalization
    assert Way(ours, fastreid).gain is None
    assert Way(ours, find_backbone("blue").preprocessing).gain is not None


def test_the_join_is_float32_whatever_comes_in() -> None:
    small = torch.full((2, 12), 1e-4, dtype=torch.float16)  # its squares are nothing in half precision
    joined = Join([1.0, 0.5])([small, small.double()])
    assert joined.dtype == torch.float32
    np.testing.assert_allclose(np.linalg.norm(joined.numpy(), axis=1), 1.25**0.5, rtol=1e-6)


def test_a_part_of_weight_zero_decides_nothing() -> None:
    images = crops(6)
    whole, alone = (ensemble("narrow", "wide", weights=[1, 0]), ensemble("narrow", "wide"))
    found = unit(whole.original().embed(images))
    expected = alone.unit_embeddings(images)[0]
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-6)


def test_weights_outlive_the_normalisation_at_run_time() -> None:
    whole, images = ensemble("narrow", "wide", weights=[1, 0.5]), crops(6)
    joined = unit(whole.original().embed(images))
    narrow, wide = whole.unit_embeddings(images)
    np.testing.assert_allclose(joined @ joined.T, (narrow @ narrow.T + 0.25 * wide @ wide.T) / 1.25, atol=1e-6)


def test_a_projection_is_a_principal_component_analysis(tmp_path: Path) -> None:
    whole, images = ensemble("narrow", "wide", weights=[1, 0.5]), crops(100)
    joined = whole.join(whole.unit_embeddings(images)).astype(np.float64)
    variances, axes = np.linalg.eigh(np.cov(joined.T))
    expected = (joined - joined.mean(0)) @ axes[:, ::-1][:, :6]
    projection = Projection.fit(joined.astype(np.float32), width=6)
    projected = replace(whole, projection=projection)
    assert projection.explained == pytest.approx(variances[::-1][:6].sum() / variances.sum())
    np.testing.assert_allclose(projection.axes.T @ projection.axes, np.eye(6), atol=1e-6)
    found = run_onnx(graph(projected, tmp_path))(images)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-5)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-5)
    np.testing.assert_allclose(found, projected.join(whole.unit_embeddings(images)), atol=1e-6)
    assert projected.dim == 6


@pytest.mark.parametrize(
    ("count", "width", "saying"),
    [
        (100, 13, "the parts together are 12 wide"),
        (5, 5, "cannot be found from 5 crops: they lie along 4 axes"),
    ],
)
def test_axes_that_cannot_be_are_refused(count: int, width: int, saying: str) -> None:
    with pytest.raises(InvalidInput, match=saying):
        Projection.fit(np.random.default_rng(0).normal(size=(count, 12)).astype(np.float32), width=width)


def test_crops_that_do_not_differ_have_no_axes() -> None:
    with pytest.raises(InvalidInput, match="20 crops do not differ"):
        Projection.fit(np.full((20, 12), 0.3, np.float32), width=2)


def test_a_part_that_looks_at_its_neighbours_is_refused() -> None:
    with pytest.raises(ExportFailure, match="crowd embeds a crop differently when another is beside it"):
        ensemble("narrow", "crowd")


@pytest.mark.parametrize(
    ("weights", "saying"),
    [
        ([1], "1 ensemble weights for 2 parts"),
        ([1, 2, 3], "3 ensemble weights for 2 parts"),
        ([1, -1], "ensemble weights 1, -1: give finite numbers"),
        ([1, float("nan")], "ensemble weights 1, nan"),
        ([0, 0], "ensemble weights 0, 0"),
    ],
)
def test_weights_that_mean_nothing_are_refused(weights: list[float], saying: str) -> None:
    with pytest.raises(InvalidInput, match=saying):
        ensemble("narrow", "wide", weights=weights)


def test_one_network_is_no_ensemble() -> None:
    with pytest.raises(InvalidInput, match="two parts or more"):
        ensemble("narrow")


def test_files_belong_to_parts_in_their_order(tmp_path: Path) -> None:
    files = [checkpoint("wide", tmp_path / "a.pt"), checkpoint("narrow", tmp_path / "b.pt")]
    files.append(checkpoint("narrow", tmp_path / "c.pt", seed=1))
    cards = [find_backbone(name) for name in ("wide", "narrow", "narrow")]
    for parts in (load_parts(cards, files), load_parts([], files)):
        assert [(part.card.name, part.weights.file) for part in parts] == [
            ("wide", "a.pt"),
            ("narrow", "b.pt"),
            ("narrow", "c.pt"),
        ]
    info = Ensemble.of(parts).original().backbone
    assert (info.name, info.weights.file, info.weights.source) == ("wide+narrow+narrow", "a.pt+b.pt+c.pt", "file")


def test_swapped_files_are_told_by_their_keys(tmp_path: Path) -> None:
    narrow, wide = checkpoint("narrow", tmp_path / "a.pt"), checkpoint("wide", tmp_path / "b.pt")
    cards = [find_backbone("narrow"), find_backbone("wide")]
    with pytest.raises(InvalidCheckpoint, match="does not hold the weights of narrow") as refusal:
        load_parts(cards, [wide, narrow])
    assert (
        refusal.value.remedy
        == f"files are given in the order of the parts, narrow, wide: --weights {narrow} --weights {wide}"
    )


def test_files_may_be_left_out_where_weights_come_with_reidkit(tmp_path: Path) -> None:
    cards = [find_backbone("osnet_x0_25"), find_backbone("narrow")]
    parts = load_parts(cards, [checkpoint("narrow", tmp_path / "a.pt")])
    assert [part.weights.source for part in parts] == ["embedded", "file"]
    backbone = Ensemble.of(parts).original().backbone
    assert backbone.weights.file == "osnet_x0_25.safetensors+a.pt"
    assert backbone.weights.licence == parts[0].weights.licence
    with pytest.raises(InvalidInput, match=r"no weights of narrow come with reidkit: give --weights FILE"):
        load_parts(cards, [])
    with pytest.raises(InvalidInput, match=r"3 weights files for 2 parts: .* or once for narrow alone"):
        load_parts(cards, [tmp_path / "a.pt"] * 3)


def test_a_model_of_the_catalogue_brings_its_downloaded_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cards = [find_backbone("osnet_x0_25"), find_backbone("osnet_x0_25")]
    names = ["osnet_x0_25", "osnet_x0_25_msmt17.pt"]
    with pytest.raises(InvalidInput, match=r"are not here: reid-models --download osnet_x0_25_msmt17, or give"):
        load_parts(cards, [], names=names)
    (tmp_path / "reidkit" / "weights").mkdir(parents=True)
    checkpoint("osnet_x0_25", tmp_path / "reidkit" / "weights" / "osnet_x0_25_msmt17.pt")
    parts = load_parts(cards, [], names=names)
    assert [part.weights.source for part in parts] == ["embedded", "downloaded"]


def test_a_number_of_files_that_fits_nothing_is_refused(tmp_path: Path) -> None:
    path = checkpoint("narrow", tmp_path / "a.pt")
    cards = [find_backbone("narrow"), find_backbone("wide")]
    with pytest.raises(InvalidInput, match="1 weights file for 2 parts: give --weights once for each of narrow, wide"):
        load_parts(cards, [path])
    with pytest.raises(InvalidInput, match=r"parts 1 and 2 are both narrow with the weights of a\.pt"):
        load_parts([cards[0], cards[0]], [path, path])


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered crops of six people, each seen twice by two cameras."""
    cv2 = pytest.importorskip("cv2", reason="writing crops needs OpenCV")
    folder = tmp_path_factory.mktemp("gallery")
    for row, image in enumerate(render_crops(24, seed=3, height=64, width=32)):
        cv2.imwrite(str(folder / f"{1 + row // 4:04}_c{1 + row % 2}s1_{row:06}_00.png"), image)
    return folder


def run(output: Path, mine: Path, *arguments: object) -> Result:
    fixed = ("--backbones", mine, "--target", "onnxruntime", "--output", output)
    return CliRunner().invoke(export, [*map(str, arguments), *map(str, fixed)])


def test_an_ensemble_is_exported_and_compared(tmp_path: Path, mine: Path, gallery: Path) -> None:
    options = ["--model", "narrow+wide", "--random-weights", "--ensemble-weights", "1,0.5"]
    done = run(tmp_path, mine, *options, "--crops", gallery, "--width", "8", "--json")
    assert done.exit_code == 0, done.output
    assert [path.name for path in tmp_path.iterdir()] == ["narrow+wide-onnxruntime-fp32"]
    report = json.loads(done.stdout)
    manifest, _ = read_artifact(Path(report["artifact"]))
    told = manifest.ensemble
    assert told is not None
    assert told.projection is not None
    assert [(part.name, part.dim, part.weight) for part in told.parts] == [("narrow", 12, 1.0), ("wide", 20, 0.5)]
    assert (told.projection.joined_dim, told.projection.crops) == (32, 24)
    assert manifest.embedding.dim == 8
    assert manifest.embedding.l2 == "runtime"
    worth = report["ensemble"]
    assert (worth["gallery"], worth["queries"]) == (gallery.name, 12)
    assert worth["explained"] == told.projection.explained
    best = max(part["mean_average_precision"] for part in worth["parts"])
    assert worth["gain"] == pytest.approx(worth["whole"]["mean_average_precision"] - best)
    assert all(member["ms_per_crop"] > 0 for member in (*worth["parts"], worth["whole"]))
    assert "the axes were found on the gallery itself" in worth["notes"][-1]
    with open_artifact(report["artifact"]) as engine:
        embeddings = engine.embed(engine.batch_memory(0))
    assert embeddings.shape == (0, 8)


def test_without_a_gallery_its_cost_is_told(tmp_path: Path, mine: Path) -> None:
    done = run(tmp_path, mine, "--model", "wide+blue", "--random-weights")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[1] == "  model   wide+blue from random weights"
    rows = [line.split() for line in lines if line.split()[0] in ("part", "wide", "blue", "together")]
    assert [row[0] for row in rows] == ["part", "wide", "blue", "together"]
    assert rows[3][-3:] == ["-", "-", "-"]
    assert lines[-1].startswith("  note    blue takes 48x12 crops")


@pytest.mark.parametrize(
    ("arguments", "saying"),
    [
        (["--model", "narrow", "--width", "8", "--crops", "x"], "are for ensembles"),
        (["--model", "narrow", "--ensemble-weights", "1,2"], "are for ensembles"),
        (["--model", "narrow+wide", "--width", "8"], "--width needs --crops"),
        (["--model", "narrow+"], "a name is missing beside the +"),
        (["--model", "narrow", "--weights", "a", "--weights", "b"], "one network has one --weights FILE"),
        (["--model", "narrow+wide", "--ensemble-weights", "1;2"], "give a number for each part"),
        (["--model", "narrow+wide", "--preprocessing", "rgb-0-1-32x16"], "--preprocessing is for"),
    ],
)
def test_a_command_that_does_not_fit_together_is_refused(
    arguments: list[str], saying: str, tmp_path: Path, mine: Path
) -> None:
    done = run(tmp_path, mine, *arguments)
    assert done.exit_code == 2, done.output
    assert saying in done.stderr


@pytest.mark.parametrize(
    ("arguments", "saying"),
    [
        (["--model", "narrow+wyde", "--random-weights"], "there is no backbone 'wyde': did you mean 'wide'?"),
        (["--model", "narrow+wide"], "no weights of narrow come with reidkit: give --weights FILE"),
        (["--model", "narrow+crowd", "--random-weights"], "running statistics"),
        (["--model", "narrow+wide", "--random-weights", "--gallery", "nowhere"], "nowhere is not a folder of crops"),
    ],
)
def test_an_ensemble_that_cannot_be_leaves_nothing_behind(
    arguments: list[str], saying: str, tmp_path: Path, mine: Path
) -> None:
    done = run(tmp_path, mine, *arguments)
    assert done.exit_code == 1, done.output
    assert saying in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_told_before_the_parts_are_built(
    tmp_path: Path, mine: Path, gallery: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    (tmp_path / "limits.yaml").write_text("embedding: {fp32: {cosine_min: 1.1}}")  # what is built is refused
    arguments = ["--model", "narrow+wide", "--random-weights", "--gallery", gallery, "--name", "mine"]
    done = run(tmp_path, mine, *arguments, "--thresholds", tmp_path / "limits.yaml")
    assert done.exit_code == 1, done.output
    assert "exists and is not an artifact" in done.stderr


def test_too_few_crops_are_refused(tmp_path: Path, mine: Path, gallery: Path) -> None:
    done = run(tmp_path, mine, "--model", "narrow+wide", "--random-weights", "--crops", gallery, "--width", "24")
    assert done.exit_code == 1, done.output
    assert "--width 24 cannot be found from 24 crops" in done.stderr


def test_crops_are_a_gallery_where_their_names_tell_who_it_is(tmp_path: Path, gallery: Path) -> None:
    found = find_gallery(None, crops=gallery)
    assert found is not None
    assert len(found.paths) == 24
    assert find_gallery(None, crops=None) is None
    (tmp_path / "somebody.png").write_bytes(found.paths[0].read_bytes())
    assert find_gallery(None, crops=tmp_path) is None
    with pytest.raises(InvalidFile, match="does not tell who is seen where"):
        find_gallery(tmp_path, crops=None)
    (tmp_path / "somebody.png").rename(tmp_path / "0001_c1s1_000001_00.png")
    assert find_gallery(None, crops=tmp_path) is None
    with pytest.raises(ReidkitError, match="seen by two cameras"):
        find_gallery(tmp_path, crops=None)


@pytest.mark.slow
def test_published_weights_on_real_crops(shared_data: Path, tmp_path: Path) -> None:
    crops = sorted((shared_data / "reid_crops" / "market_eval").iterdir())
    people = sorted({path.name[:4] for path in crops})[:4]
    for path in crops:
        if path.name[:4] in people:
            (tmp_path / path.name).symlink_to(path.resolve())
    files = [shared_data / "reid_weights" / name for name in ("osnet_x0_25_msmt17.pt", "osnet_x0_5.pt")]
    whole = Ensemble.of(load_parts([], files))
    gallery = read_gallery(tmp_path)
    worth = with_retrieval(counted(whole), whole, gallery)
    assert [part.name for part in worth.parts] == ["osnet_x0_25", "osnet_x0_5"]
    assert [part.macs for part in worth.parts] == [82_314_880, pytest.approx(272e6, rel=0.01)]
    assert worth.whole.dim == 1024
    assert worth.whole.mean_average_precision is not None
    alone = [part.mean_average_precision or 0 for part in worth.parts]
    assert worth.whole.mean_average_precision > sum(alone) / 2
    assert score_retrieval(gallery, np.eye(len(gallery.paths))).mean_average_precision < min(alone) / 100
