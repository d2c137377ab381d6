"""`BotSortConfig`: every setting of the tracker, under a name that carries its unit and its direction."""

from __future__ import annotations

import builtins
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reidkit.runtime.errors import InvalidConfig
from reidkit.runtime.tracking.arguments import is_number
from reidkit.runtime.tracking.auto_thresholds import check_auto, resolved
from reidkit.runtime.tracking.classes import contradiction_in, read_class_scores
from reidkit.runtime.tracking.regions import Region, read_regions

if TYPE_CHECKING:
    from reidkit.runtime.artifact import Manifest

CAMERA_MOTIONS = ("none", "auto", "sparse_flow", "orb", "ecc", "file")


@dataclass(frozen=True, slots=True, kw_only=True)
class BotSortConfig:
    """Settings of `BotSort`; the defaults are those of the BoT-SORT authors' code at 30 frames/s.

    Scores are detection confidences in 0..1. A *match cost* is the largest cost at which a track and a detection may
    be matched, where the cost is ``1 - IoU`` (times the score, if fused) or the appearance cost, whichever is less.

    Attributes:
        high_score: detections from this score on take part in the first association and may carry embeddings.
        low_score: detections above this score and below `high_score` take part in the second association.
        new_track_score: unmatched detections from this score on start a track.
        match_cost: limit of the first association (tracked and lost tracks).
        second_match_cost: limit of the second association, by overlap alone.
        unconfirmed_match_cost: limit for tracks seen in one frame only.
        fuse_score: multiply the IoU by the detection's score before it becomes a cost.
        with_reid: use appearance. Without it no engine is needed and embeddings are not read.
        min_iou_for_appearance: appearance may only decide between boxes that overlap at least this much.
        min_cosine: appearance may only match from this cosine similarity on, -1..1.
        appearance_cost_scale: the appearance cost is this times ``1 - cosine``.
        unconfirmed_min_cosine: `min_cosine` for unconfirmed tracks; None: the same.
        unconfirmed_appearance_cost_scale: `appearance_cost_scale` for unconfirmed tracks; None: the same.
        ema_weight: weight of the old embedding in a track's moving average, 0..1.
        temperature: None, or the temperature of a two-way softmax that lowers the cosine of look-alikes.
        min_embedding_score: detections below it are neither cut nor embedded.
        normalize_embeddings: divide embeddings by their L2 norm; False promises that they have norm 1.
        economy_refresh_frames: embed a detection only where overlap leaves doubt whose it is, or where its track's last
            embedding is at least this many frames old; 0: always. A file may say `economy_refresh_s`, in seconds.
        economy_margin: overlap leaves no doubt where its IoU exceeds that of every rival by this.
        economy_max_crops: embed no more detections in a frame, the doubtful and the longest unseen first; None: any.
        economy_max_ms: the same as the time that they may take, one at the least. Sessions measure their engine by it;
            `BotSort.wanted` alone is told `at_most`.
        max_lost_frames: a track lost for more frames than this is forgotten; a file may say `max_lost_s`, in seconds.
        duplicate_iou: of a tracked and a lost track that overlap more than this, the younger is dropped.
        camera_motion: ``"none"``; ``"file"``; or, all needing OpenCV and the frames, ``"auto"`` (cheap while the camera
            stands, the most exact when it moves), ``"sparse_flow"`` (the authors'), ``"orb"``, ``"ecc"``.
        camera_motion_file: precomputed motion for ``"file"``: lines of ``frame h00 h01 h02 h10 h11 h12``. In a settings
            file a path counts from that file's folder, here from the current one; a saved tracker has it in full.
        camera_motion_pixels: for ``"auto"``: frames are halved until they have no more pixels than this.
        camera_motion_points: for ``"auto"``: landmarks looked for in a frame; with the pixels, what it may cost.
        long_term_min_cosine: None, or the cosine from which a lost person is recognised by appearance alone.
        long_term_margin: by how much the best cosine must exceed the second best, in its row and in its column.
        long_term_history: past embeddings that a track keeps for this.
        long_term_min_embeddings: whoever was embedded less often is not known well enough to be recognised.
        long_term_max_speed: how fast a lost person may have moved, in box heights per second.
        long_term_lost_frames: a person lost for longer than `max_lost_frames` is still recognised until then, by
            appearance alone; a file may say `long_term_lost_s`, in seconds.
        long_term_reentry: whether who was lost at the border of the picture may be recognised. False: they have left,
            and whoever comes in is new; `BotSort.update` then needs the frames.
        class_scores: None, or by class number the values of its own of `high_score`, `low_score`, `new_track_score`
            and `min_embedding_score`.
        other_class_penalty: taken off the IoU of a track and a detection of another class; 1: they are never matched.
            Above 0 nobody lost is recognised by appearance alone in another class.
        class_vote: a track keeps the class that most of its detections had, by score; False: the last one's.
        ignored_regions: polygons; detections whose feet are in one are left out. Corners ``(x, y)`` that all lie within
            0 and 1 are shares of the picture, and `BotSort.update` then needs the frames; else they are pixels.
        frame_rate: frames per second that times are reckoned with.
        core: what associates: ``"numpy"``, or ``"native"``, the same to the bit in C++. See `NativeCore`.
        clock: what passes between two updates: ``"frames"``, one frame, as in the authors' code; or ``"timestamps"``,
            as many as their timestamps say (dropped frames, a rate that changes), in ages and predictions.
        reid_model: artifact or backbone the file names, a folder counted from the current one; None: none.
        embedding_dim: width that the artifact must have; None: any.
        auto: cosines that the artifact is asked for, see `resolved`; a file says ``min_cosine: auto``.
    """

    high_score: float = 0.6
    low_score: float = 0.1
    new_track_score: float = 0.7
    match_cost: float = 0.8
    second_match_cost: float = 0.5
    unconfirmed_match_cost: float = 0.7
    fuse_score: bool = True
    with_reid: bool = True
    min_iou_for_appearance: float = 0.5
    min_cosine: float = 0.5
    appearance_cost_scale: float = 0.5
    unconfirmed_min_cosine: float | None = None
    unconfirmed_appearance_cost_scale: float | None = None
    ema_weight: float = 0.9
    temperature: float | None = None
    min_embedding_score: float = 0.0
    normalize_embeddings: bool = True
    economy_refresh_frames: int = 0
    economy_margin: float = 0.5
    economy_max_crops: int | None = None
    economy_max_ms: float | None = None
    max_lost_frames: int = 30
    duplicate_iou: float = 0.85
    camera_motion: str = "none"
    camera_motion_file: str | None = None
    camera_motion_pixels: int = 600_000
    camera_motion_points: int = 2000
    long_term_min_cosine: float | None = None
    long_term_margin: float = 0.05
    long_term_history: int = 30
    long_term_min_embeddings: int = 1
    long_term_max_speed: float = 2.0
    long_term_lost_frames: int = 0
    long_term_reentry: bool = True
    class_scores: dict[int, dict[str, float]] | None = None
    other_class_penalty: float = 0.0
    class_vote: bool = False
    ignored_regions: tuple[Region, ...] = ()
    frame_rate: float = 30.0
    clock: str = "frames"
    core: str = "numpy"
    reid_model: str | None = None
    embedding_dim: int | None = None
    auto: tuple[str, ...] = ()

    @property
    def is_economical(self) -> bool:
        """Whether what is worth embedding depends on the tracks, not on the detections alone."""
        return (
            bool(self.economy_refresh_frames) or self.economy_max_crops is not None or self.economy_max_ms is not None
        )

    def resolved(self, manifest: Manifest) -> BotSortConfig:
        """These settings with the artifact's own recommendation for each of `auto`.

        Raises:
            InvalidConfig: it has none for one of them, or its embeddings are not `embedding_dim` wide.
        """
        return resolved(self, manifest)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ignored_regions", read_regions(self.ignored_regions))
        if self.class_scores is not None:
            object.__setattr__(self, "class_scores", read_class_scores(self.class_scores))
        object.__setattr__(self, "auto", check_auto(self.auto))
        for field in dataclasses.fields(self):
            self._check(field.name, str(field.type), getattr(self, field.name))
        if self.low_score > self.high_score:
            raise InvalidConfig(f"low_score {self.low_score:g} is above high_score {self.high_score:g}")
        if (contradiction := contradiction_in(self)) is not None:
            raise InvalidConfig(contradiction)
        if self.camera_motion not in CAMERA_MOTIONS:
            raise InvalidConfig(f"camera_motion is one of {', '.join(CAMERA_MOTIONS)}, not {self.camera_motion!r}")
        if self.clock not in ("frames", "timestamps"):
            raise InvalidConfig(f"clock is 'frames' or 'timestamps', not {self.clock!r}")
        if self.core not in ("numpy", "native"):
            raise InvalidConfig(f"core is 'numpy' or 'native', not {self.core!r}")
        if (self.camera_motion == "file") != (self.camera_motion_file is not None):
            raise InvalidConfig("camera_motion: file and camera_motion_file belong together: give both or neither")

    @staticmethod
    def load(path: str | Path, *, schema: str | None = None, frame_rate: float | None = None) -> BotSortConfig:
        """The configuration in a YAML file, or in the packaged preset of that name, such as ``tuned.yaml``.

        Args:
            path: the file; a name without a folder that is no file here is looked up among the presets.
            schema: what the keys mean: ``"reidkit"``, ``"mivolo"``, ``"official"``, ``"ultralytics"`` or ``"boxmot"``;
                None: the file's own `schema` key. Without one the keys are reidkit's own, unless there is one that only
                MiVOLO has: ``alpha``, ``nn_budget``, ``max_age``, ``min_confidence``, ``reid_thresh`` or ``model``.
            frame_rate: frames per second, which the buffers of some schemas are scaled by; None: the file's, else 30.

        Raises:
            InvalidConfig: unknown schema or key, value of the wrong type or out of range, keys that need a schema.
            InvalidFile: the file is missing, not YAML, or says something twice.
        """
        from reidkit.runtime.tracking.schemas import read_config

        return read_config(path, schema=schema, frame_rate=frame_rate)

    @staticmethod
    def from_schema(schema: str, mapping: Mapping[str, Any], *, frame_rate: float | None = None) -> BotSortConfig:
        """The configuration that `mapping` means under another tool's key names; see `load`."""
        from reidkit.runtime.tracking.schemas import convert

        return convert(schema, mapping, frame_rate=frame_rate)

    @staticmethod
    def _check(name: str, kind: str, value: object) -> None:
        if value is None and kind.endswith("| None"):
            return
        wanted = kind.removesuffix(" | None")
        fits = is_number(value) if wanted == "float" else type(value) is getattr(builtins, wanted.partition("[")[0])
        if not fits:
            raise InvalidConfig(f"{name} must be of type {wanted}, found {value!r}")
        if name in _RANGES and not _RANGES[name][0] <= value <= _RANGES[name][1]:  # type: ignore[operator]
            low, high = _RANGES[name]
            raise InvalidConfig(f"{name} must lie within {low:g} and {high:g}, found {value!r}")


_RANGES: dict[str, tuple[float, float]] = {
    "high_score": (0, 1),
    "low_score": (0, 1),
    "new_track_score": (0, 1),
    "match_cost": (0, 1),
    "second_match_cost": (0, 1),
    "unconfirmed_match_cost": (0, 1),
    "min_iou_for_appearance": (0, 1),
    "min_cosine": (-1, 1),
    "appearance_cost_scale": (0, 1),
    "unconfirmed_min_cosine": (-1, 1),
    "unconfirmed_appearance_cost_scale": (0, 1),
    "ema_weight": (0, 1),
    "temperature": (1e-3, 100),
    "min_embedding_score": (0, 1),
    "economy_refresh_frames": (0, 1_000_000),
    "economy_margin": (0, 1),
    "economy_max_crops": (0, 1_000_000),
    "economy_max_ms": (0, 1_000_000),
    "max_lost_frames": (0, 1_000_000),
    "duplicate_iou": (0, 1),
    "camera_motion_pixels": (10_000, 100_000_000),
    "camera_motion_points": (200, 100_000),
    "long_term_min_cosine": (-1, 1),
    "long_term_margin": (0, 2),
    "long_term_history": (1, 1000),
    "long_term_min_embeddings": (1, 1000),
    "long_term_max_speed": (0, 1000),
    "long_term_lost_frames": (0, 1_000_000),
    "other_class_penalty": (0, 1),
    "frame_rate": (0.01, 10_000),
    "embedding_dim": (1, 1_000_000),
}
