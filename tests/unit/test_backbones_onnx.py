"""Every family of networks, made small: torch's exporter writes it, and ONNX Runtime computes what torch does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="exporting needs the extra 'export'")
for library in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(library, reason="exporting needs the extra 'export'")

from small_networks import SMALL  # noqa: E402

from reidkit.export.backbones.card import IMAGENET_256X128  # noqa: E402
from reidkit.export.onnx import CropEmbedder, run_onnx, write_onnx  # noqa: E402


@pytest.mark.parametrize("build", SMALL.values(), ids=SMALL)
def test_onnx_computes_what_torch_does_at_any_batch(build, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build()
    with torch.no_grad():
        for parameter in network.parameters():  # none is left at a value that would hide what it is multiplied with
            parameter += 0.01 * torch.randn_like(parameter)
    embedder = CropEmbedder(network, replace(IMAGENET_256X128, height=64, width=32))
    write_onnx(embedder, tmp_path / "graph.onnx")
    crops = np.random.default_rng(0).integers(0, 256, (3, 3, 64, 32), np.uint8)
    expected = embedder.embed(crops)
    run = run_onnx(tmp_path / "graph.onnx")
    for batch in (1, 3):
        assert np.abs(run(crops[:batch]) - expected[:batch]).max() <= 1e-5 * np.abs(expected).max()
