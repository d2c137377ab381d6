"""ResNet-50: torchreid's, with and without a 512-wide layer behind it, and FastReID's BoT and SBS baselines.

    image ─ conv1 7x7/2 ─ maxpool ─ layer1 ─ layer2 ─ layer3 ─ layer4 ─┬ mean ────────── 2048  resnet50
                                                                       ├ mean ─ fc ────── 512  resnet50_fc512
                                                                       └ pool ─ BNNeck ─ 2048  resnet50_bot, _sbs

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016 (arXiv 1512.03385), with the stride on the 3x3
convolution. All but `resnet50` keep layer4 at layer3's resolution. Module names are the key names of the checkpoints
published by KaiyangZhou/deep-person-reid (MIT) and JDAI-CV/fast-reid (Apache-2.0), which load as they are. FastReID's
ResNet files of 2020 (`heads.bnneck`) are refused: what upstream computed then was not measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from torch import Tensor, nn

from reidkit.export.backbones import _fastreid
from reidkit.export.backbones._fastreid import FastReID, Recipe, Stages
from reidkit.export.backbones._initial import draw_weights
from reidkit.export.backbones.card import IMAGENET_256X128, ModelCard

EXPANSION = 4

RESNET50 = (3, 4, 6, 3)

RECIPES: tuple[Recipe, ...] = ("bot", "sbs")


class Bottleneck(nn.Module):
    """The residual block: 1x1 to a quarter of the channels, 3x3, 1x1 to all of them, plus what came in."""

    def __init__(self, channels_in: int, channels_out: int, *, stride: int = 1) -> None:
        super().__init__()
        middle = channels_out // EXPANSION
        self.conv1 = nn.Conv2d(channels_in, middle, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, channels_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels_out)
        self.relu = nn.ReLU()
        if stride != 1 or channels_in != channels_out:
            self.downsample: nn.Module = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )
        else:
            self.downsample = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) -> (N, channels_out, H / stride, W / stride)."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        activated: Tensor = self.relu(self.bn3(self.conv3(out)) + self.downsample(x))
        return activated


class ResNet(Stages):
    """A ResNet of bottleneck blocks up to its last map.

    Args:
        layers: blocks of each stage.
        width: channels after the stem; the last map has 32 times as many.
        last_stride: stride of layer4.
        maxpool: the pooling behind the stem, which halves the map.
        non_local: with FastReID's non-local blocks.
    """

    def __init__(
        self,
        layers: tuple[int, int, int, int] = RESNET50,
        *,
        width: int = 64,
        last_stride: int,
        maxpool: nn.Module,
        non_local: bool = False,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.maxpool = maxpool
        widths = [width, *(EXPANSION * width << number for number in range(4))]
        strides = (1, 2, 2, last_stride)
        self._add_stages(map(_blocks, widths[:-1], widths[1:], layers, strides), non_local=non_local, width=widths[1])
        draw_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) float32, normalised RGB -> (N, 32 width, h, w), every component >= 0."""
        return self._through_stages(self.maxpool(self.relu(self.bn1(self.conv1(x)))))


def _blocks(channels_in: int, channels_out: int, count: int, stride: int) -> Iterator[nn.Module]:
    yield Bottleneck(channels_in, channels_out, stride=stride)
    for _ in range(count - 1):
        yield Bottleneck(channels_out, channels_out)


class ReIDResNet(ResNet):
    """Torchreid's ResNet-50 without the classifier it was trained with.

    Args:
        fc: width of a further layer behind the mean; 0 for none.
    """

    def __init__(self, *, fc: int = 0) -> None:
        super().__init__(last_stride=1 if fc else 2, maxpool=nn.MaxPool2d(3, stride=2, padding=1))
        self.fc = nn.Sequential(nn.Linear(2048, fc), nn.BatchNorm1d(fc), nn.ReLU()) if fc else nn.Identity()
        draw_weights(self.fc)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) float32, normalised RGB -> (N, D) float32 raw embeddings, every component >= 0."""
        embeddings: Tensor = self.fc(super().forward(x).mean((2, 3)))
        return embeddings


def fastreid_resnet50(recipe: Recipe) -> FastReID:
    """FastReID's ResNet-50, whose maxpool pads on the right and at the bottom only."""
    maxpool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
    return FastReID(ResNet(last_stride=1, maxpool=maxpool, non_local=recipe != "bot"), recipe, "current")


CARDS = (
    *(
        ModelCard(
            name=name,
            family="resnet",
            build=partial(ReIDResNet, fc=fc),
            preprocessing=IMAGENET_256X128,
            head_prefixes=("classifier.",),
            source="arXiv 1512.03385, KaiyangZhou/deep-person-reid",
            terms="MIT; trained on Market-1501, DukeMTMC-reID or MSMT17, whose owners allow academic research only",
        )
        for name, fc in {"resnet50": 0, "resnet50_fc512": 512}.items()
    ),
    *(
        ModelCard(
            name=f"resnet50_{recipe}",
            family="resnet",
            build=partial(fastreid_resnet50, recipe),
            preprocessing=_fastreid.PREPROCESSING[recipe],
            head_prefixes=_fastreid.HEAD_PREFIXES["current"],
            source=_fastreid.SOURCE,
            terms=_fastreid.TERMS,
        )
        for recipe in RECIPES
    ),
)
