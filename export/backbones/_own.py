"""Backbones of the user's own, from code that is not installed as a plug-in: a file with `CARDS`, or a factory."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from reidkit.export.backbones.card import ModelCard
from reidkit.export.preprocessing import network_preprocessing
from reidkit.runtime.errors import InvalidConfig, InvalidFile, InvalidInput, ReidkitError


def cards_of_file(path: Path) -> tuple[ModelCard, ...]:
    """What a Python file assigns to ``CARDS``. The file is run.

    Raises:
        InvalidFile: it is no Python file, fails, or has no such cards.
    """
    spec = spec_from_file_location(f"reidkit_backbones_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise InvalidFile(f"{path} is no Python file", remedy="give the .py file that defines CARDS")
    module = module_from_spec(spec)
    with _their_code(str(path)):
        sys.modules[spec.name] = module  # as an import does: dataclasses look there
        spec.loader.exec_module(module)
    cards = getattr(module, "CARDS", None)
    if not isinstance(cards, tuple) or not cards or not all(isinstance(card, ModelCard) for card in cards):
        raise InvalidFile(f"{path} does not assign a tuple of ModelCard to CARDS")
    return cards


def card_of_factory(target: str, *, preprocessing: str | None) -> ModelCard:
    """The card of what a function returns.

    Args:
        target: ``package.module:function``, installed or in the current folder. The function, or class, takes no
            argument and returns an `nn.Module` that maps (N, 3, H, W) float32 to (N, D) float32, or a `ModelCard`.
        preprocessing: what a module's input holds, by name or file; a card knows it.

    Raises:
        InvalidInput: `target` names nothing callable, or what it returns is neither of the two.
        InvalidFile: its code fails.
        InvalidConfig: the preprocessing is missing, wrong or superfluous.
    """
    from torch import nn

    name, _, path = target.partition(":")
    if not name or not path:
        raise InvalidInput(f"'{target}' names no factory", remedy="package.module:function")
    with _their_code(target):
        if (here := os.getcwd()) not in sys.path:  # noqa: PTH109
            sys.path.insert(0, here)  # where `python -m` looks first, too
        factory = reduce(getattr, path.split("."), import_module(name))
        made = factory()  # type: ignore[operator]
    if isinstance(made, ModelCard):
        if preprocessing is not None:
            raise InvalidConfig(f"the card of {target} knows its preprocessing", remedy="leave --preprocessing out")
        return made
    if not isinstance(made, nn.Module):
        raise InvalidInput(
            f"{target} returns no network but {type(made).__name__}",
            remedy="it has to return an nn.Module or a ModelCard",
        )
    return ModelCard(
        name=target.replace(":", "."),
        family=name,
        build=factory,  # type: ignore[arg-type]
        preprocessing=network_preprocessing(preprocessing),
        source=target,
        terms="",
    )


@contextmanager
def _their_code(what: str) -> Iterator[None]:
    """Whatever the user's code raises, as one error that says where."""
    try:
        yield
    except ReidkitError:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        reason = str(error).strip().partition("\n")[0]
        raise InvalidFile(
            f"{what} fails with {type(error).__name__}: {reason} ({place.filename}, line {place.lineno})"
        ) from error
