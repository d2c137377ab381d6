"""What is made of tracks once the video is over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from reidkit.runtime.commands.postprocess import postprocess
from reidkit.runtime.engines import open_artifact
from reidkit.runtime.errors import InvalidFile
from reidkit.runtime.postprocessing import (
    JoinSettings,
    Tracklet,
    add_tracklets,
    embed_tracklets,
    fill_gaps,
    join_tracklets,
    read_tracklets,
    sampling,
)
from reidkit.runtime.postprocessing.sampling import Sampled
from reidkit.runtime.video.mot_files import TracksWriter
from reidkit.runtime.video.sources import Frame, Source, read_ahead

SETTINGS = JoinSettings(min_cosine=0.7)
SIZE = (640, 480)


def walk(identity: int, first: int, last: int, *, x: float = 200.0, pace: float = 2.0) -> Tracklet:
    """Somebody 100 pixels tall who walks right, `x` being where frame 0 saw the left of the box."""
    frames = np.arange(first, last + 1)
    left = x + pace * frames
    boxes = np.stack([left, np.full(len(frames), 150.0), left + 40, np.full(len(frames), 250.0)], axis=1)
    return Tracklet(identity, frames, boxes, np.full(len(frames), 0.9))


def write_tracklets(tracklets: list[Tracklet], path: Path) -> None:
    with TracksWriter.open(path) as writer:
        add_tracklets(tracklets, writer)


def looks(*directions: float) -> np.ndarray:
    """(K, 2) unit embeddings at these angles."""
    return np.stack([np.cos(directions), np.sin(directions)], axis=1).astype(np.float32)


def joined(tracklets: list[Tracklet], embeddings: list[np.ndarray], settings: JoinSettings = SETTINGS) -> list[int]:
    after, _ = join_tracklets(tracklets, embeddings, settings, frame_rate=10, size=SIZE)
    return [each.id for each in after]


def test_a_straight_line_fills_a_gap() -> None:
    whole = walk(7, 1, 30)
    keep = np.r_[0:10, 18:30]
    holed = Tracklet(7, whole.frames[keep], whole.boxes_xyxy[keep], whole.scores[keep])
    filled = fill_gaps(holed, max_gap=8)
    assert filled.frames.tolist() == whole.frames.tolist()
    np.testing.assert_allclose(filled.boxes_xyxy, whole.boxes_xyxy)
    assert fill_gaps(holed, max_gap=7).frames.tolist() == holed.frames.tolist()


def test_two_tracks_of_one_person_become_one() -> None:
    parts = [walk(1, 1, 20), walk(2, 41, 60), walk(3, 30, 60, x=380, pace=0)]
    after, joins = join_tracklets(parts, [looks(0, 0.1), looks(0.05), looks(1.5)], SETTINGS, frame_rate=10, size=SIZE)
    assert [each.id for each in after] == [1, 3]
    assert after[0].frames.tolist() == [*range(1, 21), *range(41, 61)]
    (join,) = joins
    assert (join.id, join.joined_id, join.gap) == (1, 2, 20)
    assert join.cosine == pytest.approx(np.cos(0.05), abs=1e-6)


def test_three_pieces_become_one_and_keep_the_first_id() -> None:
    parts = [walk(4, 41, 60), walk(9, 1, 20), walk(2, 81, 90)]
    assert joined(parts, [looks(0)] * 3) == [9]


@pytest.mark.parametrize(
    ("second", "embedding", "why"),
    [
        (walk(2, 41, 60), looks(1.2), "they look different"),
        (walk(2, 10, 40), looks(0), "both are seen at once"),
        (walk(2, 300, 320, x=-400), looks(0), "too long ago"),
        (walk(2, 22, 40, x=450), looks(0), "too far to have walked"),
        (walk(2, 41, 60), np.zeros((0, 2), np.float32), "nothing is known of the looks"),
    ],
)
def test_tracks_stay_apart(second: Tracklet, embedding: np.ndarray, why: str) -> None:
    assert joined([walk(1, 1, 20), second], [looks(0), embedding]) == [1, 2], why


def test_a_look_alike_is_left_alone() -> None:
    parts = [walk(1, 1, 20), walk(2, 30, 60), walk(3, 30, 60, x=210)]
    assert joined(parts, [looks(0), looks(0.05), looks(0.06)]) == [1, 2, 3]


def test_who_left_the_picture_is_gone_unless_reentry_is_allowed() -> None:
    leaves, comes = walk(1, 1, 20, x=555), walk(2, 60, 80, x=720, pace=-2)
    assert joined([leaves, comes], [looks(0), looks(0)]) == [1, 2]
    assert joined([leaves, comes], [looks(0), looks(0)], JoinSettings(min_cosine=0.7, reentry=True)) == [1]


def test_a_file_is_read_and_written_alike(tmp_path: Path) -> None:
    parts = [walk(3, 5, 9), walk(1, 7, 12)]
    write_tracklets(parts, tmp_path / "tracks.txt")
    again = read_tracklets(tmp_path / "tracks.txt")
    assert [each.id for each in again] == [1, 3]
    np.testing.assert_allclose(again[1].boxes_xyxy, parts[0].boxes_xyxy)
    write_tracklets([], tmp_path / "none.txt")
    assert read_tracklets(tmp_path / "none.txt") == []


def test_the_command_fills_without_a_video(tmp_path: Path) -> None:
    write_tracklets([walk(1, 1, 10), walk(1, 15, 20)], tmp_path / "in.txt")
    result = CliRunner().invoke(
        postprocess, ["--tracks", str(tmp_path / "in.txt"), "--output", str(tmp_path / "out.txt"), "--json"]
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["boxes"] == {"before": 16, "filled": 4}
    assert len((tmp_path / "out.txt").read_text().splitlines()) == 20


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(postprocess, [str(argument) for argument in arguments])


def test_options_of_joining_are_refused_where_nothing_is_joined(tmp_path: Path) -> None:
    write_tracklets([walk(1, 1, 10)], tmp_path / "in.txt")
    named = ["--tracks", tmp_path / "in.txt", "--output", tmp_path / "out.txt"]
    for option in (["--reentry"], ["--min-cosine", 0.7], ["--trust"], ["--fps", 10]):
        result = invoke(*named, *option)
        assert (result.exit_code, f"{option[0]} can change nothing without --reid" in result.stderr) == (2, True)


def test_neither_a_folder_nor_an_input_is_written_over(tmp_path: Path) -> None:
    tracks, folder = tmp_path / "in.txt", tmp_path / "folder"
    write_tracklets([walk(1, 1, 10)], tracks)
    folder.mkdir()
    named = ["--tracks", tracks, "--reid", tmp_path / "nowhere", "--input", tmp_path / "v.mp4"]
    (tmp_path / "v.mp4").touch()
    for output, reason in ((folder, "which is a folder"), (tracks, "is read"), (tmp_path / "v.mp4", "is read")):
        result = invoke(*named, "--output", output)
        assert (result.exit_code, reason in result.stderr) == (1, True), result.stderr
    assert list(folder.iterdir()) == []


def test_native_code_from_elsewhere_runs_only_when_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra 'onnxruntime'")
    from small_videos import boxes_at, picture, write_video
    from tiny_artifact import tiny_artifact

    from reidkit.runtime.engines.onnxruntime import OnnxRuntimeEngine

    monkeypatch.setattr(OnnxRuntimeEngine, "runs_native_code", True)
    boxes = np.stack([boxes_at(index)[0] for index in range(1, 6)])
    write_tracklets([Tracklet(1, np.arange(1, 6), boxes, np.full(5, 0.9))], tmp_path / "in.txt")
    video = write_video(tmp_path / "v.mp4", [picture(index) for index in range(1, 6)])
    named = ["--tracks", tmp_path / "in.txt", "--output", tmp_path / "out.txt", "--input", video]
    named += ["--reid", tiny_artifact(tmp_path, vouched=False)]
    refused = invoke(*named)
    assert (refused.exit_code, "--trust" in refused.stderr) == (4, True)
    assert not (tmp_path / "out.txt").exists()
    assert invoke(*named, "--trust").exit_code == 0


def test_a_video_that_stalls_is_waited_for_no_longer_than_wanted(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra 'onnxruntime'")
    from small_videos import boxes_at, stalled_images
    from tiny_artifact import tiny_artifact

    tracklet = Tracklet(1, np.array([1]), boxes_at(1)[:1], np.array([0.9]))
    with open_artifact(tiny_artifact(tmp_path)) as engine, stalled_images(tmp_path / "stalled") as images:
        found = embed_tracklets([tracklet], images, engine, should_stop=lambda: True)
    assert [len(each) for each in found.embeddings] == [0]


def test_a_video_is_read_as_far_as_there_are_tracks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra 'onnxruntime'")
    from small_videos import boxes_at, picture, write_video
    from tiny_artifact import tiny_artifact

    video = write_video(tmp_path / "v.mp4", [picture(index) for index in range(1, 9)])
    boxes = np.stack([boxes_at(index)[0] for index in range(1, 11)])
    read: list[int] = []

    def watched(source: Source, **options: Any) -> Iterator[tuple[Frame, float]]:
        with closing(read_ahead(source, **options)) as ahead:
            for frame, milliseconds in ahead:
                read.append(frame.index)
                yield frame, milliseconds

    monkeypatch.setattr(sampling, "read_ahead", watched)
    with open_artifact(tiny_artifact(tmp_path)) as engine:

        def sampled(length: int) -> Sampled:
            parts = [Tracklet(1, np.arange(1, length + 1), boxes[:length], np.full(length, 0.9))] if length else []
            read.clear()
            return embed_tracklets(parts, video, engine)

        for length, frames in ((5, 5), (8, 8), (0, 1)):
            found = sampled(length)
            assert ([len(each) for each in found.embeddings], found.size) == ([length] if length else [], (160, 120))
            assert len(read) == frames
        with pytest.raises(InvalidFile, match="has 8 frames, the tracks go on to frame 10"):
            sampled(10)


def test_half_a_request_is_refused(tmp_path: Path) -> None:
    write_tracklets([walk(1, 1, 10)], tmp_path / "in.txt")
    arguments = ["--tracks", str(tmp_path / "in.txt"), "--output", str(tmp_path / "out.txt"), "--reid", "somewhere"]
    result = CliRunner().invoke(postprocess, arguments)
    assert result.exit_code == 2
    assert "--input" in result.output
    assert not (tmp_path / "out.txt").exists()
