"""The weights a network has before anything is loaded into it or learnt."""

from __future__ import annotations

from typing import Literal

from torch import nn


def draw_weights(network: nn.Module, *, nonlinearity: Literal["linear", "relu"] = "linear") -> None:
    """Draw every convolution and linear layer by Kaiming's rule.

    "linear" lets residual blocks, which add up, keep the scale of what comes in; "relu" does so where little is added.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity=nonlinearity)
