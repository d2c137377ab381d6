"""The folder of results: one run at a time, nobody's input, nothing left of the run before."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from small_videos import picture, write_detections, write_video

from reidkit.runtime.commands.track import track
from reidkit.runtime.pipeline import TrackingJob, run
from reidkit.runtime.pipeline.recording import Progress

FRAMES = 5


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "yard.mp4", [picture(index) for index in range(1, FRAMES + 1)])


@pytest.fixture
def detections(tmp_path: Path) -> Path:
    return write_detections(tmp_path / "det.txt", FRAMES)


def command(source: object, detections: Path, output: Path, *more: object) -> Result:
    named = ["--input", source, "--detections", detections, "--output", output, "--reid", "none", *more]
    return CliRunner().invoke(track, [str(argument) for argument in named])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refusal(result: Result) -> str:
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.output
    assert result.stderr.startswith("error: ")
    return result.stderr


def test_one_run_at_a_time_writes_into_a_folder(video: Path, detections: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    others: list[Result] = []

    def meanwhile(progress: Progress) -> None:
        if progress.frames == 2:
            others.append(command(video, detections, output, "--draw"))

    job = TrackingJob(input=str(video), detections=detections, reid="none", output=output)
    summary = run(job, on_frame=meanwhile)
    assert f"another run is writing into {output}" in refusal(others[0])
    assert json.loads((output / "summary.json").read_text()) == json.loads(json.dumps(summary.to_dict()))
    assert len((output / "tracks.txt").read_text().splitlines()) == summary.boxes
    assert names(output) == ["summary.json", "tracks.txt"]
    assert command(video, detections, output).exit_code == 0


@pytest.mark.parametrize("location", ["{}", "file://{}"])
@pytest.mark.parametrize("more", [["--draw"], []], ids=["draw", "no drawing"])
def test_a_video_is_never_replaced_or_removed_by_what_was_made_of_it(
    video: Path, detections: Path, tmp_path: Path, location: str, more: list[str]
) -> None:
    source = video.rename(tmp_path / "annotated.mp4")
    content = source.read_bytes()
    (tmp_path / "link").symlink_to(tmp_path)
    for output in (tmp_path, tmp_path / "link"):
        assert "annotated.mp4 is read" in refusal(command(location.format(source), detections, output, *more))
    assert source.read_bytes() == content


def test_detections_and_settings_are_not_overwritten(video: Path, detections: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    boxes = detections.rename(out / "tracks.txt")
    assert f"{boxes} is read" in refusal(command(video, boxes, out))
    settings = out / "summary.json"
    settings.write_text("schema: reidkit\n")
    boxes = boxes.rename(tmp_path / "det.txt")
    assert f"{settings} is read" in refusal(command(video, boxes, out, "--tracker", settings))
    motion = out / "tracks.txt"
    motion.write_text("1 1 0 0 0 1 0\n")
    moving = tmp_path / "moving.yaml"
    moving.write_text(f"schema: reidkit\ncamera_motion: file\ncamera_motion_file: {motion}\n")
    assert f"{motion} is read" in refusal(command(video, boxes, out, "--tracker", moving))


def test_a_sequence_of_one_video_gets_no_second(video: Path, detections: Path, tmp_path: Path) -> None:
    sequence = tmp_path / "sequence"
    sequence.mkdir()
    (sequence / "seqinfo.ini").write_text("[Sequence]\nframeRate=7\n")
    video.rename(sequence / "yard.mp4")
    refused = refusal(command(sequence, detections, sequence, "--draw"))
    assert "annotated.mp4 would be the second video" in refused
    assert command(sequence, detections, sequence).exit_code == 0
    assert command(sequence, detections, sequence).exit_code == 0


def test_more_threads_than_any_box_has_are_a_usage_error(video: Path, detections: Path, tmp_path: Path) -> None:
    result = command(video, detections, tmp_path / "out", "--threads", 100_000)
    assert (result.exit_code, "1<=x<=1024" in result.stderr) == (2, True)


def test_what_an_earlier_run_left_is_gone(video: Path, detections: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert command(video, detections, out, "--draw").exit_code == 0
    (out / "attributes.json").write_text("{}")
    (out / "mine.mp4").write_text("")
    broken = tmp_path / "broken.txt"
    broken.write_text("1,-1,2\n")
    assert command(video, broken, out).exit_code == 1
    assert names(out) == ["annotated.mp4", "attributes.json", "mine.mp4", "summary.json", "tracks.txt"]
    assert command(video, detections, out).exit_code == 0
    assert names(out) == ["mine.mp4", "summary.json", "tracks.txt"]


@pytest.mark.parametrize("name", ["tracks.txt", "summary.json", "annotated.mp4"])
def test_a_folder_in_place_of_a_result_is_said_before_the_work(
    video: Path, detections: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    (out / name).mkdir(parents=True)
    assert f"{out / name}, which is a folder" in refusal(command(video, detections, out, "--draw"))
    assert names(out) == [name]


def test_where_the_last_file_finds_no_room_none_is_new(video: Path, detections: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert command(video, detections, out).exit_code == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    nobody = tmp_path / "nobody.txt"
    nobody.write_text("")
    limited = (  # tracks of nobody find room in 500 bytes, their summary does not
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500));"
        "from reidkit.runtime.commands.track import track; track()"
    )
    named = ["--input", video, "--detections", nobody, "--reid", "none", "--output", out]
    done = subprocess.run([sys.executable, "-c", limited, *map(str, named)], capture_output=True, text=True)
    assert (done.returncode, "cannot write" in done.stderr) == (1, True), done.stderr
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_what_a_killed_run_left_is_gone(video: Path, detections: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    unfinished = out / ".results.part"
    unfinished.mkdir(parents=True)
    (unfinished / ".annotated.mp4.part").write_text("half")
    assert command(video, detections, out).exit_code == 0
    assert names(out) == ["summary.json", "tracks.txt"]
