"""The catalogue's entries: `catalogue.yaml`, typed, with names that people type resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import yaml

from reidkit.runtime.errors import InvalidInput, did_you_mean

WEIGHTS_SUFFIXES = (".pt", ".pth", ".safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """What its publisher measured: retrieval on one test set, in percent."""

    test_set: str
    rank_1: float
    mean_average_precision: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Tracker settings that were found with these very weights, in the terms of `BotSortConfig`."""

    min_iou_for_appearance: float
    min_cosine: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """The SHA-256 that others found the file to have."""

    digest: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A shared folder on the web from which nobody but a person can pick the file."""

    folder: str
    item: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Networks of one kind. `best_for` is a judgement, `code` the licence of the code that trained the weights."""

    name: str
    title: str
    best_for: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One set of weights, published or not, and the backbone that takes it.

    Attributes:
        name: what people type, with or without ``.pt``.
        family: key of its family.
        backbone: what ``reid-export --model`` takes.
        also: other backbones that take the same file.
        trained_on: keys of the training sets; empty where there are no weights.
        embedded: the weights come with reidkit.
        addresses: where the file is published; the first that answers is taken.
        folder: where a person has to fetch it.
        sha256, accuracy, thresholds: what is known of them, else None.
        note: why there are no weights.
    """

    name: str
    family: str
    backbone: str
    also: tuple[str, ...] = ()
    trained_on: tuple[str, ...] = ()
    embedded: bool = False
    addresses: tuple[str, ...] = ()
    folder: Folder | None = None
    sha256: Digest | None = None
    accuracy: Accuracy | None = None
    thresholds: Thresholds | None = None
    note: str = ""

    @property
    def file_name(self) -> str:
        """Name of the weights file, in the cache and on mirrors."""
        return f"{self.name}.pt"

    @property
    def has_weights(self) -> bool:
        """Whether anybody can have the weights."""
        return self.embedded or bool(self.addresses) or self.folder is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet:
    """Images that weights were trained on, and the terms their owners set."""

    title: str
    terms: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Thousand millions of multiplications a second that a target reached somewhere."""

    gmacs_per_s: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All entries; mappings by key, models in the order of the listing."""

    sources: Mapping[str, str]
    training_sets: Mapping[str, TrainingSet]
    reference_rates: Mapping[str, Rate]
    families: Mapping[str, Family]
    models: Mapping[str, Model]

    def named(self, name: str) -> Model | None:
        """The model of that name or file name; None where that is none's."""
        return self.models.get(_without_suffix(name))

    def find(self, name: str) -> Model:
        """The model of that name, of that file name, or the first one of that backbone, which it then has.

        Raises:
            InvalidInput: there is none; with the nearest name.
        """
        if (named := self.named(name)) is not None:
            return named
        plain = _without_suffix(name)
        for model in self.models.values():
            if plain in (model.backbone, *model.also):
                return replace(model, backbone=plain, also=())
        known = {backbone for model in self.models.values() for backbone in (model.backbone, *model.also)}
        raise InvalidInput(f"there is no model '{name}'", remedy=did_you_mean(plain, known | self.models.keys()))

    def terms(self, model: Model) -> str:
        """What the owners of its training images allow; empty where there are no weights."""
        return "; ".join(dict.fromkeys(self.training_sets[key].terms for key in model.trained_on))


def _without_suffix(name: str) -> str:
    for suffix in WEIGHTS_SUFFIXES:
        name = name.removesuffix(suffix)
    return name


@cache
def catalogue() -> Catalogue:
    """The catalogue that comes with reidkit."""
    text = (files("reidkit.export.catalogue") / "catalogue.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    families = {name: Family(name=name, **entry) for name, entry in content.pop("families").items()}
    models = {name: _model(name, families, **entry) for name, entry in content.pop("models").items()}
    return Catalogue(
        sources=MappingProxyType(content.pop("sources")),
        training_sets={name: TrainingSet(**entry) for name, entry in content.pop("training_sets").items()},
        reference_rates={name: Rate(**entry) for name, entry in content.pop("reference_rates").items()},
        families=MappingProxyType(families),
        models=MappingProxyType(models),
    )


def _model(
    name: str,
    families: Mapping[str, Family],
    *,
    backbone: str,
    weights: str | list[str] | dict[str, str],
    also: list[str] | None = None,
    trained_on: list[str] | None = None,
    sha256: dict[str, str] | None = None,
    accuracy: dict[str, Any] | None = None,
    thresholds: dict[str, Any] | None = None,
    note: str = "",
) -> Model:
    return Model(
        name=name,
        family=next(family for family in families if backbone.startswith(family)),
        backbone=backbone,
        also=tuple(also or ()),
        trained_on=tuple(trained_on or ()),
        embedded=weights == "embedded",
        addresses=tuple(weights) if isinstance(weights, list) else (),
        folder=Folder(**weights) if isinstance(weights, dict) else None,
        sha256=Digest(**sha256) if sha256 else None,
        accuracy=Accuracy(**accuracy) if accuracy else None,
        thresholds=Thresholds(**thresholds) if thresholds else None,
        note=note,
    )
