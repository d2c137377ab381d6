"""Which model to take: the most accurate one that is cheap enough, and by which figures that was judged.

*Accurate* is mAP on MSMT17, the test set that most publishers report; a model without that figure, or without public
weights, is not recommended. *Cheap* is milliseconds measured on this very box where a bench was recorded, else
multiplications.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from reidkit.export.catalogue.measurements import Measurements
from reidkit.export.catalogue.models import Catalogue, Model
from reidkit.runtime.errors import InvalidInput, did_you_mean
from reidkit.runtime.latencies import Latency

YARDSTICK = "msmt17"

USES: Mapping[str, tuple[float, str]] = {
    "balanced": (1.0, "a laptop, a small server, a Jetson"),
    "speed": (0.3, "more than twenty frames a second on a processor"),
    "accuracy": (math.inf, "recordings, or a fast GPU"),
    "mobile": (0.5, "a phone"),
    "edge": (0.1, "a Raspberry Pi and its like"),
}
"""By use, the most thousand million multiplications that a crop may cost, and what we have in mind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model with what the choice goes by.

    Attributes:
        gmacs: thousand millions of multiplications for one crop.
        mean_average_precision: on the yardstick, in percent.
        source: key of the source of that figure.
        frame_ms: for all crops of a frame; None where only multiplications are known.
        basis: where `frame_ms` is from: ``"measured"`` on this box, ``"scaled"`` from another model measured on this
            box, ``"reference"`` from another box; ``"macs"`` where it is None.
        measured_on: the artifact that was measured, and how.
    """

    model: Model
    gmacs: float
    mean_average_precision: float
    source: str
    frame_ms: float | None = None
    basis: str = "macs"
    measured_on: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """The choice, the next best within the same limit, and the limit in words."""

    choice: Candidate
    others: tuple[Candidate, ...]
    limit: str
    basis: str


def recommend_for(use: str, catalogue: Catalogue, measured: Measurements) -> Recommendation:
    """The model for a use. Raises `InvalidInput` if that is none of `USES`."""
    if use not in USES:
        raise InvalidInput(f"there is no recommendation for '{use}'", remedy=did_you_mean(use, USES))
    most_gmacs, meant = USES[use]
    fitting = [each for each in _candidates(catalogue, measured) if each.gmacs <= most_gmacs]
    limit = f"at most {most_gmacs:g} GMACs a crop" if math.isfinite(most_gmacs) else "whatever it costs"
    return _best(fitting, limit=f"{limit}: {meant}", basis="MACs; no time was asked for")


def recommend_within(
    budget_ms: float,
    people: int,
    target: str,
    *,
    catalogue: Catalogue,
    measured: Measurements,
    latencies: Iterable[Latency],
) -> Recommendation:
    """The model that embeds everybody in a frame within a time.

    Args:
        budget_ms: for all crops of a frame.
        people: crops in a frame.
        target: what the artifact would be built for.
        catalogue: models to choose from.
        measured: their multiplications.
        latencies: records of this box; without one of this target, other boxes' speed is taken.

    Raises:
        InvalidInput: no model is fast enough, or nothing is known of the target's speed.
    """
    records = [record for record in latencies if record.target == target]
    timed = [_timed(each, people, target, catalogue, measured, records) for each in _candidates(catalogue, measured)]
    limit = f"{people} crops a frame in {budget_ms:g} ms with {target}"
    fitting = [each for each in timed if each.frame_ms is not None and each.frame_ms <= budget_ms]
    if not fitting:
        fastest = min(timed, key=lambda each: each.frame_ms or math.inf)
        raise InvalidInput(
            f"no model of the catalogue embeds {limit}: the fastest, {fastest.model.name}, takes "
            f"{fastest.frame_ms:.0f} ms ({_BASES[fastest.basis]})",
            remedy="embed fewer people a frame, or take a faster target or box",
        )
    best = _best(fitting, limit=limit, basis="")
    return Recommendation(
        choice=best.choice, others=best.others, limit=limit, basis=_basis(best.choice, target, catalogue)
    )


_BASES = {
    "measured": "measured on this box",
    "scaled": "reckoned from MACs, at the rate of what was measured on this box",
    "reference": "reckoned from MACs, at the rate of another box",
}


def _basis(choice: Candidate, target: str, catalogue: Catalogue) -> str:
    said = f"time, {_BASES[choice.basis]}"
    if choice.basis == "reference":
        rate = catalogue.reference_rates[target]
        return f"{said}: {rate.gmacs_per_s:g} GMACs a second ({catalogue.sources[rate.source]}); not timed here"
    return f"{said}: {choice.measured_on}"


def _candidates(catalogue: Catalogue, measured: Measurements) -> list[Candidate]:
    """Models that anybody can have and that have a figure on the yardstick."""
    return [
        Candidate(
            model=model,
            gmacs=measured.backbones[model.backbone].macs / 1e9,
            mean_average_precision=model.accuracy.mean_average_precision,
            source=model.accuracy.source,
        )
        for model in catalogue.models.values()
        if model.has_weights and model.accuracy is not None and model.accuracy.test_set == YARDSTICK
    ]


def _timed(
    candidate: Candidate,
    people: int,
    target: str,
    catalogue: Catalogue,
    measured: Measurements,
    records: list[Latency],
) -> Candidate:
    """The candidate with the time it takes for a frame."""
    if own := [record for record in records if record.backbone == candidate.model.backbone]:
        record = min(own, key=lambda each: _frame_ms(each, people))
        frame_ms, basis = _frame_ms(record, people), "measured"
    elif known := [record for record in records if record.backbone in measured.backbones]:
        # The slowest rate of what was measured: a promise that is kept rather than a hope.
        record = min(known, key=lambda each: _gmacs_per_ms(each, people, measured))
        frame_ms, basis = people * candidate.gmacs / _gmacs_per_ms(record, people, measured), "scaled"
    elif target in catalogue.reference_rates:
        rate = catalogue.reference_rates[target].gmacs_per_s
        return replace(candidate, frame_ms=people * candidate.gmacs / rate * 1e3, basis="reference")
    else:
        raise InvalidInput(
            f"nothing was measured for {target} on this box, and no other box's speed is known",
            remedy="export any model for it and run reidkit bench ARTIFACT first",
        )
    threads = "" if record.threads is None else f", {record.threads} threads"
    how = f"{record.artifact}, batches of {record.batch} in {record.latency_ms:g} ms{threads}"
    return replace(candidate, frame_ms=frame_ms, basis=basis, measured_on=how)


def _frame_ms(record: Latency, people: int) -> float:
    return math.ceil(people / record.batch) * record.latency_ms


def _gmacs_per_ms(record: Latency, people: int, measured: Measurements) -> float:
    return people * measured.backbones[record.backbone].macs / 1e9 / _frame_ms(record, people)


def _best(fitting: list[Candidate], *, limit: str, basis: str) -> Recommendation:
    ranked = sorted(fitting, key=lambda each: (-each.mean_average_precision, each.gmacs))
    return Recommendation(choice=ranked[0], others=tuple(ranked[1:3]), limit=limit, basis=basis)
