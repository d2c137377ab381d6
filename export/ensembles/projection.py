"""Principal axes of joined embeddings: a narrower embedding that keeps as much of the differences as it can."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.errors import InvalidInput

_NOTHING = 1e-12
"""Share of the crops' squared length below which their differences are rounding."""


def expect_axes(width: int, *, joined_dim: int, crops: int) -> None:
    """Raise `InvalidInput` unless so many crops of so wide embeddings can have `width` axes."""
    if width > joined_dim:
        raise InvalidInput(f"--width {width}: the parts together are {joined_dim} wide", remedy="give a smaller width")
    if crops <= width:
        raise InvalidInput(
            f"--width {width} cannot be found from {crops} crops: they lie along {crops - 1} axes",
            remedy=f"give more than {width} crops, better several times as many, or a smaller width",
        )


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """``(embedding - mean) @ axes``, without whitening.

    Attributes:
        mean: (D,) float32.
        axes: (D, K) float32, orthonormal columns, the one with most variance first; the largest entry of each is
            positive.
        explained: share of the variance that is along them, in [0, 1].
    """

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]
    explained: float

    @staticmethod
    def fit(embeddings: NDArray[np.float32], *, width: int) -> Projection:
        """The first `width` principal axes of `embeddings`, (N, D) float32.

        Raises:
            InvalidInput: there are too few embeddings, they are too narrow, or all the same.
        """
        expect_axes(width, joined_dim=embeddings.shape[1], crops=len(embeddings))
        mean = embeddings.mean(axis=0, dtype=np.float64)
        _, lengths, axes = np.linalg.svd(embeddings - mean, full_matrices=False)
        variances = np.square(lengths)
        if variances.sum() <= _NOTHING * np.square(embeddings, dtype=np.float64).sum():
            raise InvalidInput(
                f"{len(embeddings)} crops do not differ: they have no axes", remedy="give crops of many people"
            )
        kept = axes[:width].T
        kept = kept * np.sign(kept[np.abs(kept).argmax(axis=0), np.arange(width)])
        return Projection(
            mean.astype(np.float32), kept.astype(np.float32), float(variances[:width].sum() / variances.sum())
        )

    def of(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, D) float32 -> (N, K) float32."""
        return np.asarray((embeddings - self.mean) @ self.axes, np.float32)
