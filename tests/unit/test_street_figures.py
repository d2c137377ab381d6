"""Rendered pedestrians: the same for a seed, different from each other, and told apart by a real network."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from reidkit.calibration.street import render_crops
from reidkit.calibration.street.crops import figure_of, random_view, render


def test_crops_have_the_shape_that_was_asked_for() -> None:
    for height, width in ((256, 128), (128, 64), (384, 128), (224, 224), (32, 16)):
        crops = render_crops(2, seed=0, height=height, width=width)
        assert (crops.shape, crops.dtype, crops.flags.c_contiguous) == ((2, height, width, 3), np.uint8, True)
    assert render_crops(0, seed=0).shape == (0, 256, 128, 3)


def test_a_seed_gives_the_same_bytes_everywhere() -> None:
    digest = hashlib.sha256(render_crops(4, seed=0).tobytes()).hexdigest()
    assert digest == "4a323d855ebb39f2b942f1905ad8ba3f78d9a688f993cd2283df93684850884d"


def test_the_first_of_many_are_those_of_few() -> None:
    np.testing.assert_array_equal(render_crops(5, seed=3)[:2], render_crops(2, seed=3))


def test_seeds_and_people_differ() -> None:
    crops = np.concatenate([render_crops(4, seed=0), render_crops(4, seed=1)]).astype(np.float64)
    apart = np.abs(crops[:, None] - crops[None]).mean(axis=(2, 3, 4)) + 255 * np.eye(8)
    assert apart.min() > 10


def test_crops_are_structured_and_use_the_range() -> None:
    crops = render_crops(16, seed=2).astype(np.float64)
    assert crops.std(axis=(1, 2, 3)).min() > 15
    neighbours = np.abs(np.diff(crops, axis=1)).mean()
    assert neighbours < 12  # noise differs by 85 from row to row


def test_a_real_network_finds_the_same_person_in_another_view(shared_data: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra 'onnxruntime'")
    session = onnxruntime.InferenceSession(shared_data / "reid_weights" / "osnet_x0_25_msmt17.onnx")
    people, views = 24, 3
    crops = []
    for index in range(people):
        figure, rng = figure_of(7, index)
        crops += [render(figure, random_view(rng)) for _ in range(views)]
    pixels = (np.stack(crops) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    batch = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32)
    embeddings = session.run(None, {"images": batch})[0]
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosine, person = embeddings @ embeddings.T, np.repeat(np.arange(people), views)
    same = (person[:, None] == person) & ~np.eye(len(person), dtype=bool)
    others = person[:, None] != person
    assert np.median(cosine[same]) > np.median(cosine[others]) + 0.25
    assert np.quantile(cosine[same], 0.1) > np.quantile(cosine[others], 0.9)
    nearest = np.where(np.eye(len(person), dtype=bool), -1, cosine).argmax(axis=1)
    assert (person[nearest] == person).mean() > 0.9
