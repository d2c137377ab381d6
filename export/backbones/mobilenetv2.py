"""MobileNetV2 as torchreid has it, in two widths: cheap, and strong for what it costs.

    image ─ conv1 3x3/2 ─ conv2 ─ … ─ conv8 ─ conv9 1x1 ─ mean ─ 1280 · width

    Bottleneck   x ─ conv1 1x1, wider ─ dwconv2 3x3 ─ conv3 1x1, no activation ─ (+ x where nothing changes shape)

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018 (arXiv 1801.04381). Widths are cut
to integers, not rounded to multiples of eight as elsewhere, and conv2 has a layer that widens by one, so that no other
library's MobileNetV2 takes these weights. Module names are the key names of the checkpoints published by
KaiyangZhou/deep-person-reid (MIT), which load as they are.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from reidkit.export.backbones._initial import draw_weights
from reidkit.export.backbones.card import IMAGENET_256X128, ModelCard

STEM, LAST = 32, 1280

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""conv2 to conv8: how much a block widens inside, channels at width 1, blocks, stride of the first (table 2)."""


class ConvLayer(nn.Module):
    """Convolution, batch norm and ReLU6. Keeps the map's size but for `stride`."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel_size: int = 1, *, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels_in, channels_out, kernel_size, stride, padding=kernel_size // 2, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(channels_out)
        self.relu = nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) -> (N, channels_out, H / stride, W / stride)."""
        out: Tensor = self.relu(self.bn(self.conv(x)))
        return out


class Bottleneck(nn.Module):
    """The inverted residual: wide inside, narrow and linear at its ends (section 3.3)."""

    def __init__(self, channels_in: int, channels_out: int, *, expansion: int, stride: int) -> None:
        super().__init__()
        middle = channels_in * expansion
        self.is_residual = stride == 1 and channels_in == channels_out
        self.conv1 = ConvLayer(channels_in, middle)
        self.dwconv2 = ConvLayer(middle, middle, 3, stride=stride, groups=middle)
        self.conv3 = nn.Sequential(nn.Conv2d(middle, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) -> (N, channels_out, H / stride, W / stride)."""
        out: Tensor = self.conv3(self.dwconv2(self.conv1(x)))
        return x + out if self.is_residual else out


class MobileNetV2(nn.Module):
    """MobileNetV2 without the classifier it was trained with.

    Args:
        width: factor on every layer's channels; the last layer never gets narrower than 1280.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        channels = [int(STEM * width), *(int(stage * width) for _, stage, _, _ in STAGES)]
        self.conv1 = ConvLayer(3, channels[0], 3, stride=2)
        for index, (ends, (expansion, _, blocks, stride)) in enumerate(zip(pairwise(channels), STAGES, strict=True)):
            channels_in, channels_out = ends
            first = Bottleneck(channels_in, channels_out, expansion=expansion, stride=stride)
            others = (Bottleneck(channels_out, channels_out, expansion=expansion, stride=1) for _ in range(blocks - 1))
            self.add_module(f"conv{index + 2}", nn.Sequential(first, *others))
        self.conv9 = ConvLayer(channels[-1], int(LAST * max(width, 1)))
        draw_weights(self, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) float32, normalised RGB -> (N, D) float32 raw embeddings, every component in [0, 6]."""
        for index in range(1, 10):
            x = self.get_submodule(f"conv{index}")(x)
        return x.mean((2, 3))


CARDS = tuple(
    ModelCard(
        name=name,
        family="mobilenetv2",
        build=partial(MobileNetV2, width),
        preprocessing=IMAGENET_256X128,
        head_prefixes=("classifier.",),
        source="arXiv 1801.04381, KaiyangZhou/deep-person-reid",
        terms="MIT; trained on Market-1501, DukeMTMC-reID or MSMT17, whose owners allow academic research only",
    )
    for name, width in {"mobilenetv2_x1_0": 1.0, "mobilenetv2_x1_4": 1.4}.items()
)
