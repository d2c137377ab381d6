"""The fast tracker takes every decision that the slow one, written from the specification alone, takes.

In the long form (make proof-tracker): 2,400 generated sequences, and the real ones from end to end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from proofs import trials
from real_sequences import EVERYTHING_GIVEN, NAMES, Given, real_frames
from reference.botsort_reference import Parameters, ReferenceBotSort
from reference.sequences import Frame, generate

from reidkit.runtime import BotSort, BotSortConfig

SEQUENCES = trials(600, 2400)
FRAMES = trials(12, 10_000)


def config_of(parameters: Parameters) -> BotSortConfig:
    return BotSortConfig(
        high_score=parameters.track_high,
        low_score=parameters.track_low,
        new_track_score=parameters.new_track,
        max_lost_frames=parameters.max_lost_frames,
        match_cost=parameters.match,
        second_match_cost=parameters.second,
        unconfirmed_match_cost=parameters.unconfirmed,
        min_iou_for_appearance=1 - parameters.proximity,
        min_cosine=parameters.min_cosine,
        appearance_cost_scale=parameters.appearance_cost_scale,
        ema_weight=parameters.alpha,
        duplicate_iou=1 - parameters.duplicate,
        fuse_score=parameters.fuse_score,
        with_reid=parameters.with_reid,
    )


def assert_equal_decisions(parameters: Parameters, frames: Iterable[Frame], what: str) -> None:
    fast, slow = BotSort(config_of(parameters)), ReferenceBotSort(parameters)
    for number, frame in enumerate(frames, start=1):
        tracks = fast.update(
            frame.boxes_xyxy,
            frame.scores,
            classes=frame.classes,
            embeddings=frame.embeddings,
            embedded=frame.embedded,
            camera_motion=frame.camera_motion,
        )
        rows = slow.update(*frame)
        where = f"{what}, frame {number}"
        assert tracks.ids.tolist() == [row.id for row in rows], where
        assert tracks.detection_index.tolist() == [row.detection_index for row in rows], where
        assert tracks.classes.tolist() == [row.class_id for row in rows], where
        assert tracks.confirmed.tolist() == [row.confirmed for row in rows], where
        assert tracks.scores.tolist() == [row.score for row in rows], where
        boxes = np.array([row.box_xyxy for row in rows]).reshape(-1, 4)
        np.testing.assert_allclose(tracks.boxes_xyxy, boxes, rtol=1e-9, atol=1e-7, err_msg=where)


@pytest.mark.parametrize("first_seed", range(0, SEQUENCES, 50))
def test_decisions_equal_the_reference(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + 50):
        sequence = generate(seed)
        assert_equal_decisions(sequence.parameters, sequence.frames, f"seed {seed}, {sorted(sequence.traits)}")


@pytest.mark.parametrize("given", EVERYTHING_GIVEN, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_decisions_equal_the_reference_on_real_sequences(shared_data: Path, name: str, given: Given) -> None:
    assert_equal_decisions(Parameters(), real_frames(shared_data, name, given, most=FRAMES), f"{name}, {given}")


def test_the_sequences_hold_what_they_are_for() -> None:
    seen: dict[str, int] = {}
    for seed in range(100):
        for trait in generate(seed).traits:
            seen[trait] = seen.get(trait, 0) + 1
    rare = {trait: count for trait, count in seen.items() if count < 2}
    assert len(seen) >= 10, seen
    assert not rare, rare


def test_default_settings_are_the_authors() -> None:
    assert config_of(Parameters()) == BotSortConfig(), asdict(BotSortConfig())
