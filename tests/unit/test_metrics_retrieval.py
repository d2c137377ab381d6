"""Retrieval scores: the protocol on a handful of crops, and the known figures of real weights on real crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from reidkit.calibration.metrics import Gallery, read_gallery, score_retrieval
from reidkit.runtime.errors import InvalidFile, InvalidInput


def gallery(*labels: tuple[int, int]) -> Gallery:
    """Crops of (identity, camera)."""
    identities, cameras = np.array(labels).T
    return Gallery(tuple(Path(f"{row}.jpg") for row in range(len(labels))), identities, cameras)


def directions(*degrees: float) -> NDArray[np.float64]:
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


def test_names_tell_who_and_where(tmp_path: Path) -> None:
    for name in ("0002_c1s1_000451_03.jpg", "-1_c2s3_000100_00.JPG", "0000_c6s1_1_1.png", "notes.txt"):
        (tmp_path / name).touch()
    crops = read_gallery(tmp_path)
    assert [path.name for path in crops.paths] == [
        "-1_c2s3_000100_00.JPG",
        "0000_c6s1_1_1.png",
        "0002_c1s1_000451_03.jpg",
    ]
    assert crops.identities.tolist() == [-1, 0, 2]
    assert crops.cameras.tolist() == [2, 6, 1]


def test_a_name_that_tells_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "portrait.jpg").touch()
    with pytest.raises(InvalidFile, match="portrait"):
        read_gallery(tmp_path)


def test_a_folder_without_crops_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="holds no"):
        read_gallery(tmp_path)
    with pytest.raises(InvalidFile, match="not a folder"):
        read_gallery(tmp_path / "nowhere")


def test_each_person_asks_once_per_camera() -> None:
    assert gallery((3, 1), (3, 1), (3, 2), (-1, 1), (0, 1), (1, 2)).queries().tolist() == [0, 2, 5]


def test_average_precision_by_hand() -> None:
    crops = gallery((1, 1), (2, 3), (1, 2), (2, 3), (1, 3))
    scores = score_retrieval(crops, directions(0, 5, 10, 15, 20))
    # 0 finds ranks 2 and 4; 2 finds ranks 3 and 4; 4 finds 2 and 4; person 2 has one camera.
    first, second, third = (1 / 2 + 2 / 4) / 2, (1 / 3 + 2 / 4) / 2, (1 / 2 + 2 / 4) / 2
    assert scores.queries == 3
    assert scores.mean_average_precision == pytest.approx((first + second + third) / 3)
    assert [scores.rank(k) for k in (1, 2, 3)] == pytest.approx([0, 2 / 3, 1])


def test_the_same_camera_and_junk_are_left_out_and_background_is_not() -> None:
    crops = gallery((1, 1), (1, 1), (-1, 2), (0, 2), (1, 2))
    scores = score_retrieval(crops, directions(0, 1, 2, 3, 9))
    assert scores.mean_average_precision == pytest.approx((1 / 2 + (1 / 2 + 2 / 3) / 2) / 2)


def test_the_length_of_an_embedding_does_not_matter() -> None:
    crops = gallery((1, 1), (2, 3), (1, 2), (2, 2))
    embeddings = directions(0, 5, 10, 15)
    scaled = score_retrieval(crops, embeddings * [[1], [2], [30], [0.1]])
    assert scaled.mean_average_precision == score_retrieval(crops, embeddings).mean_average_precision


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_an_embedding_without_direction_is_refused(value: float) -> None:
    embeddings = directions(0, 5)
    embeddings[1] = value
    with pytest.raises(InvalidInput, match=r"1\.jpg"):
        score_retrieval(gallery((1, 1), (1, 2)), embeddings)


def test_a_row_for_each_crop_is_needed() -> None:
    with pytest.raises(InvalidInput, match="2 crops"):
        score_retrieval(gallery((1, 1), (1, 2)), directions(0))


def test_people_seen_by_one_camera_alone_cannot_be_judged() -> None:
    with pytest.raises(InvalidInput, match="another camera"):
        score_retrieval(gallery((1, 1), (1, 1)), directions(0, 5))


@pytest.mark.slow
def test_real_weights_reach_their_known_figures(shared_data: Path) -> None:
    crops = read_gallery(shared_data / "reid_crops" / "market_eval")
    embeddings = embed(crops.paths, shared_data / "reid_weights" / "osnet_x0_25_msmt17.onnx")
    everybody = score_retrieval(crops, embeddings)
    assert 100 * everybody.mean_average_precision == pytest.approx(42.3, abs=0.05)
    assert 100 * everybody.rank(1) == pytest.approx(65.8, abs=0.05)

    chosen = np.flatnonzero(np.isin(crops.identities, np.unique(crops.identities)[:100]))
    first_hundred = Gallery(tuple(crops.paths[row] for row in chosen), crops.identities[chosen], crops.cameras[chosen])
    scores = score_retrieval(first_hundred, embeddings[chosen])
    assert 100 * scores.mean_average_precision == pytest.approx(49.5, abs=0.05)
    assert 100 * scores.rank(1) == pytest.approx(70.3, abs=0.05)


def embed(paths: tuple[Path, ...], model: Path) -> NDArray[np.float32]:
    """Embeddings by plain OpenCV and ONNX Runtime: bilinear to 256x128, RGB, /255, ImageNet's mean and deviation."""
    cv2 = pytest.importorskip("cv2")
    session = pytest.importorskip("onnxruntime").InferenceSession(model, providers=["CPUExecutionProvider"])
    mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    parts = []
    for start in range(0, len(paths), 16):
        crops = [cv2.resize(cv2.imread(str(path))[..., ::-1], (128, 256)) for path in paths[start : start + 16]]
        batch = (np.float32(crops) / 255 - mean) / deviation
        parts.append(session.run(None, {"images": np.ascontiguousarray(batch.transpose(0, 3, 1, 2))})[0])
    return np.concatenate(parts)
