"""OSNet: a small network that looks at every crop on four scales at once, in four widths.

    image ─ conv1 7x7/2 ─ maxpool ─ conv2 ─ conv3 ─ conv4 ─ conv5 1x1 ─ mean ─ fc ─ 512
                                      each stage: two OSBlocks, and between stages 1x1 and 2x2 mean

    OSBlock    ┌─ 1 LightConv  ─ gate ─┐
    x ─ conv1 ─┼─ 2 LightConvs ─ gate ─┼─ sum ─ conv3 ─ + x ─ ReLU      receptive fields 3, 5, 7 and 9;
               ├─ 3 LightConvs ─ gate ─┤                                one gate shared by all four
               └─ 4 LightConvs ─ gate ─┘

Zhou et al., "Omni-Scale Feature Learning for Person Re-Identification", ICCV 2019 (arXiv 1905.00953). Module names are
the key names of the checkpoints published by KaiyangZhou/deep-person-reid (MIT), which therefore load as they are.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from reidkit.export.backbones.card import IMAGENET_256X128, ModelCard

EMBEDDING_WIDTH = 512

STREAMS = {"conv2a": 1, "conv2b": 2, "conv2c": 3, "conv2d": 4}
"""Parallel streams of a block and how many LightConvs each one stacks."""


class ConvLayer(nn.Module):
    """Convolution, batch norm and, unless told otherwise, ReLU. Keeps the map's size but for `stride`."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel_size: int = 1, *, stride: int = 1, relu: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels_in, channels_out, kernel_size, stride=stride, padding=kernel_size // 2, bias=False
        )
        self.bn = nn.BatchNorm2d(channels_out)
        self.relu = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) -> (N, channels_out, H / stride, W / stride)."""
        out: Tensor = self.relu(self.bn(self.conv(x)))
        return out


class LightConv(nn.Module):
    """A 3x3 convolution made light: pointwise, then depthwise, with nothing in between (section 3.1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        out: Tensor = self.relu(self.bn(self.conv2(self.conv1(x))))
        return out


class ChannelGate(nn.Module):
    """Weighs each channel of a map by what the map holds on average (section 3.2, the aggregation gate)."""

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1)
        self.relu = nn.ReLU()
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        weights: Tensor = self.fc2(self.relu(self.fc1(x.mean((2, 3), keepdim=True)))).sigmoid()
        return x * weights


class OSBlock(nn.Module):
    """The omni-scale residual block: four streams of growing receptive field, gated and summed."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        middle = channels_out // 4
        self.conv1 = ConvLayer(channels_in, middle)
        for name, depth in STREAMS.items():
            layers = [LightConv(middle) for _ in range(depth)]
            self.add_module(name, layers[0] if depth == 1 else nn.Sequential(*layers))
        self.gate = ChannelGate(middle)
        self.conv3 = ConvLayer(middle, channels_out, relu=False)
        if channels_in != channels_out:
            self.downsample: nn.Module = ConvLayer(channels_in, channels_out, relu=False)
        else:
            self.downsample = nn.Identity()
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) -> (N, channels_out, H, W)."""
        reduced = self.conv1(x)
        gated = [self.gate(self.get_submodule(name)(reduced)) for name in STREAMS]
        out: Tensor = self.relu(self.conv3(sum(gated)) + self.downsample(x))
        return out


class OSNet(nn.Module):
    """OSNet of any width, without the classifier it was trained with.

    Args:
        channels: width after the stem and after each of the three stages.
    """

    def __init__(self, channels: tuple[int, int, int, int]) -> None:
        super().__init__()
        stem, first, second, third = channels
        self.conv1 = ConvLayer(3, stem, 7, stride=2)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv2 = _stage(stem, first, halve=True)
        self.conv3 = _stage(first, second, halve=True)
        self.conv4 = _stage(second, third, halve=False)
        self.conv5 = ConvLayer(third, third)
        self.fc = nn.Sequential(nn.Linear(third, EMBEDDING_WIDTH), nn.BatchNorm1d(EMBEDDING_WIDTH), nn.ReLU())
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, nonlinearity="linear")

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) float32, normalised RGB -> (N, 512) float32 raw embeddings, every component >= 0."""
        x = self.maxpool(self.conv1(x))
        x = self.conv5(self.conv4(self.conv3(self.conv2(x))))
        embeddings: Tensor = self.fc(x.mean((2, 3)))
        return embeddings


def _stage(channels_in: int, channels_out: int, *, halve: bool) -> nn.Sequential:
    blocks: list[nn.Module] = [OSBlock(channels_in, channels_out), OSBlock(channels_out, channels_out)]
    if halve:
        blocks.append(nn.Sequential(ConvLayer(channels_out, channels_out), nn.AvgPool2d(2, stride=2)))
    return nn.Sequential(*blocks)


CHANNELS = {
    "osnet_x1_0": (64, 256, 384, 512),
    "osnet_x0_75": (48, 192, 288, 384),
    "osnet_x0_5": (32, 128, 192, 256),
    "osnet_x0_25": (16, 64, 96, 128),
}

CARDS = tuple(
    ModelCard(
        name=name,
        family="osnet",
        build=partial(OSNet, channels),
        preprocessing=IMAGENET_256X128,
        head_prefixes=("classifier.",),
        source="arXiv 1905.00953, KaiyangZhou/deep-person-reid",
        terms="MIT; trained on Market-1501, DukeMTMC-reID or MSMT17, whose owners allow academic research only",
    )
    for name, channels in CHANNELS.items()
)
