"""One camera's session: what is cut, what is embedded, where the time goes, and on how little it runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_videos import boxes_at, picture, write_detections, write_video
from tiny_artifact import Tiny, tiny_artifact

from reidkit.runtime.detectors import Detections
from reidkit.runtime.engines import have_pixels, open_artifact
from reidkit.runtime.errors import InvalidInput
from reidkit.runtime.pipeline.session import STAGES, TrackingSession
from reidkit.runtime.tracking import BotSort, BotSortConfig
from reidkit.runtime.video.sources import Frame

pytest.importorskip("onnxruntime")


def frame(index: int) -> Frame:
    return Frame(index, picture(index), (index - 1) / 10)


def seen(index: int, *, score: float = 0.9) -> Detections:
    return Detections(boxes_at(index), np.full(3, score), np.zeros(3, np.int64))


@pytest.mark.parametrize(
    "tiny",
    [
        Tiny(),
        Tiny(color="bgr"),
        Tiny(layout="nhwc"),
        Tiny(dtype="float32", where="runtime"),
        Tiny(dtype="float32", where="runtime", layout="nhwc"),
        Tiny(dtype="float16", where="runtime"),
    ],
    ids=str,
)
def test_crops_cut_apart_give_what_the_engine_gives_in_one(tmp_path: Path, tiny: Tiny) -> None:
    boxes = np.concatenate([boxes_at(3), [[-10.5, -3, 30.7, 60.2], [150, 100, 300, 300]]])
    with open_artifact(tiny_artifact(tmp_path, tiny)) as engine:
        batch = engine.cut(picture(3), boxes)
        np.testing.assert_array_equal(engine.embed(batch), engine.embed_crops(picture(3), boxes))
        nobody = engine.cut(picture(3), boxes[:0])
        assert engine.embed(nobody).shape == (0, engine.embedding_dim)


def test_a_box_has_pixels_exactly_where_the_engine_can_cut_it(tmp_path: Path) -> None:
    edges = np.array([-5.0, -0.5, 0.0, 0.4, 0.6, 1.2, 1.9, 119.5, 120.0, 159.9, 160.0, 161.0])
    corners = [(a, b) for a in edges for b in edges if a < b]
    boxes = np.array([(x1, y1, x2, y2) for x1, x2 in corners[::5] for y1, y2 in corners[::7]])
    covered = have_pixels(boxes, height=120, width=160)
    assert 0 < covered.sum() < len(boxes)
    with open_artifact(tiny_artifact(tmp_path)) as engine:
        engine.embed_crops(picture(1), boxes[covered])
        for box in boxes[~covered][::9]:
            with pytest.raises(InvalidInput):
                engine.embed_crops(picture(1), box[None])


def test_only_wanted_rows_are_embedded(tmp_path: Path) -> None:
    with open_artifact(tiny_artifact(tmp_path)) as engine:
        session = TrackingSession(
            BotSort(BotSortConfig(high_score=0.6)),
            lambda frame: Detections(boxes_at(frame.index), np.array([0.9, 0.3, 0.7]), np.zeros(3, np.int64)),
            engine=engine,
        )
        for index in range(1, 5):
            session.step(frame(index))
    assert session.crops == 8


def test_each_stage_is_timed_and_nothing_twice(tmp_path: Path) -> None:
    with open_artifact(tiny_artifact(tmp_path)) as engine:
        session = TrackingSession(BotSort(), lambda frame: seen(frame.index), engine=engine)
        for index in range(1, 5):
            tracks = session.step(frame(index))
    assert tracks.ids.tolist() == [1, 2, 3]
    assert tuple(session.total_ms) == STAGES
    assert all(session.total_ms[stage] > 0 for stage in ("detect", "crop", "embed", "associate"))
    assert session.total_ms["decode"] == session.total_ms["draw"] == 0


def test_without_an_engine_people_are_tracked_by_overlap() -> None:
    session = TrackingSession(BotSort(BotSortConfig(with_reid=False)), lambda frame: seen(frame.index), engine=None)
    for index in range(1, 10):
        tracks = session.step(frame(index))
    assert tracks.ids.tolist() == [1, 2, 3]
    assert session.total_ms["crop"] == session.total_ms["embed"] == 0


def test_tracking_needs_neither_torch_nor_opencv_nor_onnx(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", [picture(index) for index in range(1, 11)])
    boxes = write_detections(tmp_path / "det.txt", 10)
    script = """
import sys
for name in ("torch", "cv2", "onnx", "scipy", "openvino", "PIL"):
    sys.modules[name] = None
from reidkit.runtime.commands.track import track
track()
"""
    arguments = [
        "--input",
        video,
        "--detections",
        boxes,
        "--reid",
        tiny_artifact(tmp_path),
        "--output",
        tmp_path / "out",
    ]
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    drawn = subprocess.run([*command, "--draw"], capture_output=True, text=True)
    assert drawn.returncode == 5
    assert drawn.stderr == "error: drawing needs OpenCV, which is not installed: pip install 'reidkit[video]'\n"
