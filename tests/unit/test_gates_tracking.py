"""The tracking gate: which decisions change with other embeddings, and what that does to the scores."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_videos import picture, write_video
from tiny_manifest import Tiny, tiny_manifest

from reidkit.calibration.gates import DEFAULT_LIMITS
from reidkit.calibration.gates.embedder import Embedder
from reidkit.calibration.gates.tracking import Recording, Replay, replay, tracking_gate
from reidkit.runtime.errors import InvalidConfig, InvalidFile, InvalidInput, NonFiniteEmbedding
from reidkit.runtime.video.mot_files import read_tracks

cv2 = pytest.importorskip("cv2", reason="frames are written by OpenCV: install the extra 'video'")
pytest.importorskip("av", reason="frames are read by PyAV: install the extra 'video'")

FRAMES, SWAP = 24, 12
COLORS_BGR = ((40, 40, 200), (200, 120, 30))
LEFT = (100, 108)  # of two boxes, 32 wide, that overlap by three fifths: appearance may decide between them


def boxes_at(index: int) -> list[tuple[int, tuple[int, int, int]]]:
    """Left edge and colour of the red and of the blue person: at `SWAP` they change places."""
    places = LEFT if index < SWAP else LEFT[::-1]
    return list(zip(places, COLORS_BGR, strict=True))


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    """A MOTChallenge folder with images, detections and ground truth."""
    folder = tmp_path / "sequence"
    for part in ("img1", "det", "gt"):
        (folder / part).mkdir(parents=True)
    (folder / "seqinfo.ini").write_text("[Sequence]\nname=swap\nimDir=img1\nframeRate=10\n")
    detections, truth = [], []
    for index in range(1, FRAMES + 1):
        image = np.full((120, 240, 3), 110, np.uint8)
        for person, (left, color) in enumerate(boxes_at(index), 1):
            # Each is to be seen in the outer half of their box, whoever stands in front.
            outer = slice(left, left + 8) if left == min(LEFT) else slice(left + 24, left + 32)
            image[20:100, outer] = color
            detections.append(f"{index},-1,{left},20,32,80,0.9,-1,-1,-1")
            truth.append(f"{index},{person},{left},20,32,80,1,-1,-1,-1")
        cv2.imwrite(str(folder / "img1" / f"{index:06d}.png"), image)
    (folder / "det" / "det.txt").write_text("\n".join(detections) + "\n")
    (folder / "gt" / "gt.txt").write_text("\n".join(truth) + "\n")
    return folder


def by_color(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How red and how blue the crops are."""
    pixels = crops.astype(np.float32) - 110
    return np.stack([pixels[:, 0].mean((1, 2)), pixels[:, 2].mean((1, 2)), np.full(len(crops), 0.1)], axis=1)


def by_opposite(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Never the same twice: whatever a track remembers, nothing resembles it."""
    by_opposite.calls += 1  # type: ignore[attr-defined]
    return np.tile(np.eye(64, dtype=np.float32)[by_opposite.calls % 64], (len(crops), 1))  # type: ignore[attr-defined]


by_opposite.calls = 0  # type: ignore[attr-defined]


def embedder(name: str, answer) -> Embedder:
    preprocessing = tiny_manifest(Tiny(), engine="", engine_file="", files={}).preprocessing
    return Embedder(name, preprocessing, 8, answer)


def gate_of(sequence: Path, candidate, *, truth: bool = True):
    recording = Recording.find(sequence)
    own, theirs = replay(recording, [embedder("candidate", candidate), embedder("torch", by_color)])
    table = read_tracks(sequence / "gt" / "gt.txt") if truth else None
    return tracking_gate(own, theirs, DEFAULT_LIMITS.tracking, truth=table, by="torch")


def test_the_same_embeddings_decide_the_same(sequence: Path) -> None:
    gate = gate_of(sequence, by_color)
    assert (gate.name, gate.status, gate.measure, gate.value) == ("tracking", "passed", "changed_decisions", 0)
    assert gate.figures["decisions"] == 2 * FRAMES
    assert gate.figures["IDF1"] == gate.figures["reference"]["IDF1"] == 100
    assert gate.figures["IDSW"] == 0


def test_regions_in_shares_of_the_frame_leave_out_who_stands_in_them(sequence: Path, tmp_path: Path) -> None:
    settings = tmp_path / "regions.yaml"
    settings.write_text("ignored_regions: [[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]]\n")
    own, theirs = replay(Recording.find(sequence, tracker=str(settings)), [embedder("both", by_color)] * 2)
    left_half = {
        (index, row)
        for index in range(1, FRAMES + 1)
        for row, (left, _) in enumerate(boxes_at(index))
        if left + 16 < 120
    }
    assert len(left_half) == FRAMES
    assert not left_half & own.goes_on_from.keys()
    assert own.goes_on_from == theirs.goes_on_from


def test_a_recording_runs_at_the_rate_of_its_sequence_or_video(sequence: Path, tmp_path: Path) -> None:
    assert Recording.find(sequence).config.frame_rate == 10
    detections = tmp_path / "det.txt"
    detections.write_bytes((sequence / "det" / "det.txt").read_bytes())
    video = write_video(tmp_path / "yard.mp4", [picture(index) for index in range(1, 5)], rate=15)
    assert Recording.find(video, detections=detections).config.frame_rate == 15
    with pytest.raises(InvalidFile, match="there is no video or sequence"):
        Recording.find(tmp_path / "nowhere")


def test_what_loses_people_who_change_places_fails(sequence: Path) -> None:
    gate = gate_of(sequence, by_opposite)
    assert (gate.status, gate.measure) == ("failed", "changed_decisions")
    # Both are taken for each other in the frame of the swap, and nowhere else: ids differ from then on, decisions not.
    assert gate.figures["changed"] == 2
    assert gate.value == pytest.approx(100 * 2 / (2 * FRAMES))


def test_decisions_that_are_as_many_and_worse_fail_by_the_scores(sequence: Path) -> None:
    truth = read_tracks(sequence / "gt" / "gt.txt")
    apart = replace(truth, boxes_xywh=truth.boxes_xywh + 100 * truth.ids[:, None] * [1, 0, 0, 0])
    late = truth.frames > FRAMES // 2
    swapped = replace(apart, ids=np.where(late, 3 - truth.ids, truth.ids))
    links = {(1, 0): None}
    gate = tracking_gate(Replay(swapped, links), Replay(apart, links), DEFAULT_LIMITS.tracking, truth=apart, by="torch")
    assert (gate.status, gate.measure, gate.value) == ("failed", "idf1_drop", pytest.approx(50))
    assert (gate.figures["changed"], gate.figures["IDSW"], gate.figures["reference"]["IDSW"]) == (0, 2, 0)


def test_without_ground_truth_the_decisions_are_counted_all_the_same(sequence: Path) -> None:
    gate = gate_of(sequence, by_opposite, truth=False)
    assert gate.figures["changed"] == 2
    assert "IDF1" not in gate.figures


def test_an_embedding_that_is_not_finite_is_not_tracked_with(sequence: Path) -> None:
    recording = Recording.find(sequence)
    with pytest.raises(NonFiniteEmbedding):
        replay(recording, [embedder("broken", lambda crops: np.full((len(crops), 3), np.nan, np.float32))])


def test_a_recording_tells_its_frame_rate_detections_and_truth(sequence: Path, tmp_path: Path) -> None:
    recording = Recording.find(sequence)
    assert recording.config.frame_rate == 10
    assert recording.truth == sequence / "gt" / "gt.txt"
    (sequence / "gt" / "gt.txt").unlink()
    assert Recording.find(sequence).truth is None
    with pytest.raises(InvalidInput, match="by --detections"):
        Recording.find(tmp_path)
    os.mkfifo(tmp_path / "camera")
    with pytest.raises(InvalidInput, match="comparing two networks takes them twice"):
        Recording.find(tmp_path / "camera", detections=recording.detections)


def test_settings_without_appearance_and_sequences_without_people_are_refused(sequence: Path, tmp_path: Path) -> None:
    (tmp_path / "plain.yaml").write_text("schema: reidkit\nwith_reid: false\n")
    with pytest.raises(InvalidInput, match="tracks without appearance"):
        Recording.find(sequence, tracker=str(tmp_path / "plain.yaml"))
    (tmp_path / "wrong.yaml").write_text("schema: reidkit\nmin_cosin: 0.5\n")
    with pytest.raises(InvalidConfig):
        Recording.find(sequence, tracker=str(tmp_path / "wrong.yaml"))
    (sequence / "det" / "det.txt").write_text("1,-1,100,20,32,80,0.2,-1,-1,-1\n")
    with pytest.raises(InvalidInput, match="nobody is tracked"):
        replay(Recording.find(sequence), [embedder("torch", by_color)])
