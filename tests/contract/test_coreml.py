"""Core ML's programs, saved and evaluated operator by operator: as near to torch as their precision has to be.

Nothing here asks Core ML itself, which predicts on Apple's systems alone.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="networks need the extra 'export'")
if find_spec("coremltools") is None:
    pytest.skip("needs the extra 'coreml'", allow_module_level=True)

from small_networks import SMALL  # noqa: E402

from reidkit.calibration.crops import find_crops, read_crops  # noqa: E402
from reidkit.calibration.gates import ParityReport, compare_embeddings  # noqa: E402
from reidkit.calibration.street import render_crops  # noqa: E402
from reidkit.export.backbones.card import IMAGENET_256X128  # noqa: E402
from reidkit.export.onnx import CropEmbedder  # noqa: E402
from reidkit.export.originals import Original, trained_original  # noqa: E402
from reidkit.runtime.artifact.manifest import Batch  # noqa: E402
from reidkit.targets import BuildJob, BuiltEngine, Precision, find_target  # noqa: E402

pytestmark = pytest.mark.slow

SMALL_SIZE = replace(IMAGENET_256X128, height=64, width=32)
PRECISIONS = [Precision.FP32, Precision.FP16, Precision.INT8]
REAL_CROPS = 40


def built(folder: Path, program: object, precision: Precision) -> BuiltEngine:
    return find_target("coreml").build(
        BuildJob(
            onnx_path=folder / "none",
            folder=folder,
            precision=precision,
            batch=Batch(dynamic=True, max=8, buckets=[1, 3, 8]),
            program=program,
        )
    )


def expect_near(parity: ParityReport, precision: Precision) -> None:
    """The issue's bars; in int8, where weights alone are, what was measured and some."""
    assert parity.cosine_min is not None
    if precision is Precision.FP32:
        assert parity.cosine_min >= 0.99999
        assert parity.norm_ratio_max_deviation <= 1e-4
    elif precision is Precision.FP16:
        assert parity.cosine_median >= 0.999
        assert parity.cosine_p01 >= 0.995
        assert parity.norm_ratio_max_deviation <= 0.01
    else:
        assert parity.cosine_p01 >= 0.98
        assert parity.norm_ratio_max_deviation <= 0.1


@cache
def real_original(name: str, weights: Path) -> Original:
    return trained_original(None, None if name == "embedded" else weights / name)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("weights", ["embedded", "osnet_x0_25_msmt17.pt"])
def test_real_weights_on_real_crops(weights: str, precision: Precision, shared_data: Path, tmp_path: Path) -> None:
    original = real_original(weights, shared_data / "reid_weights")
    folder = shared_data / "reid_crops" / "market_eval"
    crops = read_crops(find_crops(folder, limit=REAL_CROPS), original.preprocessing)
    engine = built(tmp_path, original.program, precision)
    found = engine.evaluate(crops)
    expect_near(compare_embeddings(original.embed(crops), found), precision)
    for count in (1, 3, 5):  # alone, as many as enumerated, and padded: neighbours change nothing
        alone = compare_embeddings(found[:count], engine.evaluate(crops[:count]))
        assert alone.cosine_min >= 0.99999


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
@pytest.mark.parametrize("name", SMALL)
def test_every_family_of_networks(name: str, precision: Precision, tmp_path: Path) -> None:
    torch.manual_seed(0)
    embedder = CropEmbedder(SMALL[name](), SMALL_SIZE)
    crops = np.ascontiguousarray(render_crops(9, seed=1, height=64, width=32).transpose(0, 3, 1, 2))
    engine = built(tmp_path, embedder.program, precision)
    expect_near(compare_embeddings(embedder.embed(crops), engine.evaluate(crops)), precision)
