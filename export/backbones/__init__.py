"""The networks reidkit can export, one file a family, found by listing this folder.

A family's file defines its network in plain torch, with the key names of the published checkpoints as module names,
and `CARDS`, a tuple of `ModelCard`. Packages of other people join with an entry point that names such a tuple:

    [project.entry-points."reidkit.backbones"]
    their_family = "their_package.their_family:CARDS"

or, without a package, as a file that `use_backbones_of` runs; and ``timm:NAME`` is any network of timm.

Importing this package needs no torch; `backbones()` imports the families and therefore does.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from types import MappingProxyType

from reidkit.export.backbones._own import card_of_factory, cards_of_file
from reidkit.export.backbones._timm import PREFIX, timm_card
from reidkit.export.backbones.card import ModelCard
from reidkit.runtime.discovery import plugins
from reidkit.runtime.errors import InvalidConfig, InvalidInput, MissingDependency, did_you_mean

__all__ = ["ModelCard", "backbones", "card_of_factory", "find_backbone", "use_backbones_of"]

_from_files: dict[Path, tuple[ModelCard, ...]] = {}


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
    families = plugins(__name__, "CARDS", group="reidkit.backbones", besides={"card"}).values()
    for card in chain(*(family.load() for family in families), *_from_files.values()):
        if card.name in found:
            raise InvalidConfig(
                f"two backbones are called {card.name}, one of {found[card.name].family}, one of {card.family}",
                remedy="rename yours, or uninstall the package that brings the other",
            )
        found[card.name] = card
    return MappingProxyType(found)


def use_backbones_of(path: Path) -> None:
    """Let the backbones that a Python file assigns to ``CARDS`` be among `backbones` from now on. The file is run.

    Raises:
        MissingDependency: torch is not installed.
        InvalidFile: the file fails or has no such cards.
    """
    backbones()
    _from_files[path.resolve()] = cards_of_file(path)
    backbones.cache_clear()


def find_backbone(name: str, *, preprocessing: str | None = None) -> ModelCard:
    """The backbone of that name, which may be ``timm:NAME``.

    Args:
        name: as people type it.
        preprocessing: what a network of timm takes, by name or file; the others know it themselves.

    Raises:
        InvalidInput: there is none; the error has the nearest name there is.
        InvalidConfig: a preprocessing that is wrong or superfluous.
        MissingDependency: torch or timm is not installed.
    """
    known = backbones()
    if name.startswith(PREFIX):
        return timm_card(name.removeprefix(PREFIX), preprocessing=preprocessing)
    if name not in known:
        raise InvalidInput(f"there is no backbone '{name}'", remedy=did_you_mean(name, known))
    if preprocessing is not None:
        raise InvalidConfig(f"{name} knows its own preprocessing", remedy="leave --preprocessing out")
    return known[name]
