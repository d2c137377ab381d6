"""What a configuration does, in plain words and units: every gate that is in effect, and what to be warned of."""

from __future__ import annotations

from dataclasses import dataclass

from reidkit.runtime.artifact import Manifest
from reidkit.runtime.tracking.config import BotSortConfig
from reidkit.runtime.tracking.native_core import beyond_native
from reidkit.runtime.tracking.regions import is_in_shares

OPEN_COSINE = 0.4  # OSNet x0.25 finds two in three pairs of different people at least this much alike (Market-1501)
CLOSED_COSINE = 0.98  # crops of one person seldom are


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition: the stage it belongs to, what it decides, and the condition in words and units."""

    stage: str
    decides: str
    condition: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A configuration explained.

    Attributes:
        gates: every gate in effect, in the order in which a detection meets them.
        warnings: where ReID is in effect off, its gate in effect open, or it does not fit the artifact.
        notes: what is as it should be and still surprises.
    """

    gates: list[Gate]
    warnings: list[str]
    notes: list[str]


def explain(config: BotSortConfig, manifest: Manifest | None = None) -> Explanation:
    """What `config` does, with the artifact of `manifest` if there is one."""
    gates = [*_detection_gates(config), *_association_gates(config), *_life_gates(config), *_frame_facts(config)]
    for name, value in (manifest.thresholds or {} if manifest is not None else {}).items():
        gates.append(Gate("artifact", f"recommends {name}", f"{value:g}"))
    return Explanation(gates, _warnings(config, manifest), _notes(config))


def effective_min_cosine(config: BotSortConfig, *, confirmed: bool = True) -> float:
    """The cosine from which appearance may match: its own gate or the limit of the cost, whichever is stricter."""
    minimum, scale, limit = config.min_cosine, config.appearance_cost_scale, config.match_cost
    if not confirmed:
        limit = config.unconfirmed_match_cost
        minimum = minimum if config.unconfirmed_min_cosine is None else config.unconfirmed_min_cosine
        if config.unconfirmed_appearance_cost_scale is not None:
            scale = config.unconfirmed_appearance_cost_scale
    return max(minimum, 1 - limit / scale) if scale > 0 else minimum


def _detection_gates(config: BotSortConfig) -> list[Gate]:
    high, low = config.high_score, config.low_score
    gates = [
        Gate("detections", "high: associated first", f"score >= {high:g}"),
        Gate("detections", "low: associated second, by overlap alone", f"{low:g} < score < {high:g}"),
        Gate("detections", "ignored", f"score <= {low:g}"),
    ]
    if config.with_reid:
        embedded = max(high, config.min_embedding_score)
        gates.append(Gate("detections", "cut and embedded", f"score >= {embedded:g}{_economy(config)}"))
    for number, own in (config.class_scores or {}).items():
        conditions = ", ".join(f"{name} {score:g}" for name, score in own.items())
        gates.append(Gate("detections", f"class {number}: its own thresholds", conditions))
    for region in config.ignored_regions:
        unit = "shares of the picture" if is_in_shares(region) else "pixels"
        corners = " ".join(f"({x:g}, {y:g})" for x, y in region)
        gates.append(Gate("detections", "left out", f"feet within {corners}, {unit}"))
    return gates


def _economy(config: BotSortConfig) -> str:
    """What of those that may be embedded is."""
    condition = ""
    if config.economy_refresh_frames:
        condition = (
            f", if a rival's IoU is within {config.economy_margin:g} or the track's last embedding is "
            f"{config.economy_refresh_frames} frames old"
        )
    if config.economy_max_crops is not None:
        condition += f", {config.economy_max_crops} a frame at the most"
    if config.economy_max_ms is not None:
        condition += f", what takes {config.economy_max_ms:g} ms a frame at the most"
    return condition


def _association_gates(config: BotSortConfig) -> list[Gate]:
    gates = _overlap_and_appearance(config, "first (tracked and lost)", config.match_cost, confirmed=True)
    gates.append(Gate("second (tracked)", "matched with low", f"IoU > {1 - config.second_match_cost:g}"))
    gates += _overlap_and_appearance(config, "third (seen once)", config.unconfirmed_match_cost, confirmed=False)
    if config.with_reid and config.long_term_min_cosine is not None:
        condition = (
            f"cos >= {config.long_term_min_cosine:g}, by {config.long_term_margin:g} over the second best both ways, "
            f"within {config.long_term_max_speed:g} box heights per second"
        )
        if config.long_term_min_embeddings > 1:
            condition += f", embedded {config.long_term_min_embeddings} times or more"
        if config.long_term_lost_frames > config.max_lost_frames:
            condition += f", for {config.long_term_lost_frames / config.frame_rate:.3g} s"
        if not config.long_term_reentry:
            condition += ", unless lost at the border of the picture"
        if config.other_class_penalty:
            condition += ", in the same class"
        gates.append(Gate("long-term (lost)", "recognised by appearance alone", condition))
    if config.other_class_penalty:
        condition = "never" if config.other_class_penalty == 1 else f"IoU less {config.other_class_penalty:g}"
        gates.append(Gate("all", "matched with another class", condition))
    return gates


def _overlap_and_appearance(config: BotSortConfig, stage: str, limit: float, *, confirmed: bool) -> list[Gate]:
    overlap = "IoU x score" if config.fuse_score else "IoU"
    gates = [Gate(stage, "matched by overlap", f"{overlap} > {1 - limit:g}")]
    if config.with_reid:
        cosine = effective_min_cosine(config, confirmed=confirmed)
        condition = f"IoU >= {config.min_iou_for_appearance:g} and cos >= {cosine:g}"
        gates.append(Gate(stage, "matched by appearance", condition))
    return gates


def _life_gates(config: BotSortConfig) -> list[Gate]:
    frames = max(config.max_lost_frames, 1)
    born = max(config.new_track_score, config.high_score)
    lasting = f"{frames} frames, {frames / config.frame_rate:.3g} s at {config.frame_rate:g} frames/s"
    return [
        Gate("birth", "a new track", f"no match and score >= {born:g}"),
        Gate("loss", "kept while lost", lasting),
        Gate("duplicates", "the younger of a tracked and a lost track is dropped", f"IoU > {config.duplicate_iou:g}"),
    ]


def _frame_facts(config: BotSortConfig) -> list[Gate]:
    facts = [Gate("camera motion", "estimated", config.camera_motion), Gate("clock", "counts", config.clock)]
    if config.class_vote:
        facts.append(Gate("class", "a track's", "that of most of its detections, by score"))
    if config.with_reid:
        condition = f"{config.ema_weight:g} of the old, {1 - config.ema_weight:g} of the new"
        facts.append(Gate("appearance", "a track's moving average", condition))
        if config.temperature is not None:
            facts.append(Gate("appearance", "look-alikes lower each other", f"temperature {config.temperature:g}"))
    return facts


def _warnings(config: BotSortConfig, manifest: Manifest | None) -> list[str]:
    refused = beyond_native(config) if config.core == "native" else []
    return [
        *(f"{name}: the native core does not do that, tracking will be refused: use core: numpy" for name in refused),
        *_warnings_of_appearance(config, manifest),
    ]


def _warnings_of_appearance(config: BotSortConfig, manifest: Manifest | None) -> list[str]:
    if not config.with_reid:
        warnings = ["ReID is off: with_reid is false, nothing is embedded"]
        if config.long_term_min_cosine is not None:
            warnings.append("the long-term stage is off: it needs with_reid")
        return warnings
    warnings = [
        f"{name}: auto is for an artifact to say: name it by --artifact, here its default is shown"
        for name in config.auto
    ]
    cosine, iou = effective_min_cosine(config), config.min_iou_for_appearance
    if cosine >= CLOSED_COSINE:
        warnings.append(f"ReID is in effect off: cos >= {cosine:g} is hardly ever reached by one person's crops")
    if iou >= 0.95:
        warnings.append(f"ReID is in effect off: it may only match boxes that overlap by IoU >= {iou:g}")
    if config.min_embedding_score >= 0.95:
        warnings.append(f"ReID is in effect off: only scores >= {config.min_embedding_score:g} are embedded")
    gates = {
        "the ReID gate": cosine,
        "the ReID gate of tracks seen once": effective_min_cosine(config, confirmed=False),
    }
    if config.long_term_min_cosine is not None:
        gates["the long-term gate"] = config.long_term_min_cosine
    warnings += [
        f"{name} is in effect open: most pairs of different people reach cos {OPEN_COSINE:g}, it asks for {value:.3g}"
        for name, value in gates.items()
        if value <= OPEN_COSINE
    ]
    return warnings + ([] if manifest is None else _misfits(config, manifest))


def _misfits(config: BotSortConfig, manifest: Manifest) -> list[str]:
    """What the artifact says against the settings."""
    misfits = []
    if config.embedding_dim not in (None, manifest.embedding.dim):
        misfits.append(
            f"embedding_dim is {config.embedding_dim}, {manifest.name} gives {manifest.embedding.dim}: "
            "tracking will be refused"
        )
    if not config.normalize_embeddings and manifest.embedding.l2 != "graph":
        misfits.append(f"normalize_embeddings is false, but {manifest.name} does not normalise in its graph")
    for name, recommended in (manifest.thresholds or {}).items():
        used = getattr(config, name, None)
        if used is not None and abs(used - recommended) > 1e-6:
            misfits.append(f"{name} is {used:g}, {manifest.name} recommends {recommended:g}")
    return misfits


def _notes(config: BotSortConfig) -> list[str]:
    notes = []
    if config.with_reid and config.long_term_min_cosine is None:
        notes.append(
            f"appearance decides only between boxes that overlap by IoU >= {config.min_iou_for_appearance:g}: who "
            "comes back elsewhere gets a new id (long_term_min_cosine recognises them)"
        )
    if config.with_reid and config.min_embedding_score > config.high_score:
        notes.append(
            f"{config.high_score:g} <= score < {config.min_embedding_score:g}: such detections match by overlap alone"
        )
    if config.new_track_score < config.high_score:
        notes.append(f"new_track_score {config.new_track_score:g} acts as {config.high_score:g}: births are high ones")
    return notes
