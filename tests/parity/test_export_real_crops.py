"""Both engines against torch on 500 real crops, one at a time and eight at a time."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="exporting needs the extra 'export'")
for library in ("onnx", "onnxruntime", "openvino", "cv2"):
    pytest.importorskip(library, reason=f"exporting here needs {library}")

from reidkit.calibration.crops import find_crops, read_crops  # noqa: E402
from reidkit.export.backbones import find_backbone  # noqa: E402
from reidkit.export.checkpoints import Checkpoint, load_backbone  # noqa: E402
from reidkit.export.onnx import CropEmbedder  # noqa: E402
from reidkit.export.originals import trained_original  # noqa: E402
from reidkit.export.pipeline import ExportJob, export  # noqa: E402
from reidkit.runtime.engines import open_artifact  # noqa: E402
from reidkit.targets import Precision  # noqa: E402

CARD = find_backbone("osnet_x0_25")
CROPS = 500


@pytest.fixture(scope="module")
def weights(shared_data: Path) -> Path:
    return shared_data / "reid_weights" / "osnet_x0_25_msmt17.pt"


@pytest.fixture(scope="module")
def crops(shared_data: Path) -> np.ndarray:
    return read_crops(find_crops(shared_data / "reid_crops" / "market_eval", limit=CROPS), CARD.preprocessing)


@pytest.fixture(scope="module")
def reference(weights: Path, crops: np.ndarray) -> np.ndarray:
    module, _ = load_backbone(CARD, Checkpoint.read(weights))
    return CropEmbedder(module, CARD.preprocessing).embed(crops)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_the_engine_sees_what_torch_sees(
    target: str, weights: Path, crops: np.ndarray, reference: np.ndarray, tmp_path: Path
) -> None:
    job = ExportJob(
        original=partial(trained_original, CARD, weights), target=target, precision=Precision.FP32, output=tmp_path
    )
    with open_artifact(export(job).artifact) as engine:
        assert len(crops) == CROPS
        assert engine.max_batch == 8
        for batch in (1, 8):
            parts = [engine.embed(crops[start : start + batch], normalize=False) for start in range(0, CROPS, batch)]
            embeddings = np.concatenate(parts)
            lengths, expected = np.linalg.norm(embeddings, axis=1), np.linalg.norm(reference, axis=1)
            cosines = (embeddings * reference).sum(axis=1) / (lengths * expected)
            print(f"{target}, batch {batch}: {cosines.min():.9f}, {np.abs(lengths / expected - 1).max():.2g}")
            assert cosines.min() >= 0.99999
            assert np.abs(lengths / expected - 1).max() <= 1e-4
