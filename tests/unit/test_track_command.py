"""`reid-track` as people type it: whole runs on small videos, every wrong input, every way to stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from small_videos import picture, write_detections, write_video

from reidkit.runtime.commands import main
from reidkit.runtime.commands.track import track
from reidkit.runtime.errors import Interrupted
from reidkit.runtime.pipeline import TrackingJob
from reidkit.runtime.pipeline import run as run_job
from reidkit.runtime.pipeline.session import STAGES
from reidkit.runtime.video.mot_files import read_tracks
from reidkit.runtime.video.sources import open_source

FRAMES = 30


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people walking for thirty frames."""
    images = [picture(index) for index in range(1, FRAMES + 1)]
    return write_video(tmp_path_factory.mktemp("video") / "yard.mp4", images)


@pytest.fixture(scope="module")
def detections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_detections(tmp_path_factory.mktemp("detections") / "det.txt", FRAMES)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx", reason="small artifacts are built from ONNX: install the extra 'export'")
    pytest.importorskip("onnxruntime")
    from tiny_artifact import tiny_artifact

    return tiny_artifact(tmp_path_factory.mktemp("artifacts"))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(track, [str(argument) for argument in arguments])


def summary_of(result: Result, output: Path) -> dict[str, object]:
    assert result.exit_code == 0, result.output
    summary = json.loads((output / "summary.json").read_text())
    assert isinstance(summary, dict)
    return summary


def test_a_video_is_tracked_drawn_and_summed_up(video: Path, detections: Path, artifact: Path, tmp_path: Path) -> None:
    output = tmp_path / "deep" / "out"
    result = run(
        "--input", video, "--detections", detections, "--reid", artifact, "--output", output, "--draw", "--threads", 1
    )
    summary = summary_of(result, output)
    assert sorted(path.name for path in output.iterdir()) == ["annotated.mp4", "summary.json", "tracks.txt"]
    tracks = read_tracks(output / "tracks.txt")
    assert set(tracks.ids) == {1, 2, 3}
    assert len(tracks) == 3 * FRAMES == summary["boxes"]
    assert summary["frames"] == FRAMES
    assert summary["people"] == 3
    assert summary["crops"] == 3 * FRAMES
    assert summary["fps"] > 0
    assert list(summary["stage_ms"]) == list(STAGES)
    assert all(summary["stage_ms"][stage] > 0 for stage in STAGES)
    assert summary["appearance"]["decided"] > 0
    assert {"decided", "changed", "vetoed"} <= set(summary["appearance"])
    assert (summary["frame_rate"], summary["frame_rate_source"]) == (10, "input")
    assert summary["warnings"] == []
    annotated = open_source(output / "annotated.mp4")
    assert annotated.frame_rate == 10
    assert sum(1 for _ in annotated) == FRAMES
    assert f"{FRAMES} frames of 160x120" in result.stdout
    assert "appearance decided" in result.stdout
    assert result.stderr == ""


def test_with_json_the_summary_is_printed(video: Path, detections: Path, tmp_path: Path) -> None:
    result = run("--input", video, "--detections", detections, "--reid", "none", "--output", tmp_path, "--json")
    assert json.loads(result.stdout) == summary_of(result, tmp_path)


def test_without_reid_nothing_is_embedded(video: Path, detections: Path, tmp_path: Path) -> None:
    summary = summary_of(
        run("--input", video, "--detections", detections, "--reid", "none", "--output", tmp_path), tmp_path
    )
    assert (summary["crops"], summary["reid"]) == (0, None)
    assert summary["appearance"]["decided"] == 0
    assert not (tmp_path / "annotated.mp4").exists()
    assert summary["files"] == ["tracks.txt", "summary.json"]


def test_the_same_run_gives_the_same_bytes(video: Path, detections: Path, artifact: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        run("--input", video, "--detections", detections, "--reid", artifact, "--output", tmp_path / name)
    assert (tmp_path / "first/tracks.txt").read_bytes() == (tmp_path / "second/tracks.txt").read_bytes()


def test_the_frame_rate_is_the_options_then_seqinfos_then_the_videos(
    video: Path, detections: Path, tmp_path: Path
) -> None:
    def rate(*options: object, boxes: Path = detections) -> tuple[object, object]:
        result = run("--input", video, "--detections", boxes, "--reid", "none", "--output", tmp_path / "out", *options)
        summary = summary_of(result, tmp_path / "out")
        return summary["frame_rate"], summary["frame_rate_source"]

    (tmp_path / "seq" / "det").mkdir(parents=True)
    (tmp_path / "seq" / "seqinfo.ini").write_text("[Sequence]\nframeRate=7\n")
    named = write_detections(tmp_path / "seq" / "det" / "det.txt", FRAMES)
    assert rate() == (10, "input")
    value, origin = rate(boxes=named)
    assert value == 7
    assert str(origin).endswith("seqinfo.ini")
    assert rate("--fps", 12.5, boxes=named) == (12.5, "--fps")


def test_max_frames_ends_the_run_in_time(video: Path, detections: Path, tmp_path: Path) -> None:
    arguments = ["--input", video, "--detections", detections, "--reid", "none", "--output", tmp_path]
    summary = summary_of(run(*arguments, "--max-frames", 7), tmp_path)
    assert (summary["frames"], summary["warnings"]) == (7, [])
    assert read_tracks(tmp_path / "tracks.txt").frames.max() == 7


def test_a_hundred_frames_without_a_detection_are_a_clean_run(tmp_path: Path, artifact: Path) -> None:
    video = write_video(tmp_path / "v.mp4", [picture(1)] * 100)
    empty = tmp_path / "det.txt"
    empty.write_text("")
    summary = summary_of(
        run("--input", video, "--detections", empty, "--reid", artifact, "--output", tmp_path / "out", "--draw"),
        tmp_path / "out",
    )
    assert (summary["frames"], summary["boxes"], summary["people"]) == (100, 0, 0)
    assert (tmp_path / "out" / "tracks.txt").read_text() == ""


def test_boxes_outside_the_frame_are_tracked_without_an_embedding(video: Path, artifact: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "det.txt"
    places = ["-500,20,30,60", "150,100,40,60", "-10,-10,40,60", "400,20,30,60", "20.3,20.2,0.4,40"]
    boxes.write_text("".join(f"{index},-1,{place},0.9\n" for index in range(1, FRAMES + 1) for place in places))
    summary = summary_of(
        run("--input", video, "--detections", boxes, "--reid", artifact, "--output", tmp_path / "out", "--draw"),
        tmp_path / "out",
    )
    assert summary["people"] == 5
    assert summary["crops"] == 2 * FRAMES


def test_detections_beyond_the_videos_end_are_pointed_out(video: Path, tmp_path: Path) -> None:
    boxes = write_detections(tmp_path / "det.txt", FRAMES + 12)
    result = run("--input", video, "--detections", boxes, "--reid", "none", "--output", tmp_path / "out")
    assert result.exit_code == 0
    assert f"has detections in 12 frames after the last, {FRAMES}" in result.stderr


def test_a_video_that_ends_in_garbage_is_tracked_up_to_there(detections: Path, tmp_path: Path) -> None:
    whole = write_video(tmp_path / "v.avi", [picture(index) for index in range(1, FRAMES + 1)], codec="mpeg4")
    content = whole.read_bytes()
    whole.write_bytes(content[: len(content) // 2] + np.random.default_rng(0).bytes(5000))
    result = run("--input", whole, "--detections", detections, "--reid", "none", "--output", tmp_path / "out", "--draw")
    summary = summary_of(result, tmp_path / "out")
    assert 5 < summary["frames"] < FRAMES
    assert f"warning: v.avi announces {FRAMES} frames" in result.stderr or "breaks off" in result.stderr
    assert read_tracks(tmp_path / "out" / "tracks.txt").frames.max() == summary["frames"]


def test_a_change_of_size_in_mid_stream_is_tracked_through(detections: Path, artifact: Path, tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    parts = [
        write_video(tmp_path / f"{width}.264", [picture(i, width=width) for i in range(1, 11)], container="h264")
        for width in (160, 320, 160)
    ]
    joined = tmp_path / "joined.264"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    settings = tmp_path / "moving.yaml"
    settings.write_text("schema: reidkit\ncamera_motion: sparse_flow\n")
    result = run(
        "--input", joined, "--detections", detections, "--reid", artifact, "--tracker", settings,
        "--output", tmp_path / "out", "--draw",
    )  # fmt: skip
    summary = summary_of(result, tmp_path / "out")
    assert summary["frames"] == 30
    assert summary["stage_ms"]["camera_motion"] > 0


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("3,-1,nan,20,30,40,0.9,-1,-1,-1", "not finite"),
        ("3,-1,10,20,30", "5 values where 10"),
        ("3,-1,ten,20,30,40,0.9,-1,-1,-1", "not numbers"),
        ("3,-1,10,20,-30,40,0.9,-1,-1,-1", "must be positive"),
    ],
)
def test_a_bad_line_of_detections_is_one_line_of_error_and_no_files(
    video: Path, tmp_path: Path, line: str, reason: str
) -> None:
    boxes = write_detections(tmp_path / "det.txt", 2)
    boxes.write_text(boxes.read_text() + line + "\n")
    result = run("--input", video, "--detections", boxes, "--reid", "none", "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {boxes}:7: ")
    assert reason in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_wrong_files_are_one_line_of_error(video: Path, detections: Path, artifact: Path, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("not what was asked for\n")
    correct = {
        "--input": video,
        "--detections": detections,
        "--reid": artifact,
        "--tracker": "botsort.yaml",
        "--output": tmp_path / "out",
    }
    wrong = [
        *(("--input", path, 1) for path in (text, tmp_path / "nowhere.mp4", tmp_path)),
        *(("--detections", path, 1) for path in (text, tmp_path / "nowhere.txt", tmp_path, video)),
        *(("--reid", path, 4) for path in (text, tmp_path / "nowhere", tmp_path)),
        *(("--tracker", path, 1) for path in (text, tmp_path / "nowhere.yaml", "botsorrt.yaml")),
        ("--output", text, 1),
    ]
    for option, value, exit_code in wrong:
        arguments = [part for pair in {**correct, option: value}.items() for part in pair]
        result = run(*arguments)
        assert (result.exit_code, result.stderr.count("\n")) == (exit_code, 1), (option, value, result.output)
        assert result.stderr.startswith("error: ")
        assert not (tmp_path / "out").exists()


def test_an_error_is_json_where_json_was_asked_for(video: Path, tmp_path: Path) -> None:
    result = run(
        "--input", video, "--detections", tmp_path / "nowhere", "--reid", "none", "--output", tmp_path, "--json"
    )
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["type"] == "InvalidFile"


def test_a_usage_error_is_json_too(video: Path, tmp_path: Path) -> None:
    wrong = {
        "MissingParameter": ["--output", tmp_path],
        "NoSuchOption": ["--imput", video],
        "BadParameter": ["--input", video, "--output", tmp_path, "--fps", "fast"],
        "UsageError": ["--input", video, "--output", tmp_path],
    }
    for kind, words in wrong.items():
        for command, before in ((track, []), (main, ["track"])):
            result = CliRunner().invoke(command, [*before, *map(str, words), "--json"])
            error = json.loads(result.stdout)["error"]
            assert (result.exit_code, error["type"], result.stderr) == (2, kind, "")
            assert error["message"]
            assert error["remedy"].endswith("track --help")
    assert run("--output", tmp_path).stderr.startswith("Usage: ")
    unheard_of = CliRunner().invoke(main, ["trak", "--json"])
    assert (unheard_of.exit_code, "'trak'" in json.loads(unheard_of.stdout)["error"]["message"]) == (2, True)


@pytest.mark.parametrize("more", [[], ["--json"], ["--help"], ["--json", "--fps", "fast"]], ids=" ".join)
def test_an_output_that_takes_no_more_is_an_error(
    video: Path, detections: Path, tmp_path: Path, more: list[str]
) -> None:
    words = ["--input", video, "--detections", detections, "--reid", "none", "--output", tmp_path, *more]
    command = "from reidkit.runtime.commands.track import track; track()"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", command, *map(str, words)], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert done.stderr == "error: cannot write to standard output (No space left on device)\n"


def test_options_that_can_change_nothing_are_refused(video: Path, detections: Path, tmp_path: Path) -> None:
    named = ["--input", video, "--detections", detections, "--reid", "none", "--output", tmp_path / "out"]
    for option in (
        ["--device", "banana"],
        ["--build"],
        ["--trust"],
        ["--threads", 2],
        ["--confidence-based"],
        ["--min-detection-conf", 0.5],
    ):
        result = run(*named, *option)
        assert (result.exit_code, f"{option[0]} can change nothing" in result.stderr) == (2, True), result.output
    several = run(*named, "--trust", "--build")
    assert "--build, --trust can change nothing with --reid none" in several.stderr
    assert not (tmp_path / "out").exists()


def test_a_frame_rate_that_cannot_be_is_blamed_on_who_says_it(video: Path, detections: Path, tmp_path: Path) -> None:
    sequence = tmp_path / "sequence"
    sequence.mkdir()
    (sequence / "seqinfo.ini").write_text("[Sequence]\nframeRate=100000\n")
    (sequence / "yard.mp4").write_bytes(video.read_bytes())
    named = ["--input", sequence, "--detections", detections, "--reid", "none", "--output", tmp_path / "out"]
    refused = run(*named)
    assert (refused.exit_code, "seqinfo.ini says frameRate=100000" in refused.stderr) == (1, True)
    assert "--fps" in refused.stderr
    assert summary_of(run(*named, "--fps", 10), tmp_path / "out")["frame_rate_source"] == "--fps"


def test_boxes_come_from_one_place(video: Path, detections: Path, tmp_path: Path) -> None:
    neither = run("--input", video, "--output", tmp_path)
    both = run("--input", video, "--detections", detections, "--detector", "y.onnx", "--output", tmp_path)
    assert neither.exit_code == both.exit_code == 2
    assert "either --detections or --detector" in neither.stderr


def test_tracking_by_appearance_needs_an_artifact(video: Path, detections: Path, tmp_path: Path) -> None:
    result = run("--input", video, "--detections", detections, "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert "give --reid DIR or --reid none" in result.stderr


def test_the_settings_may_name_the_model_and_its_width(
    video: Path, detections: Path, artifact: Path, tmp_path: Path
) -> None:
    def attempt(text: str, *options: object) -> Result:
        settings = tmp_path / "botsort-of-mine.yaml"
        settings.write_text(text)
        return run(
            "--input", video, "--detections", detections, "--tracker", settings, "--output", tmp_path / "out", *options
        )

    named = summary_of(attempt(f"schema: mivolo\nmodel: {artifact}\nembedding_dim: 12\n"), tmp_path / "out")
    assert named["reid"] == {
        "artifact": "tiny",
        "engine": "onnxruntime",
        "precision": "fp32",
        "device": "cpu",
        "providers": ["CPUExecutionProvider"],
        "nodes_by_provider": {},
    }
    overridden = attempt("schema: mivolo\nmodel: elsewhere\nembedding_dim: 12\n", "--reid", artifact)
    assert summary_of(overridden, tmp_path / "out")["reid"] == named["reid"]
    elsewhere = attempt("schema: mivolo\n", "--reid", artifact, "--device", "abacus")
    assert (elsewhere.exit_code, "no device 'abacus'" in elsewhere.output) == (1, True)
    other_width = attempt("schema: mivolo\nembedding_dim: 512\n", "--reid", artifact)
    assert other_width.exit_code == 1
    assert "embedding_dim: 512" in other_width.stderr
    assert "tiny gives 12" in other_width.stderr
    unused = attempt("schema: mivolo\nwith_reid: false\n", "--reid", artifact)
    assert summary_of(unused, tmp_path / "out")["reid"] is None
    assert f"with_reid: false: not used: {artifact}\n" in unused.stderr
    rest = attempt("schema: mivolo\nwith_reid: false\n", "--device", "banana", "--build", "--trust")
    assert "with_reid: false: not used: --device banana, --build, --trust\n" in rest.stderr


def test_a_detector_finds_the_people_itself(shared_data: Path, tmp_path: Path) -> None:
    weights = shared_data / "detectors/yolox_nano_416.onnx"
    result = run(
        "--input", shared_data / "videos/vtest.avi", "--detector-weights", weights, "--reid", "none",
        "--output", tmp_path, "--max-frames", 20, "--threads", 1,
    )  # fmt: skip
    summary = summary_of(result, tmp_path)
    assert summary["people"] >= 5
    assert summary["stage_ms"]["detect"] > 1
    assert summary["detector"]["library"] in ("onnxruntime", "openvino")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_and_keeps_what_there_is(tmp_path: Path, number: signal.Signals) -> None:
    images = tmp_path / "endless"
    images.mkdir()
    first = tmp_path / "frame.png"
    pytest.importorskip("cv2").imwrite(str(first), picture(1, width=1280, height=720))
    for index in range(1, 3000):
        os.link(first, images / f"{index:06}.png")
    boxes = write_detections(tmp_path / "det.txt", 3000)
    output = tmp_path / "out"
    arguments = ["--input", images, "--detections", boxes, "--reid", "none", "--output", output, "--draw"]
    command = "from reidkit.runtime.commands.track import track; track()"
    process = subprocess.Popen(
        [sys.executable, "-c", command, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    unfinished = output / ".results.part"
    deadline = time.monotonic() + 60
    while not any(each.stat().st_size for each in unfinished.glob(".annotated.mp4.*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    summary = json.loads((output / "summary.json").read_text())
    assert summary["interrupted"] is True
    assert 0 < summary["frames"] < 2999
    assert sum(1 for _ in open_source(output / "annotated.mp4")) == summary["frames"]
    assert read_tracks(output / "tracks.txt").frames.max() == summary["frames"]
    assert sorted(path.name for path in output.iterdir()) == ["annotated.mp4", "summary.json", "tracks.txt"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_heard_while_a_pipe_has_stalled(tmp_path: Path, number: signal.Signals) -> None:
    frames, pipe, output = 60, tmp_path / "pipe", tmp_path / "out"
    video = write_video(tmp_path / "v.ts", [picture(index) for index in range(frames)], container="mpegts")
    boxes = write_detections(tmp_path / "det.txt", frames)
    os.mkfifo(pipe)
    program = f"""
from pathlib import Path
from reidkit.runtime.commands.shell import stop_signals
from reidkit.runtime.pipeline import TrackingJob, run
job = TrackingJob(input={str(pipe)!r}, detections=Path({str(boxes)!r}), reid="none", output=Path({str(output)!r}))
with stop_signals() as stop:
    run(job, on_frame=lambda seen: print(seen.frames, flush=True), should_stop=stop.is_set)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with pipe.open("wb") as writing:
        writing.write(video.read_bytes())
        writing.flush()
        while int(process.stdout.readline()) < frames - 10:  # the decoder keeps the last ones until more comes
            continue
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    summary = json.loads((output / "summary.json").read_text())
    assert summary["interrupted"] is True
    assert frames - 10 <= summary["frames"] < frames


def test_a_run_that_is_stopped_before_its_first_frame_writes_nothing(detections: Path, tmp_path: Path) -> None:
    images, output = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    os.mkfifo(images / "000001.png")
    job = TrackingJob(input=str(images), detections=detections, reid="none", output=output)
    with pytest.raises(Interrupted, match="interrupted before the first frame"):
        run_job(job, should_stop=lambda: True)
    assert not output.exists() or list(output.iterdir()) == []
    os.close(os.open(images / "000001.png", os.O_RDWR))  # whoever waits for a writer has met one


def test_a_bundle_is_built_when_that_is_asked_for(video: Path, detections: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="small artifacts are built from ONNX: install the extra 'export'")
    pytest.importorskip("onnxruntime")
    from tiny_artifact import tiny_bundle

    bundle, output = tiny_bundle(tmp_path), tmp_path / "out"
    arguments = ["--input", video, "--detections", detections, "--reid", bundle, "--output", output, "--max-frames", 3]
    refused = run(*arguments)
    assert (refused.exit_code, "reidkit build" in refused.stderr) == (4, True)
    for _ in range(2):
        assert summary_of(run(*arguments, "--build"), output)["crops"] == 9


def test_native_code_from_elsewhere_runs_only_when_trusted(
    video: Path, detections: Path, artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reidkit.runtime.engines.onnxruntime import OnnxRuntimeEngine

    monkeypatch.setattr(OnnxRuntimeEngine, "runs_native_code", True)
    arguments = ["--input", video, "--detections", detections, "--reid", artifact, "--output", tmp_path]
    refused = run(*arguments)
    assert (refused.exit_code, "--trust" in refused.stderr) == (4, True)
    assert run(*arguments, "--max-frames", 3, "--trust").exit_code == 0
    without_recipe = run(*arguments, "--build")
    assert (without_recipe.exit_code, "carries no recipe" in without_recipe.stderr) == (1, True)
