"""What `EngineBase` adds to a library: seen through an engine that computes from the pixels alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_manifest import DIM, HEIGHT, WIDTH, Tiny, tiny_manifest

from reidkit.runtime.artifact import Golden, Manifest
from reidkit.runtime.artifact.manifest import Batch, Embedding, Resize
from reidkit.runtime.engines import EngineBase, self_check
from reidkit.runtime.errors import EngineFailure, InvalidInput
from reidkit.runtime.native import YuvFrame, cut_crops

CROPS = np.random.default_rng(0).integers(1, 256, (7, 3, HEIGHT, WIDTH), dtype=np.uint8)
FRAME = np.zeros((200, 100, 3), np.uint8)


class PixelEngine(EngineBase):
    """Embeds a crop as its first pixels, times a factor; keeps what it was given."""

    factor: float = 1
    wrong_shape: tuple[int, int] | None = None

    def _load(self, folder: Path, *, device: str, threads: int | None) -> None:
        self.batches: list[NDArray[Any]] = []

    def _run(self, batch: NDArray[Any]) -> NDArray[Any]:
        self.batches.append(batch.copy())
        if self.wrong_shape is not None:
            return np.zeros(self.wrong_shape, np.float32)
        return pixels(batch) * np.float32(self.factor)

    def _release(self) -> None:
        self.batches.clear()


def pixels(batch: NDArray[Any]) -> NDArray[np.float32]:
    return batch.reshape(len(batch), -1)[:, :DIM].astype(np.float32)


def engine_of(tiny: Tiny | None = None, **fields: Any) -> PixelEngine:
    manifest: Manifest = tiny_manifest(tiny or Tiny(), engine="pixels", engine_file="none", files={})
    return PixelEngine(replace(manifest, **fields), Path(), device="auto", threads=None)


@pytest.mark.parametrize(
    ("batch", "sizes"),
    [
        (Batch(dynamic=True, max=4, buckets=[]), [4, 3]),
        (Batch(dynamic=True, max=4, buckets=[1, 4]), [4, 3]),
        (Batch(dynamic=False, max=4, buckets=[1, 2, 4]), [4, 4]),
        (Batch(dynamic=False, max=6, buckets=[2, 6]), [6, 2]),
        (Batch(dynamic=False, max=1, buckets=[1]), [1] * 7),
    ],
    ids=str,
)
def test_a_long_batch_is_cut_and_its_end_padded_to_what_the_engine_takes(batch: Batch, sizes: list[int]) -> None:
    engine = engine_of(Tiny(batch=batch))
    np.testing.assert_array_equal(engine.embed(CROPS, normalize=False), pixels(CROPS))
    assert [len(given) for given in engine.batches] == sizes
    assert all(given.flags.c_contiguous for given in engine.batches)
    assert not np.concatenate(engine.batches)[len(CROPS) :].any()


@pytest.mark.parametrize("factor", [1e-30, 1, 1e30])
def test_rows_of_any_length_are_normalised(factor: float) -> None:
    engine = engine_of()
    engine.factor = factor
    expected = pixels(CROPS) / np.linalg.norm(pixels(CROPS), axis=1, keepdims=True)
    np.testing.assert_allclose(engine.embed(CROPS), expected, rtol=1e-5)


def test_what_the_graph_has_normalised_is_left_alone() -> None:
    engine = engine_of(embedding=Embedding(dim=DIM, l2="graph"))
    np.testing.assert_array_equal(engine.embed(CROPS), pixels(CROPS))


@pytest.mark.parametrize("shape", [(0, DIM), (4, DIM + 1), (1, DIM)])
def test_an_answer_of_another_shape_is_a_failure(shape: tuple[int, int]) -> None:
    engine = engine_of()
    engine.wrong_shape = shape
    with pytest.raises(EngineFailure, match=r"answered 4 crops with an array of shape .*, not \(4, 12\)"):
        engine.embed(CROPS)


@pytest.mark.parametrize("kernel", ["bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [False, True])
def test_crops_are_resized_as_the_manifest_says(kernel: Literal["bilinear", "bicubic"], antialias: bool) -> None:
    size = engine_of().manifest.preprocessing
    engine = engine_of(preprocessing=replace(size, resize=Resize(kernel=kernel, antialias=antialias)))
    frame = np.random.default_rng(1).integers(0, 256, (200, 100, 3), dtype=np.uint8)
    expected = np.empty((1, 3, HEIGHT, WIDTH), np.uint8)
    whole = np.array([[0.0, 0, 100, 200]])
    cut_crops(frame, whole, expected, swap_colors=True, kernel=kernel, antialias=antialias, layout="nchw")
    engine.embed_crops(frame, [[0, 0, 100, 200]])
    np.testing.assert_array_equal(engine.batches[0], expected)


def test_grey_and_yuv_frames_are_served() -> None:
    grey = np.random.default_rng(2).integers(0, 256, (200, 100), dtype=np.uint8)
    colourless = np.full((100, 50), 128, np.uint8)
    boxes = [[3, 5, 90, 180], [0, 0, 100, 200]]
    engine = engine_of()
    expected = engine.cut(np.repeat(grey[..., None], 3, axis=2), boxes)
    np.testing.assert_array_equal(engine.cut(grey, boxes), expected)
    np.testing.assert_array_equal(engine.cut(grey[:, ::-1][:, ::-1], boxes, color="rgb"), expected)
    yuv = YuvFrame(grey, colourless, colourless, full_range=True)
    np.testing.assert_array_equal(engine.cut(yuv, boxes, color="rgb"), expected)
    with pytest.raises(InvalidInput, match=r"boxes \[0\] have no pixel in the 100x200 frame"):
        engine.cut(yuv, [[100, 0, 120, 9]])


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda engine: engine.embed([[1], [1, 2]]), "a list is no batch"),
        (lambda engine: engine.embed(CROPS, out=[1]), "out must be a NumPy array, found a list"),
        (lambda engine: engine.batch_memory(-1), r"batch_memory\(-1\)"),
        (lambda engine: engine.batch_memory(2.5), r"batch_memory\(2\.5\)"),
        (lambda engine: engine.embed_crops(FRAME, [[0, 0, 10**400, 10]]), "boxes_xyxy are .* numbers"),
        (lambda engine: engine.embed_crops(FRAME[:0], []), r"shape \(0, 100, 3\) has no pixels"),
    ],
)
def test_what_is_no_input_is_refused(ask: Callable[[PixelEngine], object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        ask(engine_of())


def test_zero_boxes_need_no_shape() -> None:
    assert engine_of().embed_crops(FRAME, []).shape == (0, DIM)


def test_a_golden_embedding_of_zeros_keeps_no_limit() -> None:
    crops = CROPS.transpose(0, 2, 3, 1)
    golden = Golden(crops=crops, embeddings=pixels(CROPS))
    self_check(engine_of(), golden)
    golden.embeddings[0] = 0
    with pytest.raises(EngineFailure, match="cosine nan"):
        self_check(engine_of(), golden)
