"""CLIP's vision transformers: ViT-B/16 as CLIP-ReID trains it, ViT-L/14 for weights of your own.

    image ─ conv1, a token for each patch ─┐
                           class_embedding ┴ + positional_embedding ─ ln_pre ─ resblocks

    class token ─ ln_post ─┬ trunk
                           └ · proj ─ projection

An embedding is both, one behind the other, which is what CLIP-ReID evaluates; or, by the name's ending, `_trunk` or
`_projection` alone, or `_bnneck`: both behind CLIP-ReID's batch norms (its NECK_FEAT "after").

A file whose positional embeddings are those of a square image, as CLIP's own are, gets them interpolated to this
input's grid, bilinear, as CLIP-ReID does. Files of SIE variants are refused: they add an embedding of the camera, and a
tracker's cameras are none of those they were trained on.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021 (arXiv 2103.00020,
openai/CLIP, MIT); Li et al., "CLIP-ReID", AAAI 2023 (arXiv 2211.13977). Module names are the key names of
Syliz517/CLIP-ReID (MIT) for ViT-B/16, and of open CLIP (`visual.`) for ViT-L/14, which keeps CLIP's own mean and
deviation. A ViT-L/14 trained with CLIP-ReID's code is another network: that code runs 12 of the 24 blocks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import isqrt
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from reidkit.export.backbones.card import IMAGENET_256X128, ModelCard
from reidkit.runtime.artifact.manifest import Normalization
from reidkit.runtime.errors import InvalidCheckpoint

Feature = Literal["concat", "trunk", "projection", "bnneck"]

HEAD_WIDTH = 64


class QuickGELU(nn.Module):
    """The activation CLIP was trained with, near to GELU but not equal."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return x * (1.702 * x).sigmoid()


class Attention(nn.Module):
    """Self-attention of several heads, with one weight for queries, keys and values."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, width) -> the same shape."""
        projected = functional.linear(x, self.in_proj_weight, self.in_proj_bias)
        # Never more than four dimensions, which are all that ncnn has.
        query, key, value = (
            torch.unflatten(part, 2, (-1, HEAD_WIDTH)).transpose(1, 2) for part in projected.chunk(3, dim=2)
        )
        seen = functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.out_proj(seen.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """Attention, then at each token a network of two layers, each behind a norm and added to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Attention(width)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            OrderedDict(c_fc=nn.Linear(width, width * 4), gelu=QuickGELU(), c_proj=nn.Linear(width * 4, width))
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, width) -> the same shape."""
        x = x + self.attn(self.ln_1(x))
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


@dataclass(frozen=True, slots=True)
class Shape:
    """What tells one of CLIP's vision transformers from another.

    Attributes:
        name: under which the tower's weights stand in its files.
        patch: height and width of a patch, in pixels.
        grid: patches from top to bottom and from left to right; pixels behind the last whole patch are not seen.
        width: of a token, a multiple of the 64 that each head has.
        depth: transformer blocks.
        projection: width of the space that CLIP's images and texts share.
    """

    name: str
    patch: int
    grid: tuple[int, int]
    width: int
    depth: int
    projection: int


class VisionTransformer(nn.Module):
    """CLIP's image tower.

    Args:
        projects: it has the projection to the space shared with texts.
    """

    def __init__(self, shape: Shape, *, projects: bool) -> None:
        super().__init__()
        width, tokens = shape.width, 1 + shape.grid[0] * shape.grid[1]
        self.conv1 = nn.Conv2d(3, width, shape.patch, stride=shape.patch, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width) * width**-0.5)
        self.positional_embedding = nn.Parameter(torch.randn(tokens, width) * width**-0.5)
        self.ln_pre = nn.LayerNorm(width)
        resblocks = nn.Sequential(*(Block(width) for _ in range(shape.depth)))
        self.transformer = nn.Sequential(OrderedDict(resblocks=resblocks))
        self.ln_post = nn.LayerNorm(width)
        if projects:
            self.proj = nn.Parameter(torch.randn(width, shape.projection) * width**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) float32, normalised RGB -> (N, width): the class token, as it stands before the projection."""
        patches = self.conv1(x).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(x.shape[0], 1, -1)
        tokens = self.ln_pre(torch.cat([first, patches], dim=1) + self.positional_embedding)
        trunk: Tensor = self.ln_post(self.transformer(tokens)[:, 0])
        return trunk


class ClipEmbedder(nn.Module):
    """An image tower under the name that its files have for it, and which of its outputs are the embedding."""

    def __init__(self, shape: Shape, feature: Feature) -> None:
        super().__init__()
        self.name, self.feature = shape.name, feature
        self.add_module(shape.name, VisionTransformer(shape, projects=feature != "trunk"))
        if feature == "bnneck":
            self.bottleneck, self.bottleneck_proj = nn.BatchNorm1d(shape.width), nn.BatchNorm1d(shape.projection)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) float32, normalised RGB -> (N, D) float32 raw embeddings, of either sign."""
        trunk: Tensor = self.get_submodule(self.name)(x)
        if self.feature == "trunk":
            return trunk
        projection = trunk @ self.get_parameter(f"{self.name}.proj")
        if self.feature == "projection":
            return projection
        if self.feature == "bnneck":
            trunk, projection = self.bottleneck(trunk), self.bottleneck_proj(projection)
        return torch.cat([trunk, projection], dim=1)


def fit_to_grid(shape: Shape, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The tensors with the positional embeddings of a square grid interpolated to the tower's own.

    Raises:
        InvalidCheckpoint: they are of an SIE variant.
    """
    key = f"{shape.name}.positional_embedding"
    tokens = tensors.get(key)
    if tokens is None or tokens.shape[1:] != (shape.width,) or not tokens.is_floating_point():
        return tensors
    if "cv_embed" in tensors:
        raise InvalidCheckpoint(
            "this is an SIE variant of CLIP-ReID, which adds what it learnt of each training camera (cv_embed), "
            "and a tracker's cameras are none of those",
            remedy="use the checkpoint without SIE",
        )
    first, places = tokens[:1].float(), tokens[1:].float()
    side = isqrt(len(places))
    if side == 0 or side * side != len(places):
        return tensors
    square = places.T.reshape(1, -1, side, side)
    fitted = functional.interpolate(square, size=shape.grid, mode="bilinear").flatten(2)[0].T
    return {**tensors, key: torch.cat([first, fitted])}


B16 = Shape("image_encoder", patch=16, grid=(16, 8), width=768, depth=12, projection=512)

L14 = Shape("visual", patch=14, grid=(18, 9), width=1024, depth=24, projection=768)

CLIP_REID = replace(
    IMAGENET_256X128, normalization=Normalization(where="graph", scale=1 / 255, mean=[0.5] * 3, std=[0.5] * 3)
)

CLIP = replace(
    IMAGENET_256X128,
    normalization=Normalization(
        where="graph",
        scale=1 / 255,
        mean=[0.48145466, 0.4578275, 0.40821073],
        std=[0.26862954, 0.26130258, 0.27577711],
    ),
)

NECK = ("bottleneck.", "bottleneck_proj.")

TRAINING = ("classifier.", "classifier_proj.", "prompt_learner.", "text_encoder.")

TEXT_TOWER = ("transformer.", "token_embedding.", "positional_embedding", "ln_final.", "text_projection", "logit_scale")

B16_HEADS: dict[Feature, tuple[str, ...]] = {
    "concat": (*TRAINING, *NECK),
    "trunk": (*TRAINING, *NECK, "image_encoder.proj"),
    "projection": (*TRAINING, *NECK),
    "bnneck": TRAINING,
}

L14_HEADS: dict[Feature, tuple[str, ...]] = {
    "concat": TEXT_TOWER,
    "trunk": (*TEXT_TOWER, "visual.proj"),
    "projection": TEXT_TOWER,
}

CARDS = (
    *(
        ModelCard(
            name="clip_vit_b16" if feature == "concat" else f"clip_vit_b16_{feature}",
            family="clip",
            build=partial(ClipEmbedder, B16, feature),
            preprocessing=CLIP_REID,
            head_prefixes=heads,
            adapt=partial(fit_to_grid, B16),
            by_name_only=feature != "concat",
            source="arXiv 2211.13977, Syliz517/CLIP-ReID",
            terms="MIT; trained on Market-1501, DukeMTMC-reID or MSMT17, whose owners allow academic research only",
        )
        for feature, heads in B16_HEADS.items()
    ),
    *(
        ModelCard(
            name="clip_vit_l14" if feature == "concat" else f"clip_vit_l14_{feature}",
            family="clip",
            build=partial(ClipEmbedder, L14, feature),
            preprocessing=CLIP,
            head_prefixes=heads,
            adapt=partial(fit_to_grid, L14),
            by_name_only=feature != "concat",
            source="arXiv 2103.00020, openai/CLIP",
            terms="no re-identification weights are published; openai/CLIP is MIT",
        )
        for feature, heads in L14_HEADS.items()
    ),
)
