"""How far apart people are in an embedding: cosines of the same person, and of different ones.

From where strangers become rare follow the tracker's thresholds for this very artifact. A tracker compares within one
camera; galleries made for retrieval also tell of other cameras, which the curves are drawn from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.metrics.retrieval import Gallery

BINS = 2000
STRANGERS = 0.01
"""Share of the strangers in one camera whom `min_cosine` lets through."""
STRANGERS_LONG_TERM = 0.001
"""The same of `long_term_min_cosine`, which is asked without any box that overlaps."""
_FEWEST_PAIRS = 1000
_ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Cosines of pairs of crops, counted.

    Attributes:
        same: (BINS,) int64, pairs of one person, from cosine -1 to 1.
        different: (BINS,) int64, pairs of two people.
    """

    same: NDArray[np.int64]
    different: NDArray[np.int64]

    def cosine_of_strangers(self, share: float) -> float:
        """The least cosine that at most `share` of the pairs of two people reach."""
        reaching = np.cumsum(self.different[::-1])[::-1] / self.different.sum()
        return float(EDGES[:-1][reaching <= share].min(initial=1.0))


@dataclass(frozen=True, slots=True, eq=False)
class Separation:
    """Pairs of crops of a gallery, by whether one camera took both."""

    one_camera: Pairs
    two_cameras: Pairs

    @property
    def telling(self) -> Pairs:
        """The pairs that thresholds are taken from: those of one camera, if the gallery has enough of that kind."""
        enough = self.one_camera.different.sum() >= _FEWEST_PAIRS and self.one_camera.same.any()
        return self.one_camera if enough else self.two_cameras

    def thresholds(self) -> dict[str, float] | None:
        """Settings of `BotSortConfig` for this embedding, by name; None where too few pairs could tell."""
        pairs = self.telling
        if pairs.different.sum() < _FEWEST_PAIRS:
            return None
        usual = round(pairs.cosine_of_strangers(STRANGERS), 3)
        return {
            "min_cosine": usual,
            "unconfirmed_min_cosine": usual,
            "long_term_min_cosine": round(pairs.cosine_of_strangers(STRANGERS_LONG_TERM), 3),
        }


EDGES = np.linspace(-1, 1, BINS + 1)


def separate(gallery: Gallery, embeddings: NDArray[np.floating]) -> Separation:
    """Count the cosines of all pairs of people; junk and background are left out.

    Args:
        gallery: who is seen where.
        embeddings: (N, D) floating, one row per crop, none of them zero.
    """
    people = np.flatnonzero(gallery.identities > 0)
    unit = embeddings[people] / np.linalg.norm(embeddings[people], axis=1, keepdims=True)
    identities, cameras = gallery.identities[people], gallery.cameras[people]
    counts = np.zeros((2, 2, BINS), np.int64)
    for start in range(0, len(people), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        cosine = unit[rows] @ unit.T
        same = identities[rows, None] == identities
        camera = cameras[rows, None] == cameras
        later = np.arange(len(people)) > np.arange(len(people))[rows, None]
        for one, where in enumerate((camera, ~camera)):
            for two, who in enumerate((same, ~same)):
                counts[one, two] += np.histogram(np.clip(cosine[where & who & later], -1, 1), EDGES)[0]
    return Separation(one_camera=Pairs(*counts[0]), two_cameras=Pairs(*counts[1]))
