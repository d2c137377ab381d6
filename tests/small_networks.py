"""Every family of networks, made small."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="networks need the extra 'export'")

from reidkit.export.backbones._fastreid import FastReID  # noqa: E402
from reidkit.export.backbones.clip import ClipEmbedder, Shape  # noqa: E402
from reidkit.export.backbones.convnext import ConvNeXt  # noqa: E402
from reidkit.export.backbones.mobilenetv2 import MobileNetV2  # noqa: E402
from reidkit.export.backbones.osnet import OSNetAIN  # noqa: E402
from reidkit.export.backbones.resnest import ResNeSt  # noqa: E402
from reidkit.export.backbones.resnet import ResNet  # noqa: E402

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
