"""The generated sequences are worth their while: each rule of the specification, if broken, shows in them.

A fault is a line of the reference replaced by a wrong one: the wrong tracker must give other rows than the right one in
one of the sequences. Another order of arithmetic must give the same rows, or they could not judge a fast one.
"""

from __future__ import annotations

import functools
import inspect
import sys
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from reference import assignment_reference, botsort_reference
from reference.botsort_reference import Row
from reference.sequences import SCENES, Sequence, generate

SEEDS = range(300)


@dataclass(frozen=True)
class Fault:
    """`right`, a piece of the reference that stands in it once, is replaced by `wrong`."""

    what: str
    right: str
    wrong: str


FAULTS = (
    Fault("a score equal to the high threshold is not high", "d.score >= p.track_high", "d.score > p.track_high"),
    Fault("a score equal to the low threshold is low", "p.track_low < d.score", "p.track_low <= d.score"),
    Fault(
        "a score equal to the birth threshold is too low",
        "detection.score >= p.new_track",
        "detection.score > p.new_track",
    ),
    Fault("unconfirmed tracks are predicted", "        for track in pool:", "        for track in self.tracks:"),
    Fault("unconfirmed tracks are not moved with the camera", "pool + unconfirmed:", "pool:"),
    Fault(
        "lost tracks are not moved with the camera",
        "pool + unconfirmed:",
        "[t for t in self.tracks if t.state is State.TRACKED]:",
    ),
    Fault("speeds do not turn", "whole[4:6, 4:6] = linear", "whole[4:6, 4:6] = np.eye(2)"),
    Fault("sizes do not zoom", "whole[2:4, 2:4] = scale * np.eye(2)", "whole[2:4, 2:4] = np.eye(2)"),
    Fault("sizes turn", "whole[2:4, 2:4] = scale * np.eye(2)", "whole[2:4, 2:4] = linear"),
    Fault("growth does not zoom", "whole[6:8, 6:8] = scale * np.eye(2)", "whole[6:8, 6:8] = np.eye(2)"),
    Fault("the covariance does not move", "self.covariance = whole @ self.covariance @ whole.T", "pass"),
    Fault("the camera does not pan", "self.mean[0:2] += translation", "pass"),
    Fault("lost tracks go on growing", "            self.mean[6:8] = 0", "            pass"),
    Fault("lost tracks stop", "self.mean[6:8] = 0", "self.mean[4:8] = 0"),
    Fault(
        "tracked tracks do not grow",
        "        if self.state is not State.TRACKED:\n            self.mean[6:8] = 0",
        "        self.mean[6:8] = 0",
    ),
    Fault(
        "drift is that of the size after prediction",
        "        w, h = self.mean[2:4]\n",
        "        w, h = (TRANSITION @ self.mean)[2:4]\n",
    ),
    Fault("drift of the velocity is twice", "noise(VELOCITY_NOISE, w, h))", "noise(2 * VELOCITY_NOISE, w, h))"),
    Fault(
        "measurement noise is of the detection",
        "noise(POSITION_NOISE, self.mean[2], self.mean[3])",
        "noise(POSITION_NOISE, *detection.measurement[2:])",
    ),
    Fault("newborn velocity is too sure", "noise(10 * VELOCITY_NOISE", "noise(5 * VELOCITY_NOISE"),
    Fault("newborn place is too sure", "noise(2 * POSITION_NOISE", "noise(POSITION_NOISE"),
    Fault(
        "boxes count their last pixel",
        "    width = min(a[2], b[2]) - max(a[0], b[0])",
        "    width = min(a[2], b[2]) - max(a[0], b[0]) + 1",
    ),
    Fault("scores are never fused", "if parameters.fuse_score:", "if False:"),
    Fault("scores are always fused", "if parameters.fuse_score:", "if True:"),
    Fault(
        "scores are fused before the proximity gate",
        "detection, distance, parameters))",
        "detection, cost, parameters))",
    ),
    Fault("the second association fuses scores", "low, iou_cost, p.second", "low, fused_cost, p.second"),
    Fault(
        "the second association takes lost tracks",
        "        tracked = [t for t in pool if t.state is State.TRACKED]",
        "        tracked = pool",
    ),
    Fault("the second association has the first one's limit", "iou_cost, p.second", "iou_cost, p.match"),
    Fault("the unconfirmed have the first one's limit", "fused_cost, p.unconfirmed", "fused_cost, p.match"),
    Fault("the unconfirmed go by overlap alone", "high, fused_cost, p.unconfirmed", "high, iou_cost, p.unconfirmed"),
    Fault(
        "a proximity equal to the gate is too far",
        "distance > parameters.proximity",
        "distance >= parameters.proximity",
    ),
    Fault("no proximity gate", "distance > parameters.proximity", "False"),
    Fault("no appearance gate", "cosine < parameters.min_cosine", "False"),
    Fault(
        "appearance replaces overlap",
        "return min(cost, appearance_cost(track, detection, distance, parameters))",
        "return appearance_cost(track, detection, distance, parameters)",
    ),
    Fault("appearance is not used", "not parameters.with_reid", "True"),
    Fault("appearance is always halved", "parameters.appearance_cost_scale * (1 - cosine)", "(1 - cosine) / 2"),
    Fault(
        "embeddings are not averaged",
        "unit(alpha * self.embedding + (1 - alpha) * detection.embedding)",
        "detection.embedding",
    ),
    Fault(
        "the average is not of unit length",
        "unit(alpha * self.embedding + (1 - alpha) * detection.embedding)",
        "alpha * self.embedding + (1 - alpha) * detection.embedding",
    ),
    Fault(
        "the first embedding stays",
        "unit(alpha * self.embedding + (1 - alpha) * detection.embedding)",
        "self.embedding",
    ),
    Fault("low detections change the average", " and score >= self.parameters.track_high:", ":"),
    Fault(
        "who was born without an embedding never has one",
        "    self.embedding = detection.embedding\n            else",
        "    pass\n            else",
    ),
    Fault(
        "found again, a track forgets its average",
        "if self.embedding is None:\n",
        "if self.embedding is None or self.state is State.LOST:\n",
    ),
    Fault(
        "who is missed once by high is lost", "tracked, _ = self._associate(tracked, low, iou_cost, p.second)", "pass"
    ),
    Fault("the unconfirmed have a second chance", "        self._remove(unconfirmed)", "        pass"),
    Fault("births are confirmed at once", "confirmed=self.frame == 1", "confirmed=True"),
    Fault("births are never confirmed at once", "confirmed=self.frame == 1", "confirmed=False"),
    Fault("the first births are confirmed, whenever", "confirmed=self.frame == 1", "confirmed=self.next_id == 1"),
    Fault(
        "a lost track is kept a frame longer",
        "t.last_frame > p.max_lost_frames",
        "t.last_frame > p.max_lost_frames + 1",
    ),
    Fault(
        "a lost track is kept a frame shorter", "t.last_frame > p.max_lost_frames", "t.last_frame >= p.max_lost_frames"
    ),
    Fault(
        "who is lost in this frame may expire in it",
        "        lost_before = [t for t in pool if t.state is State.LOST]\n",
        "        lost_before = pool\n",
    ),
    Fault("duplicates stay", "        self._remove(duplicates)", "        pass"),
    Fault(
        "of duplicates the tracked one stays on a tie",
        "tracked_track.life_frames > lost",
        "tracked_track.life_frames >= lost",
    ),
    Fault(
        "of duplicates the tracked one stays",
        "tracked_stays = tracked_track.life_frames > lost_track.life_frames",
        "tracked_stays = True",
    ),
    Fault("life is counted to this frame", "return self.last_frame - self.start_frame", "return -self.start_frame"),
    Fault("duplicates are nearer", "< p.duplicate", "< p.duplicate / 2"),
    Fault(
        "unconfirmed tracks are reported",
        "            if t.confirmed and t.state is State.TRACKED",
        "            if t.state is State.TRACKED",
    ),
    Fault(
        "lost tracks are reported",
        "            if t.confirmed and t.state is State.TRACKED",
        "            if t.confirmed",
    ),
    Fault(
        "tracked tracks come before lost ones",
        "pool = [t for t in self.tracks if t.confirmed]",
        "pool = sorted((t for t in self.tracks if t.confirmed), key=lambda t: t.state is State.LOST)",
    ),
    Fault("of ties the last column is taken", "+ column * digit", "- column * digit"),
    Fault("of ties the last row is taken", "base ** (rows - 1 - row)", "base ** row"),
)

OTHER_ARITHMETIC = (
    ("float(track.embedding @ detection.embedding)", "float(sum((track.embedding * detection.embedding)[::-1]))"),
    ("math.sqrt(float(vector @ vector))", "float(np.linalg.norm(vector[::-1]))"),
    (
        "self.covariance @ OBSERVATION.T @ np.linalg.inv(innovation_covariance)",
        "np.linalg.solve(innovation_covariance, OBSERVATION @ self.covariance).T",
    ),
    (
        "self.covariance - gain @ innovation_covariance @ gain.T",
        "(np.eye(8) - gain @ OBSERVATION) @ self.covariance",
    ),
    ("1 - (1 - distance) * detection.score", "1 - detection.score + detection.score * distance"),
    ("cx + w / 2, cy + h / 2", "(cx - w / 2) + w, (cy - h / 2) + h"),
)


def altered(*replacements: tuple[str, str]) -> ModuleType:
    """The reference with parts of its text replaced, each of which must occur exactly once."""
    texts = [inspect.getsource(module) for module in (assignment_reference, botsort_reference)]
    for right, wrong in replacements:
        assert sum(text.count(right) for text in texts) == 1, f"not once in the reference: {right}"
        texts = [text.replace(right, wrong) for text in texts]
    modules = [ModuleType("altered_assignment"), ModuleType("altered_botsort")]
    texts[1] = texts[1].replace("reference.assignment_reference", "altered_assignment")
    for module, text in zip(modules, texts, strict=True):
        sys.modules[module.__name__] = module  # dataclasses look their module up
        exec(text, module.__dict__)  # noqa: S102
    return modules[1]


sequence = functools.cache(generate)


def rows(module: ModuleType, sequence: Sequence) -> list[list[Row]]:
    tracker = module.ReferenceBotSort(sequence.parameters)
    return [tracker.update(*frame) for frame in sequence.frames]


@functools.cache
def right_rows(seed: int) -> list[list[Row]]:
    return rows(botsort_reference, sequence(seed))


def alike(some: list[list[Row]], others: list[list[Row]]) -> bool:
    """Equal in every decision, and in boxes to a millionth of a pixel."""
    return decisions(some) == decisions(others) and np.allclose(boxes(some), boxes(others), rtol=0, atol=1e-6)


def decisions(frames: list[list[Row]]) -> list[list[Row]]:
    return [[row._replace(box_xyxy=(0, 0, 0, 0)) for row in frame] for frame in frames]


def boxes(frames: list[list[Row]]) -> NDArray[np.float64]:
    return np.array([row.box_xyxy for frame in frames for row in frame])


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_a_fault_shows(fault: Fault) -> None:
    wrong = altered((fault.right, fault.wrong))
    assert any(not alike(rows(wrong, sequence(seed)), right_rows(seed)) for seed in SEEDS)


def test_another_order_of_arithmetic_does_not_show() -> None:
    other = altered(*OTHER_ARITHMETIC)
    assert [seed for seed in SEEDS[::3] if not alike(rows(other, sequence(seed)), right_rows(seed))] == []


def test_a_seed_gives_one_sequence() -> None:
    one, again = generate(5), generate(5)
    assert (one.parameters, one.traits, len(one.frames)) == (again.parameters, again.traits, len(again.frames))
    for frame, other in zip(one.frames, again.frames, strict=True):
        for part, other_part in zip(frame, other, strict=True):
            np.testing.assert_array_equal(part, other_part)


def test_frames_are_valid_and_all_that_is_promised_occurs() -> None:
    traits: set[str] = set()
    people = set()
    for seed in SEEDS:
        traits |= sequence(seed).traits
        assert 20 <= len(sequence(seed).frames) <= 60
        for frame in sequence(seed).frames:
            people.add(len(frame.scores))
            assert frame.boxes_xyxy.shape == (len(frame.scores), 4)
            assert np.isfinite(frame.boxes_xyxy).all()
            assert (frame.boxes_xyxy[:, 2:] > frame.boxes_xyxy[:, :2]).all()
            assert ((frame.scores > 0) & (frame.scores <= 1)).all()
            assert frame.classes.shape == frame.scores.shape
            if frame.embeddings is not None:
                given = np.ones(len(frame.scores), bool) if frame.embedded is None else frame.embedded
                assert frame.embeddings.dtype == np.float32
                assert np.isfinite(frame.embeddings[given]).all()
                assert np.isnan(frame.embeddings[~given]).all()
    circumstances = {"late start", "empty frames", "nobody", "still", "pan", "zoom", "turn"}
    coverages = {f"{coverage} embeddings" for coverage in ("full", "masked", "partial", "none")}
    assert traits == {scene.__name__ for scene in SCENES} | circumstances | coverages
    assert (min(people), max(people)) == (0, 15)
