"""What a student is asked to learn: to see likeness as the teacher does.

Widths differ, so embeddings are compared through relations and through one linear projection. With s the student's
embeddings, P the projection, t the teacher's and T the teacher's embeddings of all crops:

    direction   1 - cos(P s, t)                                     regression, FitNets' hint
    place       KL(softmax(t T' / τ) || softmax(P s T' / τ))        where among all crops it lies
    relation    KL(softmax(t t' / τ) || softmax(s s' / τ))          who of the batch is like whom, in s itself
    level       (s s' - max(t t', 0))²                              how alike they are, in s itself

The first three leave open how alike strangers are, for a softmax sees differences alone; a tracker's thresholds are
cosines, and `level` gives them the teacher's meaning. OSNet's embedding is never negative, nor then are its cosines.

(Tung and Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019; Fang et al., "SEED", ICLR 2021.)
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

TEMPERATURE = 0.06
LEVEL = 10.0
"""Weight of `level`: an error of 0.2 in the cosines costs 0.4."""


def likeness_loss(embeddings: Tensor, projected: Tensor, teacher: Tensor, bank: Tensor) -> Tensor:
    """The weighted sum of direction, place, relation and level, a scalar.

    Args:
        embeddings: (B, D) the student's, raw.
        projected: (B, E) the same through the projection, raw.
        teacher: (B, E) the teacher's, of length 1.
        bank: (N, E) the teacher's of all crops, of length 1.
    """
    projected = functional.normalize(projected)
    direction = 1 - (projected * teacher).sum(1).mean()
    place = _divergence(projected @ bank.T, teacher @ bank.T)
    unit = functional.normalize(embeddings)
    others = ~torch.eye(len(unit), dtype=torch.bool)
    seen, truth = ((rows @ rows.T)[others].view(len(rows), -1) for rows in (unit, teacher))
    relation = _divergence(seen, truth)
    level = functional.mse_loss(seen, truth.clamp(min=0))
    return direction + place + relation + LEVEL * level


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean KL divergence of the rows' softmax, the teacher's as the truth."""
    return functional.kl_div(
        functional.log_softmax(student / TEMPERATURE, 1),
        functional.log_softmax(teacher / TEMPERATURE, 1),
        reduction="batchmean",
        log_target=True,
    )
