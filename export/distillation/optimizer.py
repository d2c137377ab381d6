"""Two optimizers as one: Muon for the weights that are matrices, AdamW for what is too thin to be one.

Muon steps along the nearest orthogonal matrix to the momentum, so that every direction of a layer learns at the same
pace (Jordan et al., "Muon: an optimizer for hidden layers", 2024). A small network learns twice as much in the same
number of steps with it (docs/decisions/010). A convolution counts as the matrix of its kernels; depthwise kernels,
gates of a few units, norms and biases go to AdamW.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

THINNEST = 16
"""Rows and columns from which on a weight counts as a matrix."""


class Optimizer:
    """Muon and AdamW over the parameters of one module.

    Args:
        module: its parameters are stepped in place; 4-D weights are channels-last.
        matrix_rate: learning rate of the matrices.
        learning_rate: of all else.
        weight_decay: of weights, not of biases and norms.
    """

    def __init__(self, module: nn.Module, *, matrix_rate: float, learning_rate: float, weight_decay: float) -> None:
        parameters = list(module.parameters())
        # A view of the weight's own memory: what Muon does to it is done to the weight.
        self._pairs = [
            (weight, _kernels_last(weight.detach()).view(len(weight), -1))
            for weight in parameters
            if _is_matrix(weight)
        ]
        others = [weight for weight in parameters if not _is_matrix(weight)]
        self._optimizers: list[tuple[torch.optim.Optimizer, float]] = []
        if matrices := [matrix for _, matrix in self._pairs]:
            self._optimizers.append((torch.optim.Muon(matrices, weight_decay=weight_decay), matrix_rate))
        if others:
            thin, flat = ([weight for weight in others if (weight.ndim > 1) is wanted] for wanted in (True, False))
            groups = [{"params": thin, "weight_decay": weight_decay}, {"params": flat, "weight_decay": 0.0}]
            self._optimizers.append((torch.optim.AdamW(groups, fused=True), learning_rate))

    def step(self, share: float) -> None:
        """Follow the gradients at this share of the full rates, and forget them."""
        for weight, matrix in self._pairs:
            matrix.grad = None if weight.grad is None else _kernels_last(weight.grad).reshape(matrix.shape)
            weight.grad = None
        for optimizer, rate in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * share
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:
        """Momenta and moments."""
        return [optimizer.state_dict() for optimizer, _ in self._optimizers]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Go on from there."""
        for (optimizer, _), state in zip(self._optimizers, states, strict=True):
            optimizer.load_state_dict(state)


def _is_matrix(weight: Tensor) -> bool:
    return weight.ndim in (2, 4) and min(len(weight), weight[0].numel()) >= THINNEST


def _kernels_last(weight: Tensor) -> Tensor:
    """(O, I, H, W) as (O, H, W, I), the order in which channels-last memory holds it; (O, I) as it is."""
    return weight.permute(0, 2, 3, 1) if weight.ndim == 4 else weight
