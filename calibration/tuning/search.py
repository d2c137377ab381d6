"""Settings searched by Optuna, and a figure for what they gain where they were not searched.

    pieces of the sequences ─┬─ all but the first ─ search ─ tried on the first ─┐
                             ├─ all but the second ─ search ─ tried on the second ├─ cross-validated: what to expect
                             ├─ …                                                ─┘
                             └─ all ─ search ─ the settings to use

Whoever searches among thousands of settings finds some that fit a sequence by chance. The cross-validated score is of
pieces that had no say in what they were tracked with.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from reidkit.calibration.tuning.recording import Take
from reidkit.runtime.errors import InvalidInput, MissingDependency
from reidkit.runtime.tracking import BotSortConfig


@dataclass(frozen=True, slots=True)
class Range:
    """Values of a setting to search, and whether it says something about appearance alone."""

    low: float
    high: float
    appearance: bool = False


SEARCHED: dict[str, Range] = {
    "high_score": Range(0.3, 0.8),
    "new_track_score": Range(0.3, 0.9),
    "match_cost": Range(0.5, 0.95),
    "second_match_cost": Range(0.3, 0.8),
    "max_lost_s": Range(0.5, 5.0),
    "min_iou_for_appearance": Range(0.0, 0.6, appearance=True),
    "min_cosine": Range(0.2, 0.95, appearance=True),
    "ema_weight": Range(0.7, 0.97, appearance=True),
    "long_term_min_cosine": Range(0.3, 0.95, appearance=True),
}
"""What is searched, by the name it has in a settings file. The long-term stage only where the given settings use it."""

Settings = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Scores in percent, means over the pieces.

    Attributes:
        given: with the settings to begin with.
        found: with the settings found, on what they were searched on.
        expected: cross-validated: with settings that the piece had no part in.
        complete: False where a search was broken off: what is to be expected is not known then.
    """

    given: float
    found: float
    expected: float
    complete: bool

    @property
    def holds(self) -> bool:
        """Whether the gain is one, also where it was not searched for."""
        return self.complete and self.expected > self.given and self.found > self.given


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What a search found.

    Attributes:
        config: the given settings with those found.
        settings: those found, by the name they have in a file.
        verdict: what they gain.
        metric: of the verdict.
        pieces: what was held out in turn, each with its score by `given`, `found` and `expected` settings.
        trials: how many settings were tried in all.
    """

    config: BotSortConfig
    settings: Settings
    verdict: Verdict
    metric: str
    pieces: list[dict[str, Any]]
    trials: int


def tune(
    pieces: Sequence[Take],
    given: BotSortConfig,
    *,
    metric: str = "HOTA",
    trials: int = 60,
    seed: int = 0,
    max_seconds: float | None = None,
    on_trial: Callable[[int, float], None] = lambda number, best: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Tuning:
    """Search settings on pieces of sequences.

    Args:
        pieces: two at least; each is held out once.
        given: the settings to begin with; also the first trial of each search, so that none ends below them.
        metric: of `Take.scores`, more is better.
        trials: of each search.
        seed: of the searches.
        max_seconds: after which no more is tried; each search gets its share. None for no limit.
        on_trial: told after each trial: how many there were in all, and the best score of the present search.
        should_stop: asked between trials; an answer of True breaks all searches off.

    Raises:
        InvalidInput: there are fewer than two pieces.
        MissingDependency: Optuna is not installed.
    """
    if len(pieces) < 2:
        raise InvalidInput("one piece of a sequence cannot be held out", remedy="give more sequences, or more folds")
    count = 0

    def done(best: float) -> None:
        nonlocal count
        count += 1
        on_trial(count, best)

    searches = len(pieces) + 1
    started = monotonic()

    def search(among: Sequence[Take], number: int) -> Settings:
        ends = None if max_seconds is None else started + max_seconds * (number + 1) / searches
        stop = should_stop if ends is None else (lambda: should_stop() or monotonic() > ends)
        return _search(among, given, metric, trials, seed, done, stop)

    before = [piece.scores(given)[metric] for piece in pieces]
    held_out = []
    for number, piece in enumerate(pieces):
        others = [other for other in pieces if other is not piece]
        held_out.append(piece.scores(apply(given, search(others, number)))[metric])
    settings = search(pieces, len(pieces))
    config = apply(given, settings)
    after = [piece.scores(config)[metric] for piece in pieces]
    return Tuning(
        config=config,
        settings=settings,
        verdict=Verdict(given=_mean(before), found=_mean(after), expected=_mean(held_out), complete=not should_stop()),
        metric=metric,
        pieces=[
            {"name": piece.name, "frames": piece.frames, "given": was, "found": now, "expected": held}
            for piece, was, now, held in zip(pieces, before, after, held_out, strict=True)
        ],
        trials=count,
    )


def apply(given: BotSortConfig, settings: Settings) -> BotSortConfig:
    """`given` with these settings, and with a `low_score` that is not above `high_score`."""
    fields = dict(settings)
    if (seconds := fields.pop("max_lost_s", None)) is not None:
        fields["max_lost_frames"] = round(seconds * given.frame_rate)
    fields["low_score"] = min(given.low_score, fields.get("high_score", given.high_score))
    return dataclasses.replace(given, **fields)  # type: ignore[arg-type]


def searched_in(given: BotSortConfig) -> dict[str, Range]:
    """What is searched beginning with these settings: of what they use."""
    ranges = {name: span for name, span in SEARCHED.items() if given.with_reid or not span.appearance}
    if given.long_term_min_cosine is None:
        ranges.pop("long_term_min_cosine", None)
    return ranges


def _search(
    pieces: Sequence[Take],
    given: BotSortConfig,
    metric: str,
    trials: int,
    seed: int,
    on_trial: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Settings:
    """The settings with the best mean score on `pieces`; those of `given` where nothing is better."""
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise MissingDependency("optuna", extra="tune", purpose="Searching settings") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ranges = searched_in(given)
    distributions: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.FloatDistribution(span.low, span.high) for name, span in ranges.items()
    }
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    best: Settings = {}
    best_score = _mean([piece.scores(given)[metric] for piece in pieces])
    for _ in range(trials):
        if should_stop():
            break
        trial = study.ask(distributions)
        settings = {name: round(value, 3) for name, value in trial.params.items()}
        score = _mean([piece.scores(apply(given, settings))[metric] for piece in pieces])
        study.tell(trial, score)
        if score > best_score:
            best, best_score = settings, score
        on_trial(best_score)
    return best


def _mean(scores: Sequence[float]) -> float:
    return sum(scores) / len(scores)
