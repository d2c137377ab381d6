"""`reidkit cameras`: several recordings in, one id for a person in all of them out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

pytest.importorskip("av", reason="needs the extra 'video'")
pytest.importorskip("onnxruntime", reason="needs the extra 'onnxruntime'")

from reidkit.calibration.street.overlap import write_views
from reidkit.calibration.street.street import Street, StreetConfig
from reidkit.runtime.commands.cameras import cameras
from reidkit.runtime.video.mot_files import read_tracks


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


def test_the_same_recordings_give_the_same_ids(views: Path, artifact: Path, tmp_path: Path) -> None:
    texts = []
    for name in ("a", "b"):
        assert run(views, artifact, tmp_path / name).exit_code == 0
        texts.append([(tmp_path / name / str(camera) / "tracks.txt").read_text() for camera in (0, 1)])
    assert texts[0] == texts[1]


def test_two_cameras_that_cannot_meet_share_nobody(views: Path, artifact: Path, tmp_path: Path) -> None:
    apart = tmp_path / "apart.yaml"
    apart.write_text("passages:\n- {cameras: [0, 7]}\n")
    result = run(views, artifact, tmp_path / "out", "--across", apart, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["joined"] == 0
    ids = [set(read_tracks(tmp_path / "out" / str(camera) / "tracks.txt").ids.tolist()) for camera in (0, 1)]
    assert not ids[0] & ids[1]


def test_a_single_camera_is_refused(views: Path, artifact: Path, tmp_path: Path) -> None:
    words = ["--input", views / "view1", "--detections", views / "view1/det/det.txt", "--reid", artifact]
    result = CliRunner().invoke(cameras, [str(word) for word in [*words, "--output", tmp_path / "out"]])
    assert result.exit_code == 1
    assert "reid-track" in result.output
