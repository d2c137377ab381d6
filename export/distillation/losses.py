"""What a student is asked to learn: to see likeness as the teacher does.

Widths differ, so embeddings are compared through relations and through one linear projection. With s the student's
embeddings, P the projection, t the teacher's and T the teacher's embeddings of all crops:

    direction   1 - cos(P s, t)                                     regression, FitNets' hint
    place       KL(softmax(t T' / τ) || softmax(P s T' / τ))        where among all crops it lies
    relation    KL(softmax(t t' / τ) || softmax(s s' / τ))          who of the batch is like whom, in s itself

(Tung and Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019; Fang et al., "SEED", ICLR 2021.)
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

TEMPERATURE = 0.06


def likeness_loss(embeddings: Tensor, projected: Tensor, teacher: Tensor, bank: Tensor) -> Tensor:
    """The sum of direction, place and relation, a scalar.

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
    relation = _divergence(
        (unit @ unit.T)[others].view(len(unit), -1), (teacher @ teacher.T)[others].view(len(unit), -1)
    )
    return direction + place + relation


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean KL divergence of the rows' softmax, the teacher's as the truth."""
    return functional.kl_div(
        functional.log_softmax(student / TEMPERATURE, 1),
        functional.log_softmax(teacher / TEMPERATURE, 1),
        reduction="batchmean",
        log_target=True,
    )
