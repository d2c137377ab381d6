"""Anything that embeds crops, in one form for the gates: an open engine, an ONNX graph, the original in torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidkit.calibration.crops.folder import read_image
from reidkit.runtime.artifact.manifest import Preprocessing
from reidkit.runtime.engines import Engine, cut
from reidkit.runtime.errors import InvalidInput, NonFiniteEmbedding

_CROPS_AT_ONCE = 64


@dataclass(frozen=True, slots=True, eq=False)
class Embedder:
    """What turns boxes of a picture into raw embeddings.

    Attributes:
        name: for messages and reports.
        preprocessing: what its input tensor holds.
        batch: how many crops it takes at once.
        answer: (n, …) input tensors, n at most `batch` -> (n, D) float32 raw embeddings.
    """

    name: str
    preprocessing: Preprocessing
    batch: int
    answer: Callable[[NDArray[Any]], NDArray[np.float32]]

    @staticmethod
    def of(engine: Engine) -> Embedder:
        """An open artifact."""
        manifest = engine.manifest
        return Embedder(manifest.name, manifest.preprocessing, engine.max_batch, partial(engine.embed, normalize=False))

    def as_reference(self) -> Embedder:
        """The same as what others are held to: it raises `InvalidInput` where it is not fit for that."""

        def answer(crops: NDArray[Any]) -> NDArray[np.float32]:
            try:
                found = self.answer(crops)
            except NonFiniteEmbedding as error:
                raise InvalidInput(f"{self.name} cannot be the reference: {error.message}") from error
            if not np.isfinite(found).all():
                raise InvalidInput(f"{self.name} cannot be the reference: its own embeddings are not finite")
            return found

        return replace(self, answer=answer)

    def cut(self, picture: NDArray[np.uint8], boxes_xyxy: ArrayLike) -> NDArray[Any]:
        """The input tensor of boxes in a BGR picture; see `EngineBase.cut`."""
        return cut(self.preprocessing, picture, boxes_xyxy, color="bgr")

    def cut_whole(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[Any]:
        """The input tensor of whole BGR pictures, one crop each."""
        return np.concatenate([self.cut(each, [[0, 0, each.shape[1], each.shape[0]]]) for each in pictures])

    def embed(self, crops: NDArray[Any]) -> NDArray[np.float32]:
        """(N, D) float32 raw embeddings of input tensors. Raises `NonFiniteEmbedding`."""
        chunks = [self.answer(crops[start : start + self.batch]) for start in range(0, len(crops), self.batch)]
        embeddings = np.concatenate(chunks)
        if not (finite := np.isfinite(embeddings).all(axis=1)).all():
            raise NonFiniteEmbedding(np.flatnonzero(~finite), artifact=self.name)
        return embeddings

    def embed_files(
        self, paths: Sequence[Path], *, on_crop: Callable[[int], None] = lambda done: None
    ) -> NDArray[np.float32]:
        """(N, D) float32 raw embeddings of image files.

        Raises:
            InvalidFile: a file is not an image.
            MissingDependency: OpenCV is not installed.
            NonFiniteEmbedding: an answer is NaN or infinite.
        """
        chunks = []
        for start in range(0, len(paths), _CROPS_AT_ONCE):
            pictures = [read_image(path) for path in paths[start : start + _CROPS_AT_ONCE]]
            chunks.append(self.embed(self.cut_whole(pictures)))
            on_crop(start + len(pictures))
        return np.concatenate(chunks)
