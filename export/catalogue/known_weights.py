"""The weights that are meant where a name is given and no file.

A model's name means its weights, here already: those that come with reidkit, or those that `reid-models --download`
fetched. A backbone's name means those that come with reidkit, and no others: which of several was downloaded last is no
reason to take it. Nothing is fetched.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reidkit.export.catalogue.models import catalogue
from reidkit.export.catalogue.weights_cache import WeightsCache, Wishes
from reidkit.export.weights import LICENCE, embedded_weights
from reidkit.runtime.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownWeights:
    """A checkpoint that nobody had to name, and what is said of it in a manifest."""

    path: Path
    source: Literal["embedded", "downloaded"]
    licence: str


def backbone_of(name: str) -> str:
    """The backbone that takes the weights of the model `name`; where there is no such model, `name` itself."""
    model = catalogue().named(name)
    return name if model is None else model.backbone


def model_name(name: str) -> str | None:
    """How the model is called that `name` means, which may end as its file does; None where there is no such model."""
    model = catalogue().named(name)
    return None if model is None else model.name


def known_weights(name: str) -> KnownWeights:
    """The weights that a model's or a backbone's name means, held to the digest that was locked.

    Raises:
        InvalidInput: they are not here; with the way to have them.
        InvalidFile: the downloaded file was altered, or is no weights file.
    """
    model = catalogue().named(name)
    if model is None or model.embedded:
        return _embedded(model.backbone if model else name)
    cache = WeightsCache()
    cache.require_weights(model)
    if not cache.path(model).exists():
        raise InvalidInput(
            f"the weights of {model.name} are not here",
            remedy=f"reid-models --download {model.name}, or give --weights FILE, or --random-weights to try a target "
            "out",
        )
    licence = f"unknown; the images they were trained on: {catalogue().terms(model)}"
    return KnownWeights(path=cache.obtain(model, Wishes()).path, source="downloaded", licence=licence)


def _embedded(backbone: str) -> KnownWeights:
    try:
        return KnownWeights(path=embedded_weights(backbone), source="embedded", licence=LICENCE)
    except InvalidInput as error:
        raise InvalidInput(error.message, remedy=f"{_elsewhere(backbone)}{error.remedy}") from error


def _elsewhere(backbone: str) -> str:
    """Where weights of a backbone are that do not come with reidkit, as the beginning of a remedy."""
    cache = WeightsCache()
    models = [each for each in catalogue().models.values() if backbone in (each.backbone, *each.also)]
    if here := [cache.path(model) for model in models if cache.path(model).exists()]:
        return f"downloaded are {', '.join(map(str, here))}; "
    return f"reid-models --download {backbone}, or " if any(model.has_weights for model in models) else ""
