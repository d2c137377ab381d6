"""What FastReID's networks share: non-local blocks, the head with its BNNeck, and what goes in.

    normalised crop ─ backbone ─ pool ─ BNNeck ─ 2048

Recipes are FastReID's: ``bot`` pools by the mean, ``agw`` and ``sbs`` by a generalised mean, ``sbs`` on taller crops.
Files come in two generations, told apart by the BNNeck's key: ``heads.bnneck`` in the model zoo of 2020 (release
v0.1.1), ``heads.bottleneck.0`` since December 2020, which includes BoT-SORT's files.

Networks take 0..255 RGB less FastReID's mean, by its deviation: the card's preprocessing, in the exported graph.
FastReID evaluates on crops resized by PIL's bicubic filter. The cards say bilinear without antialiasing, as BoT-SORT
resizes (OpenCV's INTER_LINEAR), the tracker these weights are known from; the zoo's accuracy was measured otherwise.

JDAI-CV/fast-reid (Apache-2.0); He et al., "FastReID: A Pytorch Toolbox for General Instance Re-identification", ACM MM
2023 (arXiv 2006.02631).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import isclose
from typing import Literal

import torch
from torch import Tensor, nn

from reidkit.export.backbones.card import IMAGENET_256X128
from reidkit.runtime.artifact.manifest import Normalization
from reidkit.runtime.errors import InvalidCheckpoint

EMBEDDING_WIDTH = 2048

Recipe = Literal["bot", "agw", "sbs"]

Generation = Literal["2020", "current"]

PIXELS = Normalization(where="graph", scale=1.0, mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])

_SHORT = replace(IMAGENET_256X128, normalization=PIXELS)
PREPROCESSING = {"bot": _SHORT, "agw": _SHORT, "sbs": replace(_SHORT, height=384)}

HEAD_PREFIXES = {"2020": ("heads.classifier.", "pixel_mean", "pixel_std"), "current": ("heads.weight",)}

SOURCE = "arXiv 2006.02631, JDAI-CV/fast-reid"

TERMS = "Apache-2.0; trained on Market-1501, DukeMTMC-reID or MSMT17, whose owners allow academic research only"


class NonLocal(nn.Module):
    """Lets every place of a map see all others (Wang et al., "Non-local Neural Networks", CVPR 2018, arXiv 1711.07971).

    FastReID's blocks are one channel wide inside. There theta·phiᵀ·g / HW is theta times one number for each crop, and
    the (HW, HW) matrix of the paper is never made.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(norm.weight)
        self.g = nn.Conv2d(channels, 1, 1)
        self.W = nn.Sequential(nn.Conv2d(1, channels, 1), norm)
        self.theta = nn.Conv2d(channels, 1, 1)
        self.phi = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        context = (self.phi(x) * self.g(x)).mean((2, 3), keepdim=True)
        out: Tensor = x + self.W(self.theta(x) * context)
        return out


class Stages(nn.Module):
    """Base of the residual networks: the four stages `layer1` to `layer4`, with or without non-local blocks."""

    def _add_stages(self, stages: Iterable[Iterable[nn.Module]], *, non_local: bool, width: int) -> None:
        """Add the blocks of each stage.

        Args:
            stages: four times blocks.
            non_local: with a non-local block behind each of layer2's last two blocks and of layer3's last three.
            width: channels of layer1's maps; every stage doubles them.
        """
        for number, blocks in enumerate(stages, start=1):
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        counts = {"NL_2": 2, "NL_3": 3} if non_local else {"NL_2": 0, "NL_3": 0}
        for doublings, (name, count) in enumerate(counts.items(), start=1):
            self.add_module(name, nn.ModuleList(NonLocal(width << doublings) for _ in range(count)))

    def _through_stages(self, x: Tensor) -> Tensor:
        for number in (1, 2, 3, 4):
            blocks = list(self.get_submodule(f"layer{number}").children())
            others = list(self.get_submodule(f"NL_{number}").children()) if number in (2, 3) else []
            for index, block in enumerate(blocks, start=len(others) - len(blocks)):
                x = block(x)
                if index >= 0:
                    x = others[index](x)
        return x


class GeM(nn.Module):
    """Each channel's generalised mean: the mean for p = 1, towards the maximum as p grows (arXiv 1711.02512).

    Args:
        learnt: p is among the weights, else 3.
    """

    p: Tensor

    def __init__(self, *, learnt: bool) -> None:
        super().__init__()
        p = torch.full((1,), 3.0)
        if learnt:
            self.p = nn.Parameter(p)
        else:
            self.register_buffer("p", p, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, 1, 1)."""
        return x.clamp(min=1e-6).pow(self.p).mean((2, 3), keepdim=True).pow(1 / self.p)


class Head(nn.Module):
    """Pooling, then the BNNeck: at test time FastReID's embeddings are what comes out of it, in every recipe."""

    def __init__(self, recipe: Recipe, generation: Generation, *, width: int) -> None:
        super().__init__()
        learnt = recipe == "sbs" or generation == "2020"
        self.pool_layer = nn.AdaptiveAvgPool2d(1) if recipe == "bot" else GeM(learnt=learnt)
        self.neck_name = "bnneck" if generation == "2020" else "bottleneck"
        neck = nn.BatchNorm2d(width)
        self.add_module(self.neck_name, neck if generation == "2020" else nn.Sequential(neck))

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) -> (N, width)."""
        embeddings: Tensor = self.get_submodule(self.neck_name)(self.pool_layer(x))
        return embeddings.flatten(1)


class FastReID(nn.Module):
    """A backbone with FastReID's head.

    Args:
        backbone: maps (N, 3, H, W) normalised RGB to (N, width, h, w).
    """

    def __init__(
        self, backbone: nn.Module, recipe: Recipe, generation: Generation, *, width: int = EMBEDDING_WIDTH
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = Head(recipe, generation, width=width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) float32, normalised RGB -> (N, width) float32 raw embeddings, of either sign."""
        embeddings: Tensor = self.heads(self.backbone(x))
        return embeddings


def expect_usual_pixels(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The tensors as they are. Raises `InvalidCheckpoint` where they are of 2020 and of another mean or deviation."""
    for key, usual in {"pixel_mean": PIXELS.mean, "pixel_std": PIXELS.std}.items():
        if key in tensors and "heads.bnneck.weight" in tensors:
            found = [round(value, 3) for value in tensors[key].flatten().tolist()]
            if len(found) != len(usual) or not all(
                isclose(*pair, rel_tol=1e-3) for pair in zip(found, usual, strict=True)
            ):
                raise InvalidCheckpoint(f"{key} is {found}, and this backbone's crops are normalised with {usual}")
    return tensors
