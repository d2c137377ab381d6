"""OSNet: a small network that looks at every crop on four scales at once, in four widths and three kinds.

    image ─ conv1 7x7/2 ─ maxpool ─ conv2 ─ conv3 ─ conv4 ─ conv5 1x1 ─ mean ─ fc ─ 512
                                      each stage: two OSBlocks, and between stages 1x1 and 2x2 mean

    OSBlock    ┌─ 1 LightConv  ─ gate ─┐
    x ─ conv1 ─┼─ 2 LightConvs ─ gate ─┼─ sum ─ conv3 ─ + x ─ ReLU      receptive fields 3, 5, 7 and 9;
               ├─ 3 LightConvs ─ gate ─┤                                one gate shared by all four
               └─ 4 LightConvs ─ gate ─┘

The kinds IBN and AIN normalise each crop by its own statistics (instance norm) in the stem and in some blocks, and so
carry over better to cameras they never saw: IBN after the sum with x, in conv2; AIN before it, where a search found it
to be worth most.

Zhou et al., "Omni-Scale Feature Learning for Person Re-Identification", ICCV 2019 (arXiv 1905.00953), and "Learning
Generalisable Omni-Scale Representations for Person Re-Identification", PAMI 2021 (arXiv 1910.06827) for AIN. Module
names are the key names of the checkpoints published by KaiyangZhou/deep-person-reid (MIT), which load as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from torch import Tensor, nn

from reidkit.export.backbones._initial import draw_weights
from reidkit.export.backbones.card import IMAGENET_256X128, ModelCard

EMBEDDING_WIDTH = 512

InstanceNorm = partial(nn.InstanceNorm2d, affine=True)
"""Normalises each channel of a crop by its own mean and deviation, then scales and shifts it as learnt."""

STREAMS = {"conv2a": 1, "conv2b": 2, "conv2c": 3, "conv2d": 4}
"""Parallel streams of a block and how many LightConvs each one stacks."""


class ConvLayer(nn.Module):
    """Convolution, a norm and, unless told otherwise, ReLU. Keeps the map's size but for `stride`."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel_size: int = 1,
        *,
        stride: int = 1,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
        relu: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels_in, channels_out, kernel_size, stride=stride, padding=kernel_size // 2, bias=False
        )
        self.bn = norm(channels_out)
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
    """The omni-scale residual block: four streams of growing receptive field, gated and summed.

    Args:
        instance_norm: normalise the block's output, as OSNet-IBN does.
    """

    def __init__(self, channels_in: int, channels_out: int, *, instance_norm: bool = False) -> None:
        super().__init__()
        middle = channels_out // 4
        self.conv1 = ConvLayer(channels_in, middle)
        self._add_streams(middle)
        self.gate = ChannelGate(middle)
        self.conv3: nn.Module = ConvLayer(middle, channels_out, relu=False)
        if channels_in != channels_out:
            self.downsample: nn.Module = ConvLayer(channels_in, channels_out, relu=False)
        else:
            self.downsample = nn.Identity()
        self.IN = InstanceNorm(channels_out) if instance_norm else nn.Identity()
        self.relu = nn.ReLU()

    def _add_streams(self, channels: int) -> None:
        for name, depth in STREAMS.items():
            layers = [LightConv(channels) for _ in range(depth)]
            self.add_module(name, layers[0] if depth == 1 else nn.Sequential(*layers))

    def _streams(self) -> Iterator[nn.Module]:
        return map(self.get_submodule, STREAMS)

    def _omni_scale(self, x: Tensor) -> Tensor:
        reduced = self.conv1(x)
        out: Tensor = self.conv3(sum(self.gate(stream(reduced)) for stream in self._streams()))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) -> (N, channels_out, H, W)."""
        out: Tensor = self.relu(self.IN(self._omni_scale(x) + self.downsample(x)))
        return out


class Stream(nn.Module):
    """LightConvs in a row, with the key names of OSNet-AIN."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(LightConv(channels) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        out: Tensor = self.layers(x)
        return out


class AINBlock(OSBlock):
    """The block of OSNet-AIN: `instance_norm` takes the place of conv3's batch norm, before x is added."""

    def __init__(self, channels_in: int, channels_out: int, *, instance_norm: bool = False) -> None:
        super().__init__(channels_in, channels_out, instance_norm=instance_norm)
        if instance_norm:
            self.conv3 = ConvLayer(channels_out // 4, channels_out, norm=nn.Identity, relu=False)

    def _add_streams(self, channels: int) -> None:
        self.conv2 = nn.ModuleList(Stream(channels, depth) for depth in STREAMS.values())

    def _streams(self) -> Iterator[nn.Module]:
        return iter(self.conv2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) -> (N, channels_out, H, W)."""
        out: Tensor = self.relu(self.IN(self._omni_scale(x)) + self.downsample(x))
        return out


class OSNet(nn.Module):
    """OSNet of any width, without the classifier it was trained with.

    Args:
        channels: width after the stem and after each of the three stages.
        ibn: instance norm in the stem and in the blocks of conv2.
    """

    def __init__(self, channels: tuple[int, int, int, int], *, ibn: bool = False) -> None:
        super().__init__()
        stem, first, second, third = channels
        self.conv1 = ConvLayer(3, stem, 7, stride=2, norm=InstanceNorm if ibn else nn.BatchNorm2d)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv2 = nn.Sequential(*_blocks(OSBlock, stem, first, (ibn, ibn)), _halving(first))
        self.conv3 = nn.Sequential(*_blocks(OSBlock, first, second), _halving(second))
        self.conv4 = nn.Sequential(*_blocks(OSBlock, second, third))
        self.conv5 = ConvLayer(third, third)
        self.fc = _head(third)
        draw_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) float32, normalised RGB -> (N, 512) float32 raw embeddings, every component >= 0."""
        x = self.maxpool(self.conv1(x))
        x = self.conv5(self.conv4(self.conv3(self.conv2(x))))
        embeddings: Tensor = self.fc(x.mean((2, 3)))
        return embeddings


class OSNetAIN(nn.Module):
    """OSNet-AIN of any width, without the classifier it was trained with.

    Args:
        channels: width after the stem and after each of the three stages.
    """

    def __init__(self, channels: tuple[int, int, int, int]) -> None:
        super().__init__()
        stem, first, second, third = channels
        self.conv1 = ConvLayer(3, stem, 7, stride=2, norm=InstanceNorm)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv2 = nn.Sequential(*_blocks(AINBlock, stem, first, (True, True)))
        self.pool2 = _halving(first)
        self.conv3 = nn.Sequential(*_blocks(AINBlock, first, second, (False, True)))
        self.pool3 = _halving(second)
        self.conv4 = nn.Sequential(*_blocks(AINBlock, second, third, (True, False)))
        self.conv5 = ConvLayer(third, third)
        self.fc = _head(third)
        draw_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) float32, normalised RGB -> (N, 512) float32 raw embeddings, every component >= 0."""
        x = self.maxpool(self.conv1(x))
        x = self.pool3(self.conv3(self.pool2(self.conv2(x))))
        x = self.conv5(self.conv4(x))
        embeddings: Tensor = self.fc(x.mean((2, 3)))
        return embeddings


def _blocks(
    block: type[OSBlock], channels_in: int, channels_out: int, instance_norms: tuple[bool, bool] = (False, False)
) -> Iterator[OSBlock]:
    yield block(channels_in, channels_out, instance_norm=instance_norms[0])
    yield block(channels_out, channels_out, instance_norm=instance_norms[1])


def _halving(channels: int) -> nn.Sequential:
    return nn.Sequential(ConvLayer(channels, channels), nn.AvgPool2d(2, stride=2))


def _head(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels, EMBEDDING_WIDTH), nn.BatchNorm1d(EMBEDDING_WIDTH), nn.ReLU())


CHANNELS = {
    "x1_0": (64, 256, 384, 512),
    "x0_75": (48, 192, 288, 384),
    "x0_5": (32, 128, 192, 256),
    "x0_25": (16, 64, 96, 128),
}

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    **{f"osnet_{width}": partial(OSNet, channels) for width, channels in CHANNELS.items()},
    "osnet_ibn_x1_0": partial(OSNet, CHANNELS["x1_0"], ibn=True),
    **{f"osnet_ain_{width}": partial(OSNetAIN, channels) for width, channels in CHANNELS.items()},
}

CARDS = tuple(
    ModelCard(
        name=name,
        family="osnet",
        build=build,
        preprocessing=IMAGENET_256X128,
        head_prefixes=("classifier.",),
        source=f"arXiv {'1910.06827' if 'ain' in name else '1905.00953'}, KaiyangZhou/deep-person-reid",
        terms="MIT; trained on Market-1501, DukeMTMC-reID or MSMT17, whose owners allow academic research only",
    )
    for name, build in NETWORKS.items()
)
