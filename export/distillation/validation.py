"""How like the teacher's a student's sense of likeness is, on crops that it does not learn from."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ANCHORS, AROUND, FEWEST = 32, 10, 5
MOST = 0.1
"""Share of the crops that may be held out at most, where that leaves `FEWEST` to compare."""
NEAREST = 10
"""Neighbours of each crop that are compared, where there are enough others."""


def hold_out(embeddings: Tensor, *, seed: int) -> NDArray[np.bool_]:
    """(N,) bool: crops to validate with.

    Each of a few random crops is held out with its nearest neighbours, so that whole people are, more or less, and not
    single pictures of people who are learned from.

    Args:
        embeddings: (N, E) the teacher's, of length 1.
        seed: decides whom.
    """
    count = len(embeddings)
    around = min(AROUND, max(FEWEST, count // 10))
    anchors = np.random.default_rng(seed).permutation(count)[: max(1, min(ANCHORS, int(count * MOST) // around))]
    held = np.zeros(count, np.bool_)
    held[(embeddings[anchors] @ embeddings.T).topk(around, dim=1).indices.flatten().numpy()] = True
    return held


def neighbours_compared(count: int) -> int:
    """How many neighbours of each of `count` crops are compared: of all the others there are, any two would agree."""
    return max(1, min(NEAREST, (count - 1) // 2))


def neighbour_agreement(student: Tensor, teacher: Tensor) -> float:
    """The share of the teacher's nearest neighbours that are the student's too, in [0, 1].

    Args:
        student: (N, D) of length 1.
        teacher: (N, E) of length 1, of the same crops.
    """
    nearest = neighbours_compared(len(student))
    found = []
    for unit in (student, teacher):
        likeness = unit @ unit.T
        found.append(likeness.fill_diagonal_(-torch.inf).topk(nearest, dim=1).indices)
    return float((found[0][:, :, None] == found[1][:, None, :]).any(2).float().mean())
