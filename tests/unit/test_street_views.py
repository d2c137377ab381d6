"""Two views of one street: the same people at the same moments and places, seen otherwise."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from reidkit.calibration.commands.street import street as street_command
from reidkit.calibration.metrics import Gallery, score_retrieval
from reidkit.calibration.street import Street, StreetConfig, StreetFrame, StreetView, write_views
from reidkit.calibration.street.camera import Camera, CameraMotion
from reidkit.calibration.street.overlap import ground_seen
from reidkit.runtime.errors import InvalidInput
from reidkit.runtime.video.mot_files import read_detections, read_tracks
from reidkit.runtime.video.sequence_info import read_sequence_info

SMALL = StreetConfig(seed=4, people=12, frames=24, width=320, height=240, fps=2, views=2)
CROWD = replace(SMALL, seed=8, people=60, look_alikes=5, frames=12, width=240, height=180)
PAN = replace(SMALL, seed=7, camera="pan")

Moment = tuple[StreetFrame, StreetFrame]


@cache
def moments(config: StreetConfig) -> list[Moment]:
    """Both views of each moment."""
    first, second = Street(config).views
    return list(zip(first, second, strict=True))


def on_the_ground(view: StreetView, number: int, frame: StreetFrame) -> dict[int, NDArray[np.float64]]:
    """Where those stand whose boxes lie within the frame, by what the view knows of its camera."""
    boxes, (width, height) = frame.boxes_xyxy, (view.camera.width, view.camera.height)
    is_inside = (boxes[:, :2] > 1).all(axis=1) & (boxes[:, 2] < width - 1) & (boxes[:, 3] < height - 1)
    pixels = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3], np.ones(len(boxes))])
    ground = view.camera_at(number).image_to_ground() @ pixels
    assert (ground[2] > 0).all()
    return dict(zip(frame.ids[is_inside].tolist(), (ground[:2] / ground[2]).T[is_inside], strict=True))


def depth_within(corners: list[tuple[float, float]], x: float, z: float) -> float:
    """How far a place lies within a convex polygon, in metres; negative outside."""
    edges = zip(corners, [*corners[1:], corners[0]], strict=True)
    return float(
        min(((x2 - x1) * (z - z1) - (z2 - z1) * (x - x1)) / np.hypot(x2 - x1, z2 - z1) for (x1, z1), (x2, z2) in edges)
    )


@pytest.mark.parametrize(
    ("camera", "expected"),
    [
        ("still", "fb51ffda589713c8e925a2790ff4292a8dae57dc5697dacd0b39798a6cec799b"),
        ("pan", "cd90ada2d7271bdb4db00aa9d3bc698fde5cf6aa9bc0abe46c03ae8b0113b16b"),
    ],
)
def test_a_seed_gives_the_same_bytes_everywhere(camera: CameraMotion, expected: str) -> None:
    config = StreetConfig(seed=4, people=8, frames=3, width=240, height=180, fps=1, camera=camera, views=2)
    total = hashlib.sha256()
    for frame in Street(config).views[1]:
        arrays = (frame.image, frame.ids, frame.boxes_xyxy, frame.visibility)
        for array in (*arrays, frame.detections.boxes_xyxy, frame.detections.scores):
            total.update(np.ascontiguousarray(array).tobytes())
    assert total.hexdigest() == expected


@pytest.mark.parametrize("config", [SMALL, PAN, CROWD], ids=["still", "pan", "crowd"])
def test_who_is_seen_in_both_views_stands_in_one_place(config: StreetConfig) -> None:
    first, second = Street(config).views
    overlap = ground_seen(first.camera, second.camera)
    apart_m, alone = [], 0
    for number, (one, other) in enumerate(moments(config)):
        here, there = on_the_ground(first, number, one), on_the_ground(second, number, other)
        alone += len(here.keys() ^ there.keys())
        for identity in here.keys() & there.keys():
            apart_m.append(np.linalg.norm(here[identity] - there[identity]))
            if config.camera == "still":
                assert depth_within(overlap, *here[identity]) > -0.4
    assert len(apart_m) > 30  # somebody is in both
    assert alone > 30  # and somebody in one
    assert np.median(apart_m) < 0.12
    assert max(apart_m) < 0.4


def test_people_leave_one_view_and_are_seen_in_the_other() -> None:
    present = np.zeros((2, SMALL.frames, SMALL.people), bool)
    for number, moment in enumerate(moments(SMALL)):
        for view, frame in enumerate(moment):
            present[view, number, frame.ids - 1] = True
    first, second = present
    assert np.count_nonzero(first[:-1] & ~first[1:] & second[1:]) >= 3
    assert np.count_nonzero(second[:-1] & ~second[1:] & first[1:]) >= 3


def test_who_goes_right_in_one_view_goes_left_in_the_other() -> None:
    steps = []
    for moment, later in pairwise(moments(SMALL)):
        middles = [
            dict(zip(frame.ids.tolist(), frame.boxes_xyxy[:, [0, 2]].mean(axis=1), strict=True))
            for frame in (*moment, *later)
        ]
        steps += [
            [middles[2][one] - middles[0][one], middles[3][one] - middles[1][one]]
            for one in set.intersection(*map(set, middles))
        ]
    across = np.array(steps)
    across = across[np.abs(across).min(axis=1) > 5]
    assert len(across) > 20
    assert (across[:, 0] * across[:, 1] < 0).mean() > 0.8


def test_the_second_camera_renders_the_same_clothes_cooler() -> None:
    """By the middle of the boxes of those who are hardly hidden."""
    colors: tuple[list[NDArray[np.float64]], ...] = ([], [])
    for moment in moments(SMALL):
        for view, frame in enumerate(moment):
            for x1, y1, x2, y2 in frame.boxes_xyxy[frame.visibility > 0.9].astype(int):
                body = frame.image[(2 * y1 + y2) // 3 : (y1 + y2) // 2, (3 * x1 + 2 * x2) // 5 : (2 * x1 + 3 * x2) // 5]
                colors[view].append(body.mean(axis=(0, 1)))
    blue_for_red = [np.mean(rows, axis=0)[0] / np.mean(rows, axis=0)[2] for rows in colors]
    assert blue_for_red[1] > 1.15 * blue_for_red[0]


def test_the_detector_errs_in_each_view_for_itself() -> None:
    errors = []
    for moment in moments(CROWD):
        of_view = []
        for frame in moment:
            found = frame.detections.boxes_xyxy
            apart = np.abs(frame.boxes_xyxy[:, None] - found).max(axis=2)
            size = frame.boxes_xyxy[:, 3] - frame.boxes_xyxy[:, 1]
            error = (found[apart.argmin(axis=1), 3] - frame.boxes_xyxy[:, 3]) / size
            sure = (frame.visibility > 0.7) & (apart.min(axis=1) < 0.15 * size)
            of_view.append(dict(zip(frame.ids[sure].tolist(), error[sure].tolist(), strict=True)))
        errors += [[of_view[0][one], of_view[1][one]] for one in of_view[0].keys() & of_view[1].keys()]
    assert len(errors) > 50
    assert abs(np.corrcoef(np.array(errors).T)[0, 1]) < 0.3


def test_another_view_changes_neither_people_nor_the_views_before_it() -> None:
    one, two = Street(replace(SMALL, views=1)), Street(SMALL)
    assert one.figures == two.figures
    assert [view.name for view in two.views] == ["view1", "view2"]
    np.testing.assert_array_equal(next(iter(two)).image, next(iter(two.views[0])).image)
    assert one.views[0].camera == two.views[0].camera


@pytest.mark.parametrize("size", [(640, 480), (480, 160), (64, 192)], ids=str)
def test_the_ground_that_views_share_is_what_both_pictures_show(size: tuple[int, int]) -> None:
    cameras = Camera.facing_street(*size), Camera.from_opposite(*size)
    overlap, each = ground_seen(*cameras), [ground_seen(camera) for camera in cameras]
    x, z = (grid.ravel() for grid in np.meshgrid(np.arange(-30, 12, 0.7), np.arange(6.7, 15.9, 0.7)))
    shown = []
    for camera in cameras:
        pixels = camera.project(x, z)
        shown.append((pixels.x > 0) & (pixels.x < camera.width) & (pixels.y < camera.height))
    for corners, expected in ((overlap, shown[0] & shown[1]), (each[0], shown[0]), (each[1], shown[1])):
        assert expected.any()
        inside = [depth_within(corners, *place) > 0 for place in zip(x.tolist(), z.tolist(), strict=True)]
        np.testing.assert_array_equal(inside, expected)


def test_what_is_known_of_the_views_is_written_beside_them(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="needs the extra 'video'")
    config = replace(PAN, frames=6)
    street, told = Street(config), list[int]()
    written = write_views(street, tmp_path / "street", images=True, on_frame=told.append)
    known = json.loads(written.views_file.read_text())
    folder = written.views_file.parent
    assert sorted(path.name for path in folder.iterdir()) == ["view1", "view2", "views.json"]
    assert told == [*range(1, 7), *range(1, 7)]
    sightings = []
    for view, told_view, sequence in zip(street.views, known["views"], written.sequences, strict=True):
        assert folder / told_view["input"] == sequence.input
        assert read_sequence_info(folder / told_view["name"] / "seqinfo.ini").frame_rate == told_view["frame_rate"]
        assert sum(map(len, read_detections(folder / told_view["detections"]).values())) == sequence.detections
        truth = read_tracks(folder / told_view["gt"])
        frames = list(view)
        np.testing.assert_array_equal(truth.ids, np.concatenate([frame.ids for frame in frames]))
        for number, matrix in enumerate(told_view["image_to_ground"]):
            np.testing.assert_allclose(matrix, view.camera_at(number).image_to_ground(), atol=1e-9)
        assert len(told_view["image_to_ground"]) == config.frames
        sightings.append(set(zip(truth.frames.tolist(), truth.ids.tolist(), strict=True)))
    (overlap,) = known["overlaps"]
    assert overlap == written.overlaps[0]
    assert overlap["views"] == ["view1", "view2"]
    first, second = sightings
    assert overlap["share"] == pytest.approx(len(first & second) / len(first | second), abs=1e-4)
    assert overlap["share"] > 0
    assert overlap["identities"] == len({one for _, one in first} & {one for _, one in second}) > 0


def test_views_appear_together_or_not_at_all(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="needs the extra 'video'")
    told: list[int] = []

    def fail_in_the_second_view(number: int) -> None:
        told.append(number)
        if len(told) == 3:
            raise RuntimeError("pulled the plug")

    street = Street(replace(SMALL, frames=2, width=64, height=64))
    with pytest.raises(RuntimeError, match="plug"):
        write_views(street, tmp_path / "street", images=True, on_frame=fail_in_the_second_view)
    assert list(tmp_path.iterdir()) == []


def test_three_views_are_refused() -> None:
    with pytest.raises(InvalidInput, match="views is 3: choose between 1 and 2"):
        replace(SMALL, views=3)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(street_command, [str(argument) for argument in arguments])


def test_the_command_writes_two_views_and_says_where(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="needs the extra 'video'")
    options = ("--output", tmp_path, "--frames", 2, "--size", "128x96", "--people", 6, "--views", 2)
    result = run(*options, "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert Path(report["views_file"]) == tmp_path / "street-0" / "views.json"
    assert report["overlaps"] == json.loads(Path(report["views_file"]).read_text())["overlaps"]
    assert [Path(view["gt"]).parts[-3] for view in report["views"]] == ["view1", "view2"]
    assert all(Path(view[key]).is_file() for view in report["views"] for key in ("input", "detections", "gt"))
    result = run(*options, "--name", "again")
    assert result.exit_code == 0
    assert "of sightings are in view1 and view2 at once" in result.stdout
    assert run(*options[:-1], 3).exit_code == 2


@pytest.mark.slow
def test_a_trained_network_knows_people_again_across_the_street_but_not_all(shared_data: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra 'onnxruntime'")
    cv2 = pytest.importorskip("cv2", reason="needs the extra 'video'")
    session = onnxruntime.InferenceSession(shared_data / "reid_weights" / "osnet_x0_25_msmt17.onnx")
    crops, identities, cameras = [], [], []
    for moment in moments(StreetConfig(seed=0, people=20, frames=24, fps=1, views=2)):
        for camera, frame in enumerate(moment, 1):
            for row in np.flatnonzero(frame.visibility > 0.7):
                x1, y1, x2, y2 = np.clip(frame.boxes_xyxy[row], 0, (640, 480, 640, 480)).astype(int)
                crops.append(cv2.resize(frame.image[y1:y2, x1:x2, ::-1], (128, 256)))
                identities.append(frame.ids[row])
                cameras.append(camera)
    pixels = (np.stack(crops) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    batches = np.array_split(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32), 20)
    embeddings = np.concatenate([session.run(None, {"images": batch})[0] for batch in batches])
    gallery = Gallery(
        tuple(Path(f"{row:04d}.jpg") for row in range(len(crops))), np.array(identities), np.array(cameras)
    )
    scores = score_retrieval(gallery, embeddings)
    assert scores.queries > 20
    assert 0.3 < scores.mean_average_precision < 0.95
    assert scores.rank(5) > 0.6
