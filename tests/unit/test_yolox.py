"""YOLOX: decoding, suppression and letterbox on graphs whose answer is known, accuracy on a real sequence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from reidkit.runtime.detectors import Detections, network, open_detector
from reidkit.runtime.detectors.suppression import suppress
from reidkit.runtime.detectors.yolox import YoloX
from reidkit.runtime.errors import EngineFailure, InvalidFile, InvalidInput, MissingDependency
from reidkit.runtime.video.mot_files import MotTable, read_tracks

onnx = pytest.importorskip("onnx", reason="small detectors are built from ONNX: install the extra 'export'")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

SIZE = 64
CELLS = 8 * 8 + 4 * 4 + 2 * 2
LIBRARIES = ["onnxruntime", "openvino"]


def saved(path: Path, answer: NDArray[np.float32], *, size: int = SIZE) -> Path:
    """A network that gives `answer` to every picture; it looks at the picture all the same."""
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["answer", "nothing"], ["output"]),
    ]
    constants = {"answer": answer[None], "zero": np.zeros(1, np.float32)}
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, size, size])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, *answer.shape])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def silence() -> NDArray[np.float32]:
    """(cells, 5 + 3 classes): nothing anywhere."""
    return np.zeros((CELLS, 8), np.float32)


def person(cell: int, *, offset: tuple[float, float], size: tuple[float, float], score: float) -> NDArray[np.float32]:
    answer = silence()
    answer[cell] = [*offset, *np.log(size), score, 1.0, 0, 0]
    return answer


def grey(height: int, width: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), 90, np.uint8)


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Only that inference library is found."""
    pytest.importorskip(request.param)
    monkeypatch.setattr(network, "find_spec", lambda name: name == request.param or None)
    return request.param


def test_a_cells_answer_becomes_a_box_in_the_frame(tmp_path: Path, library: str) -> None:
    # Cell (row 2, column 3) of stride 16: centre ((3 + 0.5) * 16, (2 + 0.25) * 16), size (1 * 16, 2 * 16).
    path = saved(tmp_path / "y.onnx", person(64 + 2 * 4 + 3, offset=(0.5, 0.25), size=(1, 2), score=0.75))
    detector = YoloX(path, threads=1)
    assert detector.library == library
    found = detector.detect(grey(128, 96))  # scaled by 1/2 to 64 x 48
    np.testing.assert_allclose(found.boxes_xyxy, [[96, 40, 128, 104]], rtol=1e-6)
    np.testing.assert_allclose(found.scores, [0.75])
    assert found.classes.tolist() == [0]
    assert (found.boxes_xyxy.dtype, found.scores.dtype, found.classes.dtype) == (np.float64, np.float64, np.int64)
    detector.close()


def test_a_file_that_decodes_itself_gives_the_same(tmp_path: Path) -> None:
    answer = silence()
    answer[:, :4] = [32, 60, 4, 4]
    answer[10] = [56, 36, 16, 32, 0.75, 1, 0, 0]
    found = YoloX(saved(tmp_path / "y.onnx", answer)).detect(grey(128, 96))
    np.testing.assert_allclose(found.boxes_xyxy, [[96, 40, 128, 104]], rtol=1e-6)


def test_only_people_above_the_floor_are_reported_best_first(tmp_path: Path) -> None:
    answer = silence()
    answer[:5, :4] = [0.5, 0.5, np.log(0.5), np.log(0.5)]
    answer[0, 4:] = [0.4, 1, 0, 0]
    answer[1, 4:] = [0.9, 0, 1, 0]  # another class
    answer[2, 4:] = [0.8, 0.5, 0.6, 0]  # rather another class
    answer[3, 4:] = [0.9, 0.9, 0, 0]
    answer[4, 4:] = [0.05, 0.1, 0, 0]
    path = saved(tmp_path / "y.onnx", answer)
    np.testing.assert_allclose(YoloX(path).detect(grey(64, 64)).scores, [0.81, 0.4])
    both = YoloX(path, classes=(0, 1)).detect(grey(64, 64))
    assert both.classes.tolist() == [1, 0, 1, 0]
    np.testing.assert_allclose(YoloX(path, min_score=0.5).detect(grey(64, 64)).scores, [0.81])
    with pytest.raises(InvalidFile, match="knows 3 classes and class 3"):
        YoloX(path, classes=(3,))


def test_nobody_is_an_empty_answer(tmp_path: Path) -> None:
    found = YoloX(saved(tmp_path / "y.onnx", silence())).detect(grey(64, 64))
    assert len(found) == 0
    assert found.boxes_xyxy.shape == (0, 4)


def test_the_picture_is_scaled_to_fit_the_upper_left_corner_on_grey(tmp_path: Path) -> None:
    detector = YoloX(saved(tmp_path / "y.onnx", silence()))
    frame = np.random.default_rng(0).integers(0, 256, (40, 100, 3), dtype=np.uint8)
    picture, scale = detector._letterbox(frame)
    assert scale == 0.64
    assert (picture[0, :, 25:] == 114).all()
    cv2 = pytest.importorskip("cv2")
    expected = cv2.resize(frame, (64, 25)).transpose(2, 0, 1)
    assert np.abs(picture[0, :, :25] - expected).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (3, 4000), (4000, 3)])
def test_frames_of_odd_proportions_are_looked_at(tmp_path: Path, size: tuple[int, int]) -> None:
    detector = YoloX(saved(tmp_path / "y.onnx", silence()))
    assert len(detector.detect(grey(*size))) == 0


@pytest.mark.parametrize(
    "frame",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)],
    ids=["grey", "float", "empty"],
)
def test_what_is_no_frame_is_refused(tmp_path: Path, frame: NDArray[np.uint8]) -> None:
    with pytest.raises(InvalidInput, match="frame"):
        YoloX(saved(tmp_path / "y.onnx", silence())).detect(frame)


def test_a_network_of_another_kind_is_refused(tmp_path: Path, library: str) -> None:
    with pytest.raises(InvalidFile, match=r"other\.onnx answers"):
        YoloX(saved(tmp_path / "other.onnx", np.zeros((10, 8), np.float32)))
    with pytest.raises(InvalidFile, match=r"other\.onnx takes .*multiples of 32"):
        YoloX(saved(tmp_path / "other.onnx", silence(), size=60))


def test_a_damaged_file_is_refused(tmp_path: Path, library: str) -> None:
    whole = saved(tmp_path / "y.onnx", silence()).read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.onnx").write_text("no network")
    for name in ("cut.onnx", "text.onnx"):
        with pytest.raises(InvalidFile, match=name):
            YoloX(tmp_path / name)


def test_a_network_that_answers_nan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineFailure, match="NaN"):
        YoloX(saved(tmp_path / "y.onnx", silence() * np.nan))


def test_without_an_inference_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "y.onnx", silence())
    monkeypatch.setattr(network, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"reidkit\[onnxruntime\]"):
        YoloX(path)


def test_suppression_keeps_the_best_of_each_class_and_place() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10], [50, 0, 60, 10], [5, 0, 15, 10]], float)
    scores = np.array([0.5, 0.9, 0.7, 0.1, 0.6])
    classes = np.array([0, 0, 1, 0, 0])
    assert suppress(boxes, scores, classes, max_iou=0.4).tolist() == [1, 2, 3]
    assert suppress(boxes, scores, classes, max_iou=0.5).tolist() == [1, 2, 4, 3]
    assert suppress(boxes[:0], scores[:0], classes[:0], max_iou=0.5).tolist() == []


def test_of_equal_scores_the_first_row_wins() -> None:
    boxes = np.tile(np.array([[0.0, 0, 10, 10]]), (3, 1))
    assert suppress(boxes, np.full(3, 0.5), np.zeros(3, np.int64), max_iou=0.45).tolist() == [0]


def test_people_on_a_real_sequence_are_found(shared_data: Path, library: str) -> None:
    av = pytest.importorskip("av")
    truth = read_tracks(shared_data / "mot/MOT15/PETS09-S2L1/gt/gt.txt")
    found = {}
    detector = open_detector(shared_data / "detectors/yolox_nano_416.onnx", threads=1)
    with av.open(str(shared_data / "videos/vtest.avi")) as video:
        for index, picture in enumerate(video.decode(video=0), 1):
            if index % 10 == 1:
                found[index] = detector.detect(picture.to_ndarray(format="bgr24"))
    detector.close()
    assert average_precision(found, truth) >= 0.88


def average_precision(found: dict[int, Detections], truth: MotTable) -> float:
    """Area under precision over recall at IoU 0.5; boxes to be ignored count neither way."""
    hits: list[tuple[float, bool]] = []
    people = 0
    for index, detections in found.items():
        rows = truth.frames == index
        counts = truth.scores[rows] > 0
        people += int(counts.sum())
        x, y, width, height = truth.boxes_xywh[rows].T
        free = np.ones(len(x), bool)
        for (x1, y1, x2, y2), score in zip(detections.boxes_xyxy, detections.scores, strict=True):
            overlap = np.maximum(np.minimum(x2, x + width) - np.maximum(x1, x), 0)
            overlap *= np.maximum(np.minimum(y2, y + height) - np.maximum(y1, y), 0)
            iou = np.where(free, overlap / ((x2 - x1) * (y2 - y1) + width * height - overlap), 0)
            best = int(iou.argmax())
            if iou[best] >= 0.5:
                free[best] = False
                if not counts[best]:
                    continue
            hits.append((float(score), bool(iou[best] >= 0.5)))
    right = np.array([hit for _, hit in sorted(hits, key=lambda hit: -hit[0])])
    precision = right.cumsum() / np.arange(1, len(right) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float((precision * right).sum() / people)
