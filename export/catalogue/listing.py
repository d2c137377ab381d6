"""The catalogue as people read it, and as programs do: no number in it without its source."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator, Sequence
from string import ascii_lowercase
from typing import Any

from reidkit.export.catalogue.measurements import Measurement, Measurements
from reidkit.export.catalogue.models import Catalogue, Family, Model
from reidkit.export.catalogue.weights_cache import Status, WeightsCache
from reidkit.runtime.latencies import Latency

WIDTH = 100

_COLUMNS = (
    f"  {'':<26}{'width':>6}{'params':>8}{'GMACs':>7}{'ONNX':>8}{'input':>8}{'rank-1':>7}{'mAP':>6} on       status"
)


class Listing:
    """What `reid-models --list` shows.

    Args:
        catalogue: what there is.
        measured: what it costs.
        cache: what is here already.
        latencies: what was timed on this box.
    """

    def __init__(
        self, catalogue: Catalogue, measured: Measurements, cache: WeightsCache, latencies: Sequence[Latency] = ()
    ) -> None:
        self.catalogue, self.measured, self.cache, self.latencies = catalogue, measured, cache, latencies
        used = dict.fromkeys(model.accuracy.source for model in catalogue.models.values() if model.accuracy)
        self.letters = dict(zip(used, ascii_lowercase, strict=False))

    def text(self) -> str:
        """A table for each family, for a terminal of a hundred columns, and a legend."""
        parts = ["\n".join(self._family(family)) for family in self.catalogue.families.values()]
        return "\n\n".join([*parts, "\n".join(self._legend())])

    def to_dict(self) -> dict[str, Any]:
        """The same for programs; every number stands beside a `source`."""
        return {
            "sources": {**self.catalogue.sources, "measured": self.measured.source},
            "models": [self._entry(model) for model in self.catalogue.models.values()],
        }

    def _family(self, family: Family) -> Iterator[str]:
        yield f"{family.title}: for {family.best_for} (code: {family.code})"
        yield _COLUMNS
        for model in self.catalogue.models.values():
            if model.family == family.name:
                yield self._row(model)
                if model.also:
                    widths = ", ".join(f"{name} ({self._cost(name).embedding_dim})" for name in model.also)
                    yield from _wrapped(f"also as {widths}")
                for latency in self._latencies(model):
                    yield from _wrapped(
                        f"here: {latency.latency_ms / latency.batch:.2f} ms a crop ({latency.artifact}, batches of "
                        f"{latency.batch})"
                    )
                if model.note:
                    yield from _wrapped(model.note)

    def _row(self, model: Model) -> str:
        cost, accuracy, status = self._cost(model.backbone), model.accuracy, self.cache.status(model).value
        size = "" if cost.onnx_bytes is None else f"{_short(cost.onnx_bytes / 1e6)} MB"
        row = (
            f"  {model.name:<26}{cost.embedding_dim:>6}{_short(cost.parameters / 1e6):>6} M{_short(cost.macs / 1e9):>7}"
            f"{size:>8}{f'{cost.height}x{cost.width}':>8}"
        )
        if accuracy is None:
            return f"{row}{'':>23}{status}" if model.has_weights else f"{row}{status:>33}"
        mark = f"{self.catalogue.training_sets[accuracy.test_set].title[:6]} {self.letters[accuracy.source]}"
        return f"{row}{accuracy.rank_1!s:>7}{accuracy.mean_average_precision!s:>6} {mark} {status}"

    def _legend(self) -> Iterator[str]:
        yield "rank-1, mAP: in percent, as published"
        for source, letter in self.letters.items():
            yield f"  {letter}  {self.catalogue.sources[source]}"
        yield from _wrapped(
            "Figures on different test sets do not compare, nor those of models that learned from the test set's own "
            "cameras with those of models that did not.",
            indent="  ",
        )
        yield from _wrapped(f"width, params, GMACs (for one crop), ONNX (fp32): {self.measured.source}", indent="")
        yield "Terms of the images that weights were trained on, which are not the code's licence:"
        for key, training_set in self.catalogue.training_sets.items():
            names = [model.name for model in self.catalogue.models.values() if key in model.trained_on]
            yield from _wrapped(f"{training_set.title}: {training_set.terms}. {_shortened(names)}", indent="  ")
        yield "Status:"
        for status in Status:
            yield f"  {status.value:<17} {_MEANINGS[status]}"
        yield f"Downloads go to {self.cache.folder}."
        yield "A backbone's name means the first model here that has it."

    def _entry(self, model: Model) -> dict[str, Any]:
        status, here = self.cache.status(model), self.cache.path(model)
        entry: dict[str, Any] = {
            "name": model.name,
            "family": model.family,
            "backbone": model.backbone,
            "also": list(model.also),
            "status": status.value,
            "weights": str(here) if status in (Status.EMBEDDED, Status.DOWNLOADED) else None,
            "addresses": list(model.addresses),
            "trained_on": list(model.trained_on),
            "terms": self.catalogue.terms(model),
            "note": model.note,
            "cost": self._measured(self._cost(model.backbone)),
            "timed": [
                {**dataclasses.asdict(each), "source": f"measured on this box, {each.measured}"}
                for each in self._latencies(model)
            ],
        }
        for name in ("accuracy", "thresholds", "sha256"):
            if (value := getattr(model, name)) is not None:
                entry[name] = dataclasses.asdict(value)
        return entry

    def _latencies(self, model: Model) -> list[Latency]:
        """The quickest way of each target to run the model's backbone here."""
        ours = [each for each in self.latencies if each.backbone == model.backbone]
        quickest = sorted(ours, key=lambda each: each.latency_ms / each.batch, reverse=True)
        return list({each.target: each for each in quickest}.values())

    def _cost(self, backbone: str) -> Measurement:
        return self.measured.backbones[backbone]

    def _measured(self, cost: Measurement) -> dict[str, Any]:
        fields = ("embedding_dim", "parameters", "macs", "onnx_bytes", "height", "width")
        return {**{field: getattr(cost, field) for field in fields}, "source": "measured"}


_MEANINGS = {
    Status.EMBEDDED: "comes with reidkit; reid-export takes it without --weights",
    Status.DOWNLOADED: "is in the cache",
    Status.PUBLISHED: "reid-models --download NAME fetches it",
    Status.BY_HAND: "published where only a person gets it; --download NAME says how",
    Status.NONE: "nobody published any that this network takes: bring your own with --weights",
}


def _wrapped(text: str, *, indent: str = "      ") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ")


def _short(value: float) -> str:
    """The value with three digits or so."""
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def _shortened(names: list[str], count: int = 4) -> str:
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")
