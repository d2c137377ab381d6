"""What reidkit knows of a backbone: how to build it, and what its input has to look like.

This file needs no torch, so that a listing can speak of cards without it; only `ModelCard.build` calls for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reidkit.runtime.artifact.manifest import Normalization, Preprocessing, Resize
from reidkit.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from torch import Tensor, nn


def _as_they_are(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """One backbone: a network of one width, with the preprocessing its published weights expect.

    The embedding width is not here: it is measured on the built engine.

    Attributes:
        name: the name people type, e.g. ``"osnet_x0_25"``.
        family: the network family, also the name of its file in this folder.
        build: returns the network with freshly initialised weights. It maps (N, 3, H, W) float32, already
            normalised, to (N, D) float32 raw embeddings; its state_dict has the keys of the published checkpoints,
            without their heads.
        preprocessing: what the exported graph takes: uint8, nchw; the normalisation is added to the graph at export.
        head_prefixes: keys of training heads in published checkpoints, dropped (and reported) when loading.
        adapt: what is done to a checkpoint's tensors, heads and all, before they are matched to the network's. Raises
            `InvalidCheckpoint` with the reason where they look like this network's and must not be used for it.
        by_name_only: takes the same checkpoints as another backbone, which is the one meant unless this one is named.
        source: paper and upstream project.
        terms: what upstream says of its published weights and of the data they were trained on.
    """

    name: str
    family: str
    build: Callable[[], nn.Module]
    preprocessing: Preprocessing
    head_prefixes: tuple[str, ...] = ()
    adapt: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] = _as_they_are
    by_name_only: bool = False
    source: str
    terms: str

    def __post_init__(self) -> None:
        size = self.preprocessing
        if (size.layout, size.dtype, size.normalization.where) != ("nchw", "uint8", "graph"):
            raise InvalidInput(
                f"{self.name}: exported graphs take uint8 nchw crops and normalise them, the card says "
                f"{size.dtype} {size.layout}, normalised by the {size.normalization.where}"
            )


IMAGENET_256X128 = Preprocessing(
    height=256,
    width=128,
    color="rgb",
    layout="nchw",
    dtype="uint8",
    resize=Resize(kernel="bilinear", antialias=False),
    normalization=Normalization(where="graph", scale=1 / 255, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
)
"""A 256x128 RGB crop, resized as trackers do it (OpenCV's INTER_LINEAR), with ImageNet's mean and deviation."""
