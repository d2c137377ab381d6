"""Putting the tensors of a checkpoint into a backbone: every one at its place, or an error that says why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from reidkit.export.backbones import ModelCard, backbones
from reidkit.export.checkpoints.checkpoint import Checkpoint
from reidkit.runtime.errors import InvalidCheckpoint

OPTIONAL_SUFFIX = "num_batches_tracked"
"""A counter of training steps that inference never reads; files that passed through another tool may lack it."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """What keeps tensors from being the weights of a backbone; false where nothing does."""

    missing: list[str]
    unexpected: list[str]
    misshapen: list[str]

    @staticmethod
    def between(expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> Misfit:
        """Compare keys, shapes and whether the values are floats. Neither side's values are read."""
        return Misfit(
            missing=[key for key in expected if key not in given and not key.endswith(OPTIONAL_SUFFIX)],
            unexpected=[key for key in given if key not in expected],
            misshapen=[
                f"{key} is {_kind(given[key])}, expected {_kind(tensor)}"
                for key, tensor in expected.items()
                if key in given and _kind(given[key]) != _kind(tensor)
            ],
        )

    def __len__(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.misshapen)

    def __str__(self) -> str:
        parts = {"of another shape": self.misshapen, "missing": self.missing, "unexpected": self.unexpected}
        return ", ".join(f"{len(keys)} {what} ({_first(keys)})" for what, keys in parts.items() if keys)


def load_backbone(card: ModelCard, checkpoint: Checkpoint) -> tuple[nn.Module, list[str]]:
    """The backbone in evaluation mode with the checkpoint's weights, and the keys of the heads that were left out.

    Raises:
        InvalidCheckpoint: a key is missing, unexpected or of another shape, a value is not finite, or the card knows
            a reason against these tensors.
    """
    module = card.build()
    expected = module.state_dict()
    given, dropped = _adapted(card, checkpoint)
    if misfit := Misfit.between(expected, given):
        raise InvalidCheckpoint(
            f"{checkpoint.path} does not hold the weights of {card.name}: {misfit}",
            remedy=_advice(checkpoint, asked=card.name),
        )
    if spoilt := [key for key, tensor in given.items() if not tensor.float().isfinite().all()]:
        raise InvalidCheckpoint(f"{checkpoint.path} has NaN or infinity in {len(spoilt)} tensors ({_first(spoilt)})")
    module.load_state_dict({**expected, **given})
    return module.eval().requires_grad_(False), dropped


def random_backbone(card: ModelCard, *, seed: int = 0) -> nn.Module:
    """The backbone in evaluation mode with random weights, the same ones for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return card.build().eval().requires_grad_(False)


def identify(checkpoint: Checkpoint) -> ModelCard:
    """The one backbone whose weights these are. Raises `InvalidCheckpoint` if none or several would take them."""
    fitting = [name for name, misfit in _misfits(checkpoint).items() if not misfit]
    if not fitting:
        raise InvalidCheckpoint(f"{checkpoint.path} fits no backbone", remedy=_advice(checkpoint))
    if len(fitting) > 1:
        names = " and ".join(fitting)
        raise InvalidCheckpoint(f"{checkpoint.path} fits {names} alike", remedy="say which with --model")
    return backbones()[fitting[0]]


def _advice(checkpoint: Checkpoint, *, asked: str = "") -> str:
    """What the tensors are, or are nearest to; nothing where that is the backbone that was asked for."""
    misfits = _misfits(checkpoint)
    if fitting := [name for name, misfit in misfits.items() if not misfit]:
        return f"these are the weights of {' or '.join(fitting)}"
    nearest = min(misfits, key=lambda name: len(misfits[name]))
    if len(misfits[nearest]) > len(checkpoint.tensors) / 2:
        return f"they are no weights of {', '.join(sorted({card.family for card in backbones().values()}))}"
    return "" if nearest == asked else f"the nearest is {nearest} with {misfits[nearest]}"


def _misfits(checkpoint: Checkpoint) -> dict[str, Misfit]:
    """For every backbone that can be told by its weights, by name."""
    cards = [card for card in backbones().values() if not card.by_name_only]
    return {card.name: Misfit.between(_expected(card.build), _adapted(card, checkpoint)[0]) for card in cards}


@cache
def _expected(build: Callable[[], nn.Module]) -> Mapping[str, Tensor]:
    with torch.device("meta"):
        return build().state_dict()


def _adapted(card: ModelCard, checkpoint: Checkpoint) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors for the card's network, and the keys of the heads that are not among them."""
    try:
        tensors = card.adapt(checkpoint.tensors)
    except InvalidCheckpoint as error:
        raise InvalidCheckpoint(f"{checkpoint.path}: {error.message}", remedy=error.remedy) from error
    dropped = [key for key in tensors if key.startswith(card.head_prefixes)]
    return {key: tensor for key, tensor in tensors.items() if key not in set(dropped)}, dropped


def _kind(tensor: Tensor) -> str:
    """Shape and, for what is not a float, the type: ``"(64, 3, 7, 7)"``, ``"() int64"``."""
    shape = str(tuple(tensor.shape))
    return shape if tensor.is_floating_point() else f"{shape} {str(tensor.dtype).removeprefix('torch.')}"


def _first(items: Sequence[str], count: int = 3) -> str:
    return ", ".join(items[:count]) + (", …" if len(items) > count else "")
