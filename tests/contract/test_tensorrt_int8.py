"""TensorRT's parser and compiler take every network in int8: symmetric Q/DQ over float16, with float16 scales.

Built with TensorRT-RTX, which needs no GPU; nothing is run, so numbers are another test's affair.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="networks need the extra 'export'")
onnx = pytest.importorskip("onnx", reason="exporting needs the extra 'export'")
for library in ("onnxscript", "onnxruntime"):
    pytest.importorskip(library, reason="exporting needs the extra 'export'")
pytest.importorskip("tensorrt_rtx", reason="needs the extra 'tensorrt_rtx'")

from listed_models import LISTED  # noqa: E402
from proofs import trials  # noqa: E402
from small_networks import SMALL  # noqa: E402

from reidkit.calibration.quantization import CalibrationSet, Layout, Quantizer  # noqa: E402
from reidkit.calibration.street import render_crops  # noqa: E402
from reidkit.export.backbones import find_backbone  # noqa: E402
from reidkit.export.backbones.card import IMAGENET_256X128  # noqa: E402
from reidkit.export.catalogue import catalogue  # noqa: E402
from reidkit.export.onnx import CropEmbedder, lower, write_onnx  # noqa: E402
from reidkit.export.originals import random_original  # noqa: E402
from reidkit.runtime.artifact.manifest import Batch  # noqa: E402
from reidkit.targets import BuildJob, Precision, find_target  # noqa: E402

pytestmark = pytest.mark.slow

SMALL_SIZE = replace(IMAGENET_256X128, height=64, width=32)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def expect_built(graph: Path, *, height: int, width: int) -> None:
    """Quantise the float32 graph whole, and build it."""
    crops = np.ascontiguousarray(render_crops(2, seed=0, height=height, width=width).transpose(0, 3, 1, 2))
    quantizer = Quantizer(graph, CalibrationSet(crops, "rendered"), layout=Layout.SIGNED)

    def in_half(model: Any) -> Any:
        onnx.save_model(model, graph)
        lower(graph, Precision.FP16, crops=crops)
        return onnx.load_model(graph)

    onnx.save_model(quantizer.model(quantizer.products, typed=in_half), graph)
    built = find_target("tensorrt_rtx").build(
        BuildJob(
            onnx_path=graph,
            folder=graph.parent,
            precision=Precision.INT8,
            batch=Batch(dynamic=True, max=32, buckets=[1, 8, 32]),
        )
    )
    assert built.precision_built is Precision.INT8
    assert (graph.parent / built.engine_file).stat().st_size > 0


@pytest.mark.parametrize("name", SMALL)
def test_it_builds_every_family(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    write_onnx(CropEmbedder(SMALL[name](), SMALL_SIZE), tmp_path / "graph.onnx")
    expect_built(tmp_path / "graph.onnx", height=64, width=32)


@pytest.mark.parametrize("name", LISTED[: trials(1, len(LISTED))])
def test_it_builds_the_listed_models_whole(name: str, tmp_path: Path) -> None:
    card = find_backbone(catalogue().find(name).backbone)
    random_original(card).write_onnx(tmp_path / "graph.onnx")
    expect_built(tmp_path / "graph.onnx", height=card.preprocessing.height, width=card.preprocessing.width)
