"""Every family of networks, made small: torch's exporter writes it, and ONNX Runtime computes what torch does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="exporting needs the extra 'export'")
for library in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(library, reason="exporting needs the extra 'export'")

from reidkit.export.backbones._fastreid import FastReID  # noqa: E402
from reidkit.export.backbones.card import IMAGENET_256X128  # noqa: E402
from reidkit.export.backbones.clip import ClipEmbedder, Shape  # noqa: E402
from reidkit.export.backbones.convnext import ConvNeXt  # noqa: E402
from reidkit.export.backbones.mobilenetv2 import MobileNetV2  # noqa: E402
from reidkit.export.backbones.osnet import OSNetAIN  # noqa: E402
from reidkit.export.backbones.resnest import ResNeSt  # noqa: E402
from reidkit.export.backbones.resnet import ResNet  # noqa: E402
from reidkit.export.onnx import CropEmbedder, run_onnx, write_onnx  # noqa: E402

NARROW = (16, 64, 64, 64)

LAYERS = (1, 2, 3, 2)
"""The fewest blocks that have all of FastReID's non-local blocks, and a dilated one."""


def fastreid_resnet() -> torch.nn.Module:
    maxpool = torch.nn.MaxPool2d(3, stride=2, ceil_mode=True)
    return FastReID(
        ResNet(LAYERS, width=8, last_stride=1, maxpool=maxpool, non_local=True), "sbs", "current", width=256
    )


def fastreid_resnest() -> torch.nn.Module:
    """With what either generation has."""
    return FastReID(ResNeSt(LAYERS, stem=8, width=8, dilated=True, non_local=True), "sbs", "2020", width=256)


SMALL = {
    "osnet": lambda: OSNetAIN(NARROW),
    "mobilenetv2": lambda: MobileNetV2(0.25),
    "resnet": fastreid_resnet,
    "resnest": fastreid_resnest,
    "clip": lambda: ClipEmbedder(Shape("visual", patch=14, grid=(4, 2), width=128, depth=2, projection=32), "bnneck"),
    "convnext": lambda: ConvNeXt((8, 16, 24, 32), (1, 1, 2, 1)),
}


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
