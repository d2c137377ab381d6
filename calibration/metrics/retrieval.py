"""Retrieval: does the network find the same person in other cameras, by the protocol of Market-1501?

A crop's file name tells who and where: ``IDENTITY_cCAMERAsSEQUENCE_FRAME_N.jpg``. Market-1501 (Zheng et al., Scalable
Person Re-identification: A Benchmark, ICCV 2015) marks junk with identity -1 and background with identity 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.errors import InvalidFile, InvalidInput

_NAME = re.compile(r"(?P<identity>-?\d+)_c(?P<camera>\d+)s\d+_\d+_\d+\.(jpg|jpeg|png)", re.IGNORECASE)
_JUNK, _BACKGROUND = -1, 0
_QUERIES_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Gallery:
    """Labelled crops of a folder, in the order of their names.

    Attributes:
        paths: one file per crop.
        identities: (N,) int64; -1 is junk, 0 is background, people are positive.
        cameras: (N,) int64.
    """

    paths: tuple[Path, ...]
    identities: NDArray[np.int64]
    cameras: NDArray[np.int64]

    def queries(self) -> NDArray[np.int64]:
        """Rows that ask: of each person and camera the first crop by name."""
        people = np.flatnonzero(self.identities > _BACKGROUND)
        labels = np.stack([self.identities[people], self.cameras[people]], axis=1)
        return np.sort(people[np.unique(labels, axis=0, return_index=True)[1]])


@dataclass(frozen=True, slots=True)
class RetrievalScores:
    """How well queries find their identity.

    Attributes:
        mean_average_precision: in [0, 1].
        cmc: (K,) float64 in [0, 1]; `cmc[k - 1]` is the share of queries with a right crop among the first k.
        queries: how many queries had something to find and were counted.
    """

    mean_average_precision: float
    cmc: NDArray[np.float64]
    queries: int

    def rank(self, k: int) -> float:
        """The share of queries with a right crop among the first `k`."""
        return float(self.cmc[k - 1])


def read_gallery(folder: Path) -> Gallery:
    """The crops of `folder`, whose file names carry identity and camera as Market-1501's do.

    Raises:
        InvalidFile: no such folder, an image whose name tells no identity, or no image at all.
    """
    if not folder.is_dir():
        raise InvalidFile(f"{folder} is not a folder of crops")
    paths = tuple(sorted(path for path in folder.iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png"}))
    if not paths:
        raise InvalidFile(f"{folder} holds no .jpg or .png crops")
    labels = np.empty((len(paths), 2), np.int64)
    for row, path in enumerate(paths):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise InvalidFile(
                f"{path} does not tell who is seen where", remedy="name it IDENTITY_cCAMERAsSEQ_FRAME_N.jpg"
            )
        labels[row] = int(match["identity"]), int(match["camera"])
    return Gallery(paths, identities=labels[:, 0], cameras=labels[:, 1])


def score_retrieval(gallery: Gallery, embeddings: NDArray[np.floating], *, ranks: int = 50) -> RetrievalScores:
    """Mean average precision and cumulative match curve of one query per person and camera.

    The protocol: `gallery.queries()` ask, each other crop may answer, ranked by cosine similarity, ties by name. Left
    out of a query's ranking are crops of the same identity in the same camera (the query itself among them) and junk;
    background stays in and is always wrong. Average precision is the mean, over the right crops, of the precision at
    their ranks. A query with no right crop in another camera is not counted.

    Args:
        gallery: who is seen where.
        embeddings: (N, D) floating, one row per crop; need not be normalised.
        ranks: length of the curve.

    Raises:
        InvalidInput: rows are missing, zero or not finite, or no query has anything to find.
    """
    if embeddings.ndim != 2 or len(embeddings) != len(gallery.paths):
        raise InvalidInput(
            f"embeddings of shape {embeddings.shape} for {len(gallery.paths)} crops: one row each is needed"
        )
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if not np.all(np.isfinite(norms) & (norms > 0)):
        bad = int(np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))[0])
        raise InvalidInput(f"the embedding of {gallery.paths[bad].name} is zero or not finite")
    unit = embeddings / norms
    precisions: list[NDArray[np.float64]] = []
    first_ranks: list[NDArray[np.int64]] = []
    queries = gallery.queries()
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        rows = queries[start : start + _QUERIES_AT_ONCE]
        same_identity = gallery.identities[rows, None] == gallery.identities
        left_out = (same_identity & (gallery.cameras[rows, None] == gallery.cameras)) | (gallery.identities == _JUNK)
        distance = np.where(left_out, np.inf, -(unit[rows] @ unit.T))
        order = np.argsort(distance, axis=1, kind="stable")
        right = np.take_along_axis(same_identity & ~left_out, order, axis=1)
        right = right[right.any(axis=1)]
        precision = np.cumsum(right, axis=1) / np.arange(1, right.shape[1] + 1)
        precisions.append((precision * right).sum(axis=1) / right.sum(axis=1))
        first_ranks.append(np.argmax(right, axis=1))
    average_precision = np.concatenate(precisions) if precisions else np.empty(0)
    if not len(average_precision):
        raise InvalidInput(
            f"none of {len(gallery.paths)} crops is seen again in another camera",
            remedy="give a gallery of several cameras",
        )
    cmc = (np.concatenate(first_ranks)[:, None] < np.arange(1, ranks + 1)).mean(axis=0)
    return RetrievalScores(float(average_precision.mean()), cmc, queries=len(average_precision))
