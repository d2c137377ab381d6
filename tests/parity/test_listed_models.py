"""The ten listed models, and the families they leave out, whole and through the pipeline: each sees what torch sees.

Random weights: whether a network is converted faithfully does not hang on what it has learned. Whole ones: what goes
wrong in a large network (two gigabytes, a deep sum) does so nowhere else.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="exporting needs the extra 'export'")
for library in ("onnx", "onnxscript", "onnxruntime", "cv2"):
    pytest.importorskip(library, reason=f"exporting here needs {library}")

from listed_models import LISTED  # noqa: E402

from reidkit.calibration.crops import find_crops  # noqa: E402
from reidkit.export.backbones import find_backbone  # noqa: E402
from reidkit.export.catalogue import catalogue  # noqa: E402
from reidkit.export.originals import random_original  # noqa: E402
from reidkit.export.pipeline import ExportJob, export  # noqa: E402
from reidkit.targets import Precision  # noqa: E402

BESIDES = ("osnet_ibn_x1_0", "osnet_ain_x1_0", "resnet50", "resnet50_sbs")
CROPS = 4


@pytest.fixture(scope="module")
def crops(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a few real crops, of different people."""
    folder = tmp_path_factory.mktemp("crops")
    for crop in find_crops(shared_data / "reid_crops" / "market_eval", limit=CROPS):
        shutil.copy(crop, folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", [*LISTED, *BESIDES])
def test_it_exports_and_agrees_with_torch_on_real_crops(name: str, crops: Path, tmp_path: Path) -> None:
    card = find_backbone(catalogue().find(name).backbone if name in LISTED else name)
    job = ExportJob(
        original=partial(random_original, card),
        target="onnxruntime",
        precision=Precision.FP32,
        output=tmp_path,
        crops=crops,
    )
    result = export(job)
    parity, manifest = result.verdict.parity, result.manifest
    print(f"{name}: {parity.cosine_min:.9f}, lengths within {parity.norm_ratio_max_deviation:.2g}")
    assert parity.crops == CROPS
    assert manifest.parity["batches"] == [1, 8]
    assert parity.cosine_min is not None
    assert parity.cosine_min >= 0.99999
    assert (manifest.backbone.name, manifest.backbone.weights.source) == (card.name, "random")
    shutil.rmtree(result.artifact)  # more than a gigabyte for the largest
