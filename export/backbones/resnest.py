"""ResNeSt-50 and -101 as FastReID trains them, in both generations of its files.

    image ─ conv1 3x 3x3, /2 ─ maxpool ─ layer1 ─ layer2 ─ layer3 ─ layer4 ─ pool ─ BNNeck ─ 2048

    Bottleneck   x ─ conv1 1x1 ─ conv2, split attention ─ mean 3x3/stride ─ conv3 1x1 ─ + x ─ ReLU

                    ┌ first half ─ · weight ┐
    conv2  3x3 ─────┤                       ├─ sum      weights: softmax over the halves, for each channel of a crop
                    └ second half ─ · weight┘

Zhang et al., "ResNeSt: Split-Attention Networks", CVPRW 2022 (arXiv 2004.08955). Module names are the key names of
JDAI-CV/fast-reid (Apache-2.0), whose files load as they are:

* `…_2020`, the model zoo of release v0.1.1: `heads.bnneck`; non-local blocks in AGW and SBS.
* the others, since December 2020, with BoT-SORT's `mot17_sbs_S50`: `heads.bottleneck`; layer4 dilated; no non-local
  blocks, whatever the configuration says.

Neither loads the other's files: all keys but the neck's agree, the embeddings would not. AGW and SBS of 2020 are one
network on crops of different heights, BoT and AGW of today have the same keys: there no file tells, the user has to.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from torch import Tensor, nn

from reidkit.export.backbones import _fastreid
from reidkit.export.backbones._fastreid import FastReID, Generation, Recipe, Stages
from reidkit.export.backbones._initial import draw_weights
from reidkit.export.backbones.card import ModelCard

EXPANSION = 4


class SplitAttention(nn.Module):
    """A 3x3 convolution to two maps at once, which are summed with a weight for each channel (section 3.1, radix 2)."""

    def __init__(self, channels: int, *, dilation: int) -> None:
        super().__init__()
        inside = max(channels // 2, 32)
        self.conv = nn.Conv2d(channels, channels * 2, 3, padding=dilation, dilation=dilation, groups=2, bias=False)
        self.bn0 = nn.BatchNorm2d(channels * 2)
        self.relu = nn.ReLU()
        self.fc1 = nn.Conv2d(channels, inside, 1)
        self.bn1 = nn.BatchNorm2d(inside)
        self.fc2 = nn.Conv2d(inside, channels * 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        first, second = self.relu(self.bn0(self.conv(x))).chunk(2, dim=1)
        context = self.relu(self.bn1(self.fc1((first + second).mean((2, 3), keepdim=True))))
        weights = self.fc2(context).unflatten(1, (2, -1)).softmax(dim=1)
        out: Tensor = first * weights[:, 0] + second * weights[:, 1]
        return out


class Bottleneck(nn.Module):
    """The residual block around a split attention, with means in place of strides.

    Args:
        is_first: the first block of a stage but layer1's, which has the 3x3 mean.
    """

    def __init__(
        self, channels_in: int, channels_out: int, *, stride: int = 1, dilation: int = 1, is_first: bool = False
    ) -> None:
        super().__init__()
        middle = channels_out // EXPANSION
        self.conv1 = nn.Conv2d(channels_in, middle, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = SplitAttention(middle, dilation=dilation)
        self.avd_layer = nn.AvgPool2d(3, stride, padding=1) if is_first else nn.Identity()
        self.conv3 = nn.Conv2d(middle, channels_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels_out)
        self.relu = nn.ReLU()
        if channels_in != channels_out:
            self.downsample: nn.Module = nn.Sequential(
                nn.AvgPool2d(stride), nn.Conv2d(channels_in, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out)
            )
        else:
            self.downsample = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) -> (N, channels_out, H / stride, W / stride)."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn3(self.conv3(self.avd_layer(self.conv2(out)))) + self.downsample(x)
        activated: Tensor = self.relu(out)
        return activated


class ResNeSt(Stages):
    """A ResNeSt up to its last map, with layer4 at layer3's resolution.

    Args:
        layers: blocks of each stage.
        stem: channels in the stem, half of what it gives.
        width: channels of a block's inside in layer1; the last map has 32 times as many.
        dilated: layer4's later blocks look twice as far.
        non_local: with non-local blocks.
    """

    def __init__(
        self, layers: tuple[int, int, int, int], *, stem: int, width: int = 64, dilated: bool, non_local: bool
    ) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, stem, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(),
            nn.Conv2d(stem, stem, 3, padding=1, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(),
            nn.Conv2d(stem, stem * 2, 3, padding=1, bias=False),
        )
        self.bn1 = nn.BatchNorm2d(stem * 2)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        widths = [stem * 2, *(EXPANSION * width << number for number in range(4))]
        strides, dilations = (1, 2, 2, 1), (1, 1, 1, 2 if dilated else 1)
        stages = map(_blocks, widths[:-1], widths[1:], layers, strides, dilations, (False, True, True, True))
        self._add_stages(stages, non_local=non_local, width=widths[1])
        draw_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) float32, normalised RGB -> (N, 32 width, H / 16, W / 16), every component >= 0."""
        return self._through_stages(self.maxpool(self.relu(self.bn1(self.conv1(x)))))


def _blocks(
    channels_in: int, channels_out: int, count: int, stride: int, dilation: int, averages: bool
) -> Iterator[nn.Module]:
    yield Bottleneck(channels_in, channels_out, stride=stride, is_first=averages)
    for _ in range(count - 1):
        yield Bottleneck(channels_out, channels_out, dilation=dilation)


def fastreid_resnest(layers: tuple[int, int, int, int], stem: int, recipe: Recipe, generation: Generation) -> FastReID:
    """FastReID's ResNeSt of either generation."""
    of_2020 = generation == "2020"
    backbone = ResNeSt(layers, stem=stem, dilated=not of_2020, non_local=of_2020 and recipe != "bot")
    return FastReID(backbone, recipe, generation)


SIZES: dict[str, tuple[tuple[int, int, int, int], int]] = {
    "resnest50": ((3, 4, 6, 3), 32),
    "resnest101": ((3, 4, 23, 3), 64),
}
"""Blocks of each stage, and channels in the stem."""

NETWORKS: tuple[tuple[str, Recipe, Generation], ...] = (
    ("resnest50", "bot", "2020"),
    ("resnest50", "agw", "2020"),
    ("resnest50", "sbs", "2020"),
    ("resnest50", "bot", "current"),
    ("resnest50", "agw", "current"),
    ("resnest50", "sbs", "current"),
    ("resnest101", "bot", "2020"),
    ("resnest101", "bot", "current"),
    ("resnest101", "sbs", "current"),
)
"""Nobody published weights of ResNeSt-101; where its non-local blocks of 2020 would be is not known, so it has none."""

CARDS = tuple(
    ModelCard(
        name=f"{size}_{recipe}" if generation == "current" else f"{size}_{recipe}_{generation}",
        family="resnest",
        build=partial(fastreid_resnest, *SIZES[size], recipe, generation),
        preprocessing=_fastreid.PREPROCESSING[recipe],
        head_prefixes=_fastreid.HEAD_PREFIXES[generation],
        adapt=_fastreid.expect_usual_pixels,
        source=f"arXiv 2004.08955, {_fastreid.SOURCE}",
        terms=_fastreid.TERMS,
    )
    for size, recipe, generation in NETWORKS
)
