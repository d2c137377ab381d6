"""The crops to learn from: folders as they are, and of videos the people least like each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reidkit.calibration.crops import CropSet, cut_from_video, farthest_points, read_crop_set
from reidkit.export.distillation.labels import Labels, Stopped
from reidkit.export.distillation.teacher import Teacher
from reidkit.runtime.detectors import open_detector
from reidkit.runtime.errors import InvalidInput

FEWEST = 24
"""Crops below which there is nobody to compare with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CropSources:
    """Where crops come from.

    Attributes:
        folders: of images.
        videos: files, or MOTChallenge sequences.
        detections: files of boxes in MOTChallenge's layout, one a video in their order; empty: each ``det/det.txt``.
        detector: network file that finds people in the videos that have neither.
        diverse: how many crops to keep of all videos together.
        unreadable_share: share of a folder's images that may be unreadable.
    """

    folders: tuple[Path, ...] = ()
    videos: tuple[Path, ...] = ()
    detections: tuple[Path, ...] = ()
    detector: Path | None = None
    diverse: int = 800
    unreadable_share: float = 0.01


def collect(
    sources: CropSources,
    teacher: Teacher,
    *,
    size: tuple[int, int],
    cache: Path,
    should_stop: Callable[[], bool] = lambda: False,
) -> CropSet:
    """All crops of the sources, of one size.

    Args:
        sources: where from.
        teacher: whose eyes tell which crops of the videos differ.
        size: height and width.
        cache: folder of the teacher's answers.
        should_stop: asked between batches and frames.

    Raises:
        Stopped: it was told to.
        InvalidFile: a source is missing, empty or too much of it unreadable.
        InvalidInput: there are too few crops.
        EngineFailure: the teacher gives no usable embedding.
    """
    height, width = size
    parts = [
        read_crop_set(folder, height=height, width=width, unreadable_share=sources.unreadable_share)
        for folder in sources.folders
    ]
    if sources.videos:
        files = sources.detections or (None,) * len(sources.videos)
        detector = open_detector(sources.detector) if sources.detector else None
        try:
            cut = CropSet.join(
                [
                    cut_from_video(
                        video, height=height, width=width, detector=detector, detections=boxes, should_stop=should_stop
                    )
                    for video, boxes in zip(sources.videos, files, strict=True)
                ]
            )
        finally:
            if detector is not None:
                detector.close()
        if should_stop():
            raise Stopped
        labels = Labels.of(teacher, cut, seed=0, folder=cache, should_stop=should_stop)
        parts.append(cut.pick(np.sort(farthest_points(labels.of_view(0).numpy(), sources.diverse))))
    if sum(map(len, parts)) < FEWEST:
        raise InvalidInput(
            f"{sum(map(len, parts))} crops are too few to learn from",
            remedy=f"give at least {FEWEST}, better thousands",
        )
    return CropSet.join(parts)
