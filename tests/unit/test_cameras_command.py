"""`reidkit cameras`: several recordings in, one id for a person in all of them out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from small_videos import picture, write_detections, write_video

pytest.importorskip("av", reason="needs the extra 'video'")
pytest.importorskip("onnxruntime", reason="needs the extra 'onnxruntime'")

from reidkit.calibration.street.overlap import write_views
from reidkit.calibration.street.street import Street, StreetConfig
from reidkit.runtime.commands.cameras import cameras
from reidkit.runtime.files import sole_use
from reidkit.runtime.pipeline import together
from reidkit.runtime.tracking.across_cameras import AcrossCamerasConfig
from reidkit.runtime.video.mot_files import read_tracks
from reidkit.runtime.video.sources import Frame, open_source


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cameras") / "street"
    write_views(Street(StreetConfig(people=4, frames=30, views=2)), folder, images=True, on_frame=lambda number: None)
    return folder


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny_artifact import tiny_artifact

    return tiny_artifact(tmp_path_factory.mktemp("artifacts"))


def run(views: Path, artifact: Path, output: Path, *more: object) -> Result:
    inputs = [word for view in ("view1", "view2") for word in ("--input", views / view)]
    boxes = [word for view in ("view1", "view2") for word in ("--detections", views / view / "det" / "det.txt")]
    arguments = [*inputs, *boxes, "--reid", artifact, "--output", output, *more]
    return CliRunner().invoke(cameras, [str(word) for word in arguments])


def test_every_camera_gets_its_tracks(views: Path, artifact: Path, tmp_path: Path) -> None:
    result = run(views, artifact, tmp_path / "out", "--json", "--draw")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.output)
    assert summary == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [each["frames"] for each in summary["cameras"]] == [30, 30]
    tracks = [read_tracks(tmp_path / "out" / str(camera) / "tracks.txt") for camera in (0, 1)]
    assert [len(each) for each in tracks] == [each["boxes"] for each in summary["cameras"]]
    assert summary["people"] == len(np.unique(np.concatenate([each.ids for each in tracks])))
    assert all((tmp_path / "out" / str(camera) / "annotated.mp4").stat().st_size for camera in (0, 1))


def test_what_was_not_tracked_is_not_read_to_be_drawn(
    views: Path, artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def watched(recording: str) -> Iterator[Frame]:
        with closing(open_source(recording)) as source:
            for frame in source:
                read.append(frame.index)
                yield frame

    monkeypatch.setattr(together, "open_source", watched)
    result = run(views, artifact, tmp_path / "out", "--draw", "--max-frames", 5)
    assert result.exit_code == 0, result.output
    assert read == 2 * [1, 2, 3, 4, 5]
    for camera in (0, 1):
        with closing(open_source(tmp_path / "out" / str(camera) / "annotated.mp4")) as drawn:
            assert len(list(drawn)) == 5


def test_the_same_recordings_give_the_same_ids(views: Path, artifact: Path, tmp_path: Path) -> None:
    texts = []
    for name in ("a", "b"):
        assert run(views, artifact, tmp_path / name).exit_code == 0
        texts.append([(tmp_path / name / str(camera) / "tracks.txt").read_text() for camera in (0, 1)])
    assert texts[0] == texts[1]


def test_two_cameras_that_cannot_meet_share_nobody(views: Path, artifact: Path, tmp_path: Path) -> None:
    apart = tmp_path / "apart.yaml"
    apart.write_text("passages:\n- {cameras: [0, 1], min_s: 9000, max_s: 9001}\n")
    result = run(views, artifact, tmp_path / "out", "--across", apart, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["joined"] == 0
    ids = [set(read_tracks(tmp_path / "out" / str(camera) / "tracks.txt").ids.tolist()) for camera in (0, 1)]
    assert not ids[0] & ids[1]


def test_a_video_that_breaks_off_is_told_as_reid_track_tells_it(artifact: Path, tmp_path: Path) -> None:
    images = [picture(index) for index in range(1, 21)]
    videos = [write_video(tmp_path / f"{name}.avi", images, codec="mpeg4") for name in ("whole", "cut")]
    content = videos[1].read_bytes()
    videos[1].write_bytes(content[: len(content) // 2] + np.random.default_rng(0).bytes(5000))
    boxes = [write_detections(tmp_path / f"{frames}.txt", frames) for frames in (25, 20)]
    words = [
        word for video, each in zip(videos, boxes, strict=True) for word in ("--input", video, "--detections", each)
    ]
    words += ["--reid", artifact, "--output", tmp_path / "out"]
    result = CliRunner().invoke(cameras, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    warnings = [each["warnings"] for each in json.loads((tmp_path / "out" / "summary.json").read_text())["cameras"]]
    assert warnings[0] == [f"{boxes[0]} has detections in 5 frames after the last, 20"]
    assert [warning.startswith("cut.avi") for warning in warnings[1]] == [True]
    assert result.stderr.splitlines() == [f"warning: camera {camera}: {of[0]}" for camera, of in enumerate(warnings)]
    some = CliRunner().invoke(cameras, [str(word) for word in [*words, "--max-frames", 3, "--json"]])
    assert [each["warnings"] for each in json.loads(some.stdout)["cameras"]] == [[], []]


@pytest.mark.parametrize("frames", [0, 3])
def test_a_signal_is_heard_while_a_camera_has_stalled(frames: int, artifact: Path, tmp_path: Path) -> None:
    whole = write_video(tmp_path / "v.mp4", [picture(index) for index in range(1, 9)])
    boxes, stalled, output = write_detections(tmp_path / "det.txt", 8), tmp_path / "stalled", tmp_path / "out"
    stalled.mkdir()
    for index in range(1, frames + 1):
        pytest.importorskip("cv2").imwrite(str(stalled / f"{index:06}.png"), picture(index))
    os.mkfifo(stalled / f"{frames + 1:06}.png")
    program = f"""
from pathlib import Path
from reidkit.runtime.commands.shell import stop_signals
from reidkit.runtime.pipeline.together import AcrossCamerasConfig, CamerasJob, TrackingJob, run_together
cameras = tuple(
    TrackingJob(input=each, detections=Path({str(boxes)!r}), reid={str(artifact)!r}, output=Path({str(output)!r}, name))
    for name, each in (("0", {str(stalled)!r}), ("1", {str(whole)!r}))
)
job = CamerasJob(cameras=cameras, across=AcrossCamerasConfig(), output=Path({str(output)!r}))
with stop_signals() as stop:
    print(-1, 0, flush=True)
    run_together(job, on_frame=lambda *seen: print(*seen, flush=True), should_stop=stop.is_set)
"""
    command = [sys.executable, "-c", program]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while process.stdout.readline() != (f"0 {frames}\n" if frames else "-1 0\n"):
        continue
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    if not frames:
        assert stderr.splitlines()[-1].startswith("reidkit.runtime.errors.Interrupted: ")
        assert not [path for path in output.rglob("*") if path.is_file()]
        return
    assert process.returncode == 0, stderr
    summary = json.loads((output / "summary.json").read_text())
    assert (summary["interrupted"], summary["cameras"][0]["frames"]) == (True, frames)


def test_only_pictures_that_can_be_read_again_are_drawn_upon(artifact: Path, tmp_path: Path) -> None:
    boxes, output = write_detections(tmp_path / "det.txt", 8), tmp_path / "out"
    os.mkfifo(tmp_path / "camera")
    words = [word for _ in range(2) for word in ("--input", tmp_path / "camera", "--detections", boxes)]
    words += ["--reid", artifact, "--output", output, "--draw"]
    result = CliRunner().invoke(cameras, [str(word) for word in words])
    assert (result.exit_code, output.exists()) == (1, False)
    assert "camera come only once, and drawing in the end takes them twice" in result.stderr


def test_results_are_those_of_the_last_run(views: Path, artifact: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(views, artifact, out, "--draw", "--max-frames", 3).exit_code == 0
    (out / "2").mkdir()
    (out / "2" / "tracks.txt").write_text("")
    assert run(views, artifact, out, "--max-frames", 3).exit_code == 0
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*")) == [
        "0", "0/tracks.txt", "1", "1/tracks.txt", "summary.json"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["summary.json", "1/tracks.txt"])
def test_a_folder_in_place_of_a_result_is_said_before_the_work(
    views: Path, artifact: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    (out / name).mkdir(parents=True)
    result = run(views, artifact, out, "--draw")
    assert (result.exit_code, f"{out / name}, which is a folder" in result.stderr) == (1, True)
    assert [path for path in out.rglob("*") if path.is_file()] == []


def test_one_run_at_a_time_writes_into_a_folder(views: Path, artifact: Path, tmp_path: Path) -> None:
    for folder in (tmp_path / "out", tmp_path / "out" / "1"):
        with sole_use(folder):
            result = run(views, artifact, tmp_path / "out")
        assert (result.exit_code, f"another run is writing into {folder}" in result.stderr) == (1, True)


def test_no_camera_overwrites_what_another_reads(views: Path, artifact: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "out" / "1" / "tracks.txt"
    boxes.parent.mkdir(parents=True)
    boxes.write_text((views / "view1/det/det.txt").read_text())
    words = [word for view in ("view1", "view2") for word in ("--input", views / view, "--detections", boxes)]
    words += ["--reid", artifact, "--output", tmp_path / "out"]
    result = CliRunner().invoke(cameras, [str(word) for word in words])
    assert (result.exit_code, f"{boxes} is read" in result.stderr) == (1, True)


def test_native_code_from_elsewhere_runs_only_when_trusted(
    views: Path, artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reidkit.runtime.engines.onnxruntime import OnnxRuntimeEngine

    monkeypatch.setattr(OnnxRuntimeEngine, "runs_native_code", True)
    refused = run(views, artifact, tmp_path / "out", "--max-frames", 2)
    assert (refused.exit_code, "--trust" in refused.stderr) == (4, True)
    assert run(views, artifact, tmp_path / "out", "--max-frames", 2, "--trust").exit_code == 0


def test_the_helps_example_is_a_settings_file(tmp_path: Path) -> None:
    help_text = CliRunner().invoke(cameras, ["--help"], terminal_width=80).output
    assert "\\b" not in help_text
    example = help_text.partition("lie:")[2].partition("Options:")[0]
    (tmp_path / "across.yaml").write_text(example)
    (passage,) = AcrossCamerasConfig.load(tmp_path / "across.yaml").passages
    assert (passage.cameras, passage.max_s) == ((0, 1), 30)


def test_a_single_camera_is_refused(views: Path, artifact: Path, tmp_path: Path) -> None:
    words = ["--input", views / "view1", "--detections", views / "view1/det/det.txt", "--reid", artifact]
    result = CliRunner().invoke(cameras, [str(word) for word in [*words, "--output", tmp_path / "out"]])
    assert result.exit_code == 1
    assert "reid-track" in result.output
