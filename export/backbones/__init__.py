"""The networks reidkit can export, one file a family, found by listing this folder.

A family's file defines its network in plain torch, with the key names of the published checkpoints as module names,
and `CARDS`, a tuple of `ModelCard`. Packages of other people join with an entry point that names such a tuple:

    [project.entry-points."reidkit.backbones"]
    their_family = "their_package.their_family:CARDS"

Importing this package needs no torch; `backbones()` imports the families and therefore does.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from types import MappingProxyType

from reidkit.export.backbones.card import ModelCard
from reidkit.runtime.discovery import plugins
from reidkit.runtime.errors import InvalidConfig, InvalidInput, MissingDependency, did_you_mean

__all__ = ["ModelCard", "backbones", "find_backbone"]


@cache
def backbones() -> Mapping[str, ModelCard]:
    """Every backbone there is, by name.

    Raises:
        MissingDependency: torch is not installed.
        InvalidConfig: two cards have the same name.
    """
    if find_spec("torch") is None:
        raise MissingDependency("torch", extra="export", purpose="Building a backbone")
    found: dict[str, ModelCard] = {}
    for family in plugins(__name__, "CARDS", group="reidkit.backbones", besides={"card"}).values():
        for card in family.load():
            if card.name in found:
                raise InvalidConfig(
                    f"two backbones are called {card.name}, one of {found[card.name].family}, one of {card.family}",
                    remedy="uninstall one of the packages that bring them",
                )
            found[card.name] = card
    return MappingProxyType(found)


def find_backbone(name: str) -> ModelCard:
    """The backbone of that name. Raises `InvalidInput` with the nearest name there is."""
    if name not in backbones():
        raise InvalidInput(f"there is no backbone '{name}'", remedy=did_you_mean(name, backbones()))
    return backbones()[name]
