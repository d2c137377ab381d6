"""Int8 through the whole pipeline, on people nobody calibrated with: what it loses, and what it must be refused for."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="exporting needs the extra 'export'")
for library in ("onnx", "onnxruntime", "openvino", "cv2"):
    pytest.importorskip(library, reason=f"exporting here needs {library}")
import cv2  # noqa: E402
from proofs import trials  # noqa: E402

from reidkit.calibration.crops import read_crops  # noqa: E402
from reidkit.calibration.metrics import Gallery, read_gallery, score_retrieval  # noqa: E402
from reidkit.calibration.street import render_crops  # noqa: E402
from reidkit.export.backbones import find_backbone  # noqa: E402
from reidkit.export.originals import Original, trained_original  # noqa: E402
from reidkit.export.pipeline import ExportJob, export  # noqa: E402
from reidkit.export.quantizing import Int8Settings  # noqa: E402
from reidkit.runtime.engines import open_artifact  # noqa: E402
from reidkit.runtime.errors import GateFailure  # noqa: E402
from reidkit.targets import Precision  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not trials(0, 1), reason="half an hour: make proof-networks")]

WEIGHTS = {"osnet_x0_25": "osnet_x0_25_msmt17.pt", "osnet_x0_5": "osnet_x0_5.pt", "embedded": None}
IDENTITIES = 60
MOST_LOST = 0.01
"""Of mean average precision, in [0, 1]."""


@pytest.fixture(scope="module")
def gallery(shared_data: Path) -> Gallery:
    """The first people of market_eval."""
    everyone = read_gallery(shared_data / "reid_crops" / "market_eval")
    people = np.unique(everyone.identities[everyone.identities > 0])[:IDENTITIES]
    kept = np.isin(everyone.identities, people)
    paths = tuple(path for path, keep in zip(everyone.paths, kept, strict=True) if keep)
    return replace(everyone, paths=paths, identities=everyone.identities[kept], cameras=everyone.cameras[kept])


def original_of(name: str, shared_data: Path) -> Original:
    if (file := WEIGHTS[name]) is None:
        return trained_original(None)
    return trained_original(find_backbone(name), shared_data / "reid_weights" / file)


@pytest.fixture(scope="module", params=WEIGHTS)
def network(request: pytest.FixtureRequest, shared_data: Path) -> Original:
    return original_of(request.param, shared_data)


@pytest.fixture(scope="module")
def reference(network: Original, gallery: Gallery) -> float:
    """What the network in torch reaches."""
    embeddings = network.embed(read_crops(gallery.paths, network.preprocessing))
    return score_retrieval(gallery, embeddings).mean_average_precision


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_it_finds_people_as_its_original_does(
    target: str, network: Original, reference: float, gallery: Gallery, shared_data: Path, tmp_path: Path
) -> None:
    result = export(
        ExportJob(
            original=lambda: network,
            target=target,
            precision=Precision.INT8,
            output=tmp_path,
            calibration=shared_data / "reid_crops" / "market_train",
        )
    )
    provenance = result.manifest.calibration
    assert provenance is not None
    assert (provenance["crops"], provenance["search"]["outcome"]) == (256, "all in int8")
    with open_artifact(result.artifact) as engine:
        embeddings = engine.embed(read_crops(gallery.paths, network.preprocessing))
    found = score_retrieval(gallery, embeddings).mean_average_precision
    print(f"{network.backbone.name}, {target}: mAP {100 * reference:.2f} -> {100 * found:.2f}")
    assert found >= reference - MOST_LOST


def write_crops(folder: Path, crops: np.ndarray) -> Path:
    folder.mkdir()
    for row, crop in enumerate(crops):
        cv2.imwrite(str(folder / f"{row:03d}.png"), crop)
    return folder


def test_calibrated_on_noise_it_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(118, 138, (16, 256, 128, 3), dtype=np.uint8)
    job = ExportJob(
        original=partial(trained_original, None),
        target="onnxruntime",
        precision=Precision.INT8,
        output=tmp_path / "artifacts",
        calibration=write_crops(tmp_path / "noise", noise),
        int8=Int8Settings(budget_s=0),
    )
    with pytest.raises(GateFailure, match="no mixture of int8 and float passes") as failure:
        export(job)
    assert failure.value.report["search"]["outcome"] == "out of time"
    assert not list((tmp_path / "artifacts").glob("[!.]*"))


def test_the_search_keeps_a_network_in_float_where_it_must(tmp_path: Path) -> None:
    """Calibrated on one crop in grey, some layers clip what they should not; those the search finds."""
    grey = np.repeat(render_crops(1, seed=3, height=256, width=128).mean(axis=3, keepdims=True), 3, axis=3)
    job = ExportJob(
        original=partial(trained_original, None),
        target="openvino",
        precision=Precision.INT8,
        output=tmp_path / "artifacts",
        calibration=write_crops(tmp_path / "grey", (0.4 * grey + 70).astype(np.uint8)),
    )
    result = export(job)
    assert result.manifest.calibration is not None
    search = result.manifest.calibration["search"]
    assert search["outcome"] == "some in float"
    assert search["in_float"]
    assert 0 < result.manifest.calibration["work_in_int8"] < 0.99
    assert result.verdict.passed
    shutil.rmtree(result.artifact)
