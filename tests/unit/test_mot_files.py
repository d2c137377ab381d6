"""MOTChallenge files: what is read, what is written, and what is refused by name and line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reidkit.runtime.errors import InvalidFile
from reidkit.runtime.video.mot_files import TracksWriter, read_detections, read_tracks

GOOD = "1,-1,10,20,30,40,0.9,-1,-1,-1"


def file_of(tmp_path: Path, *lines: str, ending: str = "\n") -> Path:
    path = tmp_path / "det.txt"
    path.write_bytes(ending.join(lines).encode())
    return path


def test_detections_come_by_frame_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = file_of(tmp_path, "3,-1,1.5,2,10,20,0.25,-1,-1,-1", "1,-1,0,0,5,5,1,-1,-1,-1", "3,-1,-4,7,3,3,0.5,-1,-1,-1")
    detections = read_detections(path)
    assert list(detections) == [1, 3]
    assert detections[3].boxes_xyxy.tolist() == [[1.5, 2, 11.5, 22], [-4, 7, -1, 10]]
    assert detections[3].scores.tolist() == [0.25, 0.5]
    assert detections[3].classes.tolist() == [0, 0]
    assert detections[1].boxes_xyxy.dtype == np.float64
    assert detections[1].classes.dtype == np.int64


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\n\n", " \n"])
def test_line_ends_blank_lines_and_a_byte_order_mark_do_not_matter(tmp_path: Path, ending: str) -> None:
    path = file_of(tmp_path, f"﻿{GOOD}", GOOD.replace("1", "2", 1), "", ending=ending)
    assert list(read_detections(path)) == [1, 2]


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    path = file_of(tmp_path, "", " ")
    assert read_detections(path) == {}
    assert len(read_tracks(path)) == 0
    assert read_tracks(path).boxes_xywh.shape == (0, 4)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2,-1,10,20,thirty,40,0.9,-1,-1,-1", "not numbers"),
        ("2 -1 10 20 30 40 0.9 -1 -1 -1", "not numbers"),
        ("2,-1,10,20,30,40", "6 values where 10 are expected"),
        (f"{GOOD},", "not numbers"),
        ("2,-1,10,20,30,40,0.9", "7 values where 10 are expected"),
        ("# a remark", "not numbers"),
        ("2,-1,nan,20,30,40,0.9,-1,-1,-1", "not finite"),
        ("2,-1,10,20,inf,40,0.9,-1,-1,-1", "not finite"),
        ("inf,-1,10,20,30,40,0.9,-1,-1,-1", "not finite"),
        ("2,-1,10,20,30,40,nan,-1,-1,-1", "not finite"),
        ("0,-1,10,20,30,40,0.9,-1,-1,-1", "whole number from 1"),
        ("1.5,-1,10,20,30,40,0.9,-1,-1,-1", "whole number from 1"),
        ("1e300,-1,10,20,30,40,0.9,-1,-1,-1", "whole number from 1"),
        ("2,0.5,10,20,30,40,0.9,-1,-1,-1", "id is not a whole number"),
        ("2,-1,10,20,0,40,0.9,-1,-1,-1", "must be positive"),
        ("2,-1,10,20,30,-40,0.9,-1,-1,-1", "must be positive"),
        ("2,-1,10,20,30,1e-9,0.9,-1,-1,-1", "smaller than"),
        ("2,-1,1e30,20,30,40,0.9,-1,-1,-1", "reaches beyond"),
        ("2,-1,10,20,30,40,37.5,-1,-1,-1", "confidence is not within 0 and 1"),
        ("2,-1,10,20,30,40,-0.1,-1,-1,-1", "confidence is not within 0 and 1"),
    ],
)
def test_a_bad_line_is_named_with_its_number_its_text_and_the_reason(tmp_path: Path, line: str, reason: str) -> None:
    path = file_of(tmp_path, GOOD, "", line, line)
    with pytest.raises(InvalidFile, match=reason) as caught:
        read_detections(path)
    assert f"{path}:3: " in str(caught.value)
    assert line in str(caught.value)


@pytest.mark.parametrize("read", [read_detections, read_tracks])
def test_what_is_no_text_or_not_there_is_refused(tmp_path: Path, read: type) -> None:
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 10)
    for path in (tmp_path / "binary", tmp_path / "nowhere", tmp_path):
        with pytest.raises(InvalidFile, match=path.name):
            read(path)


def test_a_file_with_too_few_columns_throughout_is_refused_at_its_first_line(tmp_path: Path) -> None:
    path = file_of(tmp_path, "1,2,3", "1,2,3")
    with pytest.raises(InvalidFile, match=r"det\.txt:1: 3 values where 7 are expected"):
        read_detections(path)


def test_classes_and_visibility_are_read_where_the_format_has_them(tmp_path: Path) -> None:
    mot17 = read_tracks(file_of(tmp_path, "1,7,10,20,30,40,0,8,0.25", "2,7,10,20,30,40,1,1,1"))
    assert mot17.classes.tolist() == [8, 1]
    assert mot17.visibility.tolist() == [0.25, 1]
    assert mot17.scores.tolist() == [0, 1]
    mot15 = read_tracks(file_of(tmp_path, "1,7,10,20,30,40,1,-4.15,-7.4,0"))
    assert mot15.classes.tolist() == [-1]
    assert mot15.visibility.tolist() == [1]
    short = read_tracks(file_of(tmp_path, "1,7,10,20,30,40,1"))
    assert short.classes.tolist() == [-1]


def test_an_id_twice_in_a_frame_is_refused(tmp_path: Path) -> None:
    path = file_of(tmp_path, GOOD, "2,-1,1,1,2,2,1,-1,-1,-1", "1,-1,5,5,5,5,1,-1,-1,-1")
    with pytest.raises(InvalidFile, match=r"det\.txt:3: id -1 stands twice in frame 1.*not of detections"):
        read_tracks(path)


def test_written_tracks_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "tracks.txt"
    boxes = np.array([[-3.25, 4.5, 100.125, 200.75], [1234.567, 0.5, 1300.0, 90.0]])
    with TracksWriter.open(path) as writer:
        writer.write(1, np.array([4, 9]), boxes, np.array([0.875, 1.0]))
        writer.write(2, np.empty(0, dtype=np.int64), np.empty((0, 4)), np.empty(0))
        writer.write(3, np.array([4]), boxes[:1], np.array([0.5]))
        assert not path.exists()
    assert path.read_text().splitlines()[0] == "1,4,-3.25,4.5,103.375,196.25,0.875,-1,-1,-1"
    table = read_tracks(path)
    assert table.frames.tolist() == [1, 1, 3]
    assert table.ids.tolist() == [4, 9, 4]
    np.testing.assert_allclose(table.boxes_xywh[:2, 2:], boxes[:, 2:] - boxes[:, :2], rtol=1e-6)


def test_an_aborted_run_leaves_neither_tracks_nor_a_temporary(tmp_path: Path) -> None:
    (tmp_path / "tracks.txt").write_text("of an earlier run")
    with pytest.raises(ValueError, match="shorter"), TracksWriter.open(tmp_path / "tracks.txt") as writer:
        writer.write(1, np.array([1, 2]), np.array([[0.0, 0.0, 1.0, 1.0]]), np.array([1.0]))
    assert [path.name for path in tmp_path.iterdir()] == ["tracks.txt"]
    assert (tmp_path / "tracks.txt").read_text() == "of an earlier run"


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="cannot write"), TracksWriter.open(tmp_path / "nowhere" / "tracks.txt"):
        pass


def test_real_files_are_read_whole(shared_data: Path) -> None:
    for path in sorted(shared_data.glob("mot/*/*/gt/gt.txt")):
        assert len(read_tracks(path)) == len(path.read_text().splitlines())
    detections = read_detections(shared_data / "mot/MOT15/PETS09-S2L1/det/det.txt")
    assert sum(map(len, detections.values())) == 4359
