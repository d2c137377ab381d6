"""`reidkit distil` from outside: what it refuses before it begins, what it leaves alone, and what it prints."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

pytest.importorskip("torch", reason="a student is trained by torch")

from small_distillation import (
    CROPS,
    HEIGHT,
    STUDENT,
    WIDTH,
    paint_crops,
    small_job,
    small_sequence,
    stop_after,
)
from tiny_artifact import tiny_artifact

from reidkit.export.backbones import ModelCard, backbones, find_backbone
from reidkit.export.checkpoints import Checkpoint, identify
from reidkit.export.commands.distil import distil as command
from reidkit.export.distillation import CropSources, DistillationJob, distil, teacher
from reidkit.runtime.errors import EngineFailure, InvalidInput


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return paint_crops(tmp_path_factory.mktemp("crops"))


@pytest.fixture
def job(tmp_path: Path, crops: Path, monkeypatch: pytest.MonkeyPatch) -> DistillationJob:
    def found(name: str) -> ModelCard:
        return STUDENT if name == "tiny" else find_backbone(name)

    monkeypatch.setattr("reidkit.export.commands.distil.find_backbone", found)
    return small_job(tmp_path, crops)


def run(job: DistillationJob, *arguments: object) -> Result:
    """The command with a job's teacher and output; crops and the rest are to be named."""
    named = ["--teacher", job.teacher, "--teacher-preprocessing", job.teacher_preprocessing, "--student", "tiny"]
    named += ["--output", job.output, "--epochs", 1, "--views", 2]
    return CliRunner().invoke(command, [str(argument) for argument in [*named, *arguments]])


def contents(job: DistillationJob) -> dict[str, bytes]:
    """What lies beside the output, the work aside."""
    return {path.name: path.read_bytes() for path in job.output.parent.iterdir() if path.is_file()}


def test_finished_weights_are_not_replaced(job: DistillationJob, crops: Path) -> None:
    assert run(job, "--crops", crops).exit_code == 0
    before = contents(job)
    again = run(job, "--crops", crops)
    assert (again.exit_code, "is there already: remove it, or choose another --output" in again.stderr) == (1, True)
    other = run(job, "--crops", crops, "--resume", "--seed", 7)
    assert (other.exit_code, "was not trained to its end by this teacher" in other.stderr) == (1, True)
    assert contents(job) == before


def test_resuming_what_is_finished_says_so_and_trains_nothing(job: DistillationJob, crops: Path) -> None:
    first = run(job, "--crops", crops, "--labels", crops, "--json")
    before = contents(job)
    again = run(job, "--crops", crops, "--labels", crops, "--resume", "--epochs", 4000, "--json")
    assert (again.exit_code, contents(job)) == (0, before)
    assert json.loads(again.stdout) == json.loads(first.stdout) | {"found": True}
    assert f"finished before; to train further, give --init {job.output} and another --output" in again.stderr


def test_weights_of_a_training_that_was_broken_off_and_cannot_go_on_are_not_called_finished(
    job: DistillationJob,
) -> None:
    assert distil(job, should_stop=stop_after(14)).interrupted
    before = contents(job)
    job.checkpoint.unlink()
    with pytest.raises(InvalidInput, match="was not trained to its end"):
        distil(replace(job, resume=True))
    assert contents(job) == before


def test_a_training_is_finished_for_its_crops_alone(job: DistillationJob, crops: Path, tmp_path: Path) -> None:
    distil(job)
    same = shutil.copytree(crops, tmp_path / "moved" / crops.name)
    assert distil(replace(job, resume=True, sources=CropSources(folders=(same,)))).found
    one, another = sorted(same.iterdir())[::30]
    shutil.copyfile(one, another)
    with pytest.raises(InvalidInput, match="was not trained to its end by this teacher, crops and settings"):
        distil(replace(job, resume=True, sources=CropSources(folders=(same,))))


def test_what_lies_there_without_a_card_of_its_own_is_somebody_elses(job: DistillationJob) -> None:
    distil(job)
    job.output.write_bytes(b"other weights")
    with pytest.raises(InvalidInput, match="is there already"):
        distil(replace(job, resume=True))
    assert job.output.read_bytes() == b"other weights"


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("read", ["teacher", "initial"])
def test_what_is_read_is_not_overwritten(read: str, resume: bool, job: DistillationJob, tmp_path: Path) -> None:
    given = tmp_path / "given.safetensors"
    given.write_bytes(b"weights")
    reading: dict[str, Any] = {read: given, "output": tmp_path / "sub" / ".." / given.name, "resume": resume}
    (tmp_path / "sub").mkdir()
    with pytest.raises(InvalidInput, match=r"given\.safetensors is read, and would be overwritten"):
        distil(replace(job, **reading))
    assert given.read_bytes() == b"weights"
    assert not (tmp_path / "given.work").exists()


def test_boxes_of_a_file_tell_where_people_are_in_a_video(job: DistillationJob, crops: Path, tmp_path: Path) -> None:
    yard, boxes = small_sequence(tmp_path / "yard") / "img1", tmp_path / "boxes.txt"
    (tmp_path / "yard/det/det.txt").rename(boxes)
    without = run(job, "--crops", crops, "--video", yard)
    assert (without.exit_code, "or its file of boxes by --detections" in without.stderr) == (1, True)
    result = run(job, "--crops", crops, "--video", yard, "--detections", boxes, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["crops"]["count"] == CROPS + 2


def test_each_video_has_the_boxes_that_are_named_in_its_place(
    job: DistillationJob, crops: Path, tmp_path: Path
) -> None:
    near, far = (small_sequence(tmp_path / name, height=height) for name, height in (("near", 80), ("far", 40)))
    sources = CropSources(
        folders=(crops,),
        videos=(near, far / "img1"),
        detections=(near / "det/det.txt", near / "det/det.txt"),
    )
    assert distil(replace(job, sources=sources)).card.crops["count"] == CROPS + 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--video", "a.mp4", "--video", "b.mp4", "--detections", "a.txt"], "--detections is given 1 times, --video 2"),
        (["--crops", ".", "--detections", "a.txt"], "--detections is given 1 times, --video 0 times"),
        (["--crops", ".", "--detector", "nosuch.onnx"], "--detector can change nothing without --video"),
        (["--crops", ".", "--diverse", "9"], "--diverse can change nothing without --video"),
        (["--video", "a.mp4", "--unreadable", "0.5"], "--unreadable can change nothing without --crops"),
        (
            ["--video", "a.mp4", "--detections", "a.txt", "--detector", "a.onnx"],
            "--detector can change nothing beside --detections",
        ),
        (["--crops", ".", "--trust"], "--trust can change nothing unless --teacher is an artifact"),
    ],
)
def test_options_that_do_not_go_together_are_refused(job: DistillationJob, arguments: list[str], message: str) -> None:
    result = run(job, *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_a_teachers_native_code_from_elsewhere_runs_only_when_trusted(
    job: DistillationJob, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reidkit.runtime.engines.onnxruntime import OnnxRuntimeEngine

    monkeypatch.setattr(OnnxRuntimeEngine, "runs_native_code", True)
    named = ["--teacher", tiny_artifact(tmp_path, vouched=False), "--student", "tiny", "--crops", crops]
    named += ["--output", job.output, "--epochs", 1, "--views", 2]
    refused = CliRunner().invoke(command, [*map(str, named)])
    assert (refused.exit_code, "--trust" in refused.stderr) == (4, True)
    trusted = CliRunner().invoke(command, [*map(str, named), "--trust"])
    assert trusted.exit_code == 0, trusted.output


def test_the_teachers_engine_is_closed_in_the_end(
    job: DistillationJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def remembered(*where: Any, **how: Any) -> Any:
        opened.append(open_artifact(*where, **how))
        return opened[-1]

    open_artifact = teacher.open_artifact
    monkeypatch.setattr(teacher, "open_artifact", remembered)
    distil(replace(job, teacher=tiny_artifact(tmp_path), teacher_preprocessing=None))
    with pytest.raises(EngineFailure, match="tiny is closed"):
        opened[0].embed(np.zeros((1, 3, HEIGHT, WIDTH), np.uint8))


def test_the_command_prints_one_object(job: DistillationJob, crops: Path) -> None:
    answer = run(job, "--crops", crops, "--labels", crops, "--json")
    assert answer.exit_code == 0, answer.output
    report = json.loads(answer.stdout)
    assert report["labelled"]["student"]["queries"] == CROPS
    assert report["files"][0] == str(job.output)
    assert answer.stderr == ""


OWN_BACKBONES = f"""
from dataclasses import replace
from torch import nn
from reidkit.export.backbones import ModelCard
from reidkit.runtime.artifact.preprocessing import parse_preprocessing

its = parse_preprocessing("rgb-imagenet-{HEIGHT}x{WIDTH}")

def build():
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(2), nn.Flatten())

CARDS = (
    ModelCard(
        name="mine",
        family="mine",
        build=build,
        preprocessing=replace(its, dtype="uint8", normalization=replace(its.normalization, where="graph")),
        source="this test",
        terms="none",
    ),
)
"""


def test_the_command_trains_a_backbone_of_one_s_own(
    job: DistillationJob, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reidkit.export.backbones._from_files", {})
    (tmp_path / "mine.py").write_text(OWN_BACKBONES)
    arguments = ["--teacher", job.teacher, "--teacher-preprocessing", job.teacher_preprocessing, "--student", "mine"]
    arguments += ["--crops", crops, "--output", job.output, "--epochs", 1, "--views", 2]
    try:
        answer = CliRunner().invoke(command, [str(part) for part in [*arguments, "--backbones", tmp_path / "mine.py"]])
        assert answer.exit_code == 0, answer.output
        assert "student   mine" in answer.stdout
        assert identify(Checkpoint.read(job.output)).name == "mine"
    finally:
        backbones.cache_clear()
