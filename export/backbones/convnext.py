"""ConvNeXt small and base, and the one published re-identification baseline built on it.

    image ─ stem 4x4/4 ─ stages.0 ─ … ─ stages.3 ─ mean ─┬ head.norm ────────── 768, 1024   convnext_small, _base
             each later stage halves the map first       └ Linear ─ BatchNorm ─ 512         convnext_base_layumi

    Block   x ─ conv_dw 7x7 ─ norm ─ fc1, 4 times wider ─ GELU ─ fc2 ─ · gamma ─ + x

Liu et al., "A ConvNet for the 2020s", CVPR 2022 (arXiv 2201.03545). Module names are the key names of timm 1.0
(Apache-2.0). No re-identification weights of `convnext_small` and `convnext_base` are published: bring your own.
`convnext_base_layumi` takes the file of layumi/Person_reID_baseline_pytorch (MIT) where it has timm 1.0's key names.
That project's test resizes by PIL's bicubic filter and adds the embedding of the mirrored crop; here it is bilinear,
as trackers do, and one pass.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import torch
from torch import Tensor, nn

from reidkit.export.backbones._initial import draw_weights
from reidkit.export.backbones.card import IMAGENET_256X128, ModelCard

EPSILON = 1e-6

DEPTHS = (3, 3, 27, 3)

SMALL, BASE = (96, 192, 384, 768), (128, 256, 512, 1024)


class MapNorm(nn.LayerNorm):
    """Layer norm over the channels of each place of a map."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """Depthwise 7x7, then at each place a network of two layers; `gamma` scales what is added to x."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, EPSILON)
        self.mlp = nn.Sequential(
            OrderedDict(fc1=nn.Linear(channels, channels * 4), act=nn.GELU(), fc2=nn.Linear(channels * 4, channels))
        )
        # Training from scratch starts at 1e-6; at 1 the untrained network does what a trained one does, in every layer.
        self.gamma = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        out: Tensor = self.gamma * self.mlp(self.norm(self.conv_dw(x).permute(0, 2, 3, 1)))
        return x + out.permute(0, 3, 1, 2)


class Stage(nn.Module):
    """Blocks behind a layer that halves the map, where the channels change."""

    def __init__(self, channels_in: int, channels_out: int, depth: int) -> None:
        super().__init__()
        if channels_in != channels_out:
            halve = nn.Conv2d(channels_in, channels_out, 2, stride=2)
            self.downsample: nn.Module = nn.Sequential(MapNorm(channels_in, EPSILON), halve)
        else:
            self.downsample = nn.Identity()
        self.blocks = nn.Sequential(*(Block(channels_out) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) -> (N, channels_out, H, W), or half of H and W."""
        out: Tensor = self.blocks(self.downsample(x))
        return out


class ConvNeXt(nn.Module):
    """ConvNeXt without the classifier it was trained with.

    Args:
        channels: width of each of the four stages.
        depths: blocks of each.
        norm: normalise the embeddings over their channels.
    """

    def __init__(
        self, channels: tuple[int, int, int, int], depths: tuple[int, int, int, int] = DEPTHS, *, norm: bool = True
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, channels[0], 4, stride=4), MapNorm(channels[0], EPSILON))
        self.stages = nn.Sequential(*map(Stage, (channels[0], *channels), channels, depths))
        last = nn.LayerNorm(channels[-1], EPSILON)
        self.head = nn.Sequential(OrderedDict(norm=last) if norm else OrderedDict())
        draw_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) float32, normalised RGB -> (N, D) float32 raw embeddings, of either sign."""
        embeddings: Tensor = self.head(self.stages(self.stem(x)).mean((2, 3)))
        return embeddings


class Baseline(nn.Module):
    """Layumi's baseline: a ConvNeXt without its last norm, then a linear layer and a batch norm.

    Args:
        channels: width of each of the ConvNeXt's stages.
        width: of the embeddings.
    """

    def __init__(self, channels: tuple[int, int, int, int], *, width: int) -> None:
        super().__init__()
        self.model = ConvNeXt(channels, norm=False)
        add_block = nn.Sequential(nn.Linear(channels[-1], width), nn.BatchNorm1d(width))
        self.classifier = nn.Sequential(OrderedDict(add_block=add_block))
        draw_weights(self.classifier)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) float32, normalised RGB -> (N, width) float32 raw embeddings, of either sign."""
        embeddings: Tensor = self.classifier(self.model(x))
        return embeddings


CARDS = (
    *(
        ModelCard(
            name=name,
            family="convnext",
            build=partial(ConvNeXt, channels),
            preprocessing=IMAGENET_256X128,
            head_prefixes=("head.fc.",),
            source="arXiv 2201.03545, huggingface/pytorch-image-models",
            terms="no re-identification weights are published; timm is Apache-2.0",
        )
        for name, channels in {"convnext_small": SMALL, "convnext_base": BASE}.items()
    ),
    ModelCard(
        name="convnext_base_layumi",
        family="convnext",
        build=partial(Baseline, BASE, width=512),
        preprocessing=IMAGENET_256X128,
        head_prefixes=("classifier.classifier.",),
        source="arXiv 2201.03545, layumi/Person_reID_baseline_pytorch",
        terms="MIT; trained on Market-1501, whose owners allow academic research only",
    ),
)
