"""Which weights file belongs to which part of an ensemble: as they were given, unless their keys say otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

from reidkit.export.backbones import ModelCard
from reidkit.export.catalogue.known_weights import KnownWeights, known_weights
from reidkit.export.checkpoints import Checkpoint, load_backbone
from reidkit.export.originals import LoadedBackbone, trained_backbone, untrained_backbone
from reidkit.runtime.errors import InvalidCheckpoint, InvalidInput


def load_parts(
    cards: Sequence[ModelCard], files: Sequence[Path], *, names: Sequence[str] = (), random: bool = False
) -> list[LoadedBackbone]:
    """The parts with their weights.

    Args:
        cards: the parts; none to tell them from the files.
        files: a checkpoint for each, in this order; or for each of those alone whose weights are not here already.
        names: what the parts were asked for as, by default the names of their cards; see `known_weights`.
        random: no files, but random weights, different ones for a part that is there twice.

    Raises:
        InvalidCheckpoint: a file does not hold the weights of its part; with the order in which they would fit.
        InvalidInput: too few or too many files, or two parts are the same in everything.
    """
    if random:
        return [untrained_backbone(card, seed=seed) for seed, card in enumerate(cards)]
    if not cards:
        return _distinct([trained_backbone(None, path) for path in files])
    meant = _meant(cards, files, names or [card.name for card in cards])
    try:
        return _distinct([trained_backbone(card, weights) for card, weights in zip(cards, meant, strict=True)])
    except InvalidCheckpoint as error:
        if order := _fitting_order(cards, files):
            options = " ".join(f"--weights {path}" for path in order)
            raise InvalidCheckpoint(
                error.message, remedy=f"files are given in the order of the parts, {_names(cards)}: {options}"
            ) from error
        raise


def _meant(cards: Sequence[ModelCard], files: Sequence[Path], names: Sequence[str]) -> Sequence[Path | KnownWeights]:
    """The weights of each part."""
    if len(files) == len(cards):
        return files
    known = [_known(name) for name in names]
    lacking = [card for card, weights in zip(cards, known, strict=True) if weights is None]
    if len(files) == len(lacking):
        given = iter(files)
        return [weights or next(given) for weights in known]
    if not files:
        return [known_weights(name) for name in names]  # which says of the first that lacks them where to get some
    alone = f", or once for {_names(lacking)} alone" if 0 < len(lacking) < len(cards) else ""
    raise InvalidInput(
        f"{len(files)} weights {'file' if len(files) == 1 else 'files'} for {len(cards)} parts",
        remedy=f"give --weights once for each of {_names(cards)}, in this order{alone}; or --random-weights, to try",
    )


def _known(name: str) -> KnownWeights | None:
    try:
        return known_weights(name)
    except InvalidInput:
        return None


def _fitting_order(cards: Sequence[ModelCard], files: Sequence[Path]) -> tuple[Path, ...] | None:
    """An order of the files in which each part can take its own, None where there is none."""
    if len(files) != len(cards):
        return None
    checkpoints = [Checkpoint.read(path) for path in files]
    fits = [[_fits(card, checkpoint) for checkpoint in checkpoints] for card in cards]
    for order in permutations(range(len(files))):
        if all(fits[part][file] for part, file in enumerate(order)):
            return tuple(files[file] for file in order)
    return None


def _fits(card: ModelCard, checkpoint: Checkpoint) -> bool:
    try:
        load_backbone(card, checkpoint)
    except InvalidCheckpoint:
        return False
    return True


def _distinct(parts: list[LoadedBackbone]) -> list[LoadedBackbone]:
    seen: dict[tuple[str, str | None], int] = {}
    for number, part in enumerate(parts, 1):
        first = seen.setdefault((part.card.name, part.weights.sha256), number)
        if first != number:
            raise InvalidInput(
                f"parts {first} and {number} are both {part.card.name} with the weights of {part.weights.file}",
                remedy="give other weights to one of them, or leave it out and give --ensemble-weights",
            )
    return parts


def _names(cards: Sequence[ModelCard]) -> str:
    return ", ".join(card.name for card in cards)
