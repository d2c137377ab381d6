"""What every detector keeps, over whatever discovery finds."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from reidkit.runtime import detectors
from reidkit.runtime.detectors import open_detector
from reidkit.runtime.discovery import plugins
from reidkit.runtime.errors import InvalidFile

pytest.importorskip("onnxruntime", reason="detectors run in ONNX Runtime or OpenVINO")

KINDS = plugins(detectors.__name__, "DETECTOR", group="reidkit.detectors", besides=detectors._SHARED_FILES)


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def kind(request: pytest.FixtureRequest) -> EntryPoint:
    return request.param


def test_yolox_is_found_by_its_file() -> None:
    assert "yolox" in KINDS


@pytest.mark.parametrize("content", [b"", b"no network\n" * 20, bytes(range(256)) * 20], ids=["empty", "text", "noise"])
def test_what_is_no_network_is_refused_by_name(kind: EntryPoint, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "detector.onnx"
    path.write_bytes(content)
    with pytest.raises(InvalidFile, match=r"detector\.onnx"):
        kind.load()(path, threads=1)
    with pytest.raises(InvalidFile, match=r"detector\.onnx"):
        open_detector(path)


def test_a_reidentification_network_is_no_detector(kind: EntryPoint, shared_data: Path) -> None:
    with pytest.raises(InvalidFile, match="osnet"):
        kind.load()(shared_data / "reid_weights/osnet_x0_25_msmt17.onnx", threads=1)


@pytest.mark.parametrize("name", ["nowhere.onnx", ""])
def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidFile, match="there is no detector file"):
        open_detector(tmp_path / name)


def test_detections_are_boxes_of_people_best_first(shared_data: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    frame = cv2.imread(str(shared_data / "mot/MOT17-mini/MOT17-02-FRCNN/img1/000001.jpg"))
    untouched = frame.copy()
    detector = open_detector(shared_data / "detectors/yolox_nano_416.onnx", threads=1)
    found = detector.detect(frame)
    again = detector.detect(frame)
    detector.close()
    assert len(found) > 3
    assert (found.boxes_xyxy[:, 2:] > found.boxes_xyxy[:, :2]).all()
    assert ((found.scores > 0) & (found.scores <= 1)).all()
    assert (np.diff(found.scores) <= 0).all()
    assert (found.classes == 0).all()
    np.testing.assert_array_equal(found.boxes_xyxy, again.boxes_xyxy)
    np.testing.assert_array_equal(frame, untouched)
