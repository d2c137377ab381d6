"""What every engine keeps, over whatever discovery finds, on artifacts that real targets build."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_artifact import input_tensor, reference_embeddings, tiny_artifact
from tiny_manifest import DIM, HEIGHT, WIDTH, Tiny

from reidkit.calibration.street import render_crops
from reidkit.runtime.artifact.manifest import Batch
from reidkit.runtime.engines import Engine, engines, open_artifact
from reidkit.runtime.errors import EngineFailure, InvalidInput, NonFiniteEmbedding
from reidkit.runtime.native import cut_crops
from reidkit.targets import find_target, targets


@pytest.fixture(scope="module", params=targets())
def target(request: pytest.FixtureRequest) -> str:
    target = find_target(request.param)
    if reason := target.available() or engines()[target.engine].load().available():
        pytest.skip(f"target {request.param}: {reason}")
    return request.param


@pytest.fixture(scope="module")
def folder(target: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifact(tmp_path_factory.mktemp(target), Tiny(target=target))


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Engine]:
    with open_artifact(folder, threads=1) as engine:
        yield engine


def crops_of(count: int) -> np.ndarray:
    return render_crops(count, seed=1, height=HEIGHT, width=WIDTH)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_each_engine_is_reached_by_a_target() -> None:
    assert set(engines()) <= {find_target(name).engine for name in targets()}


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 11], ids="N={}".format)
def test_embeddings_are_the_references_at_any_batch(engine: Engine, count: int) -> None:
    batch = input_tensor(Tiny(), crops_of(count))
    found = engine.embed(batch, normalize=False)
    assert (found.shape, found.dtype, found.flags.c_contiguous) == ((count, DIM), np.float32, True)
    expected = reference_embeddings(Tiny(), batch) if count else np.empty((0, DIM))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_manifest_is_at_hand(engine: Engine) -> None:
    assert (engine.embedding_dim, engine.max_batch, engine.manifest.name) == (DIM, 4, "tiny")


def test_rows_have_length_one_unless_asked_otherwise(engine: Engine) -> None:
    batch = input_tensor(Tiny(), crops_of(5))
    found = engine.embed(batch)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(found, unit(engine.embed(batch, normalize=False)), atol=1e-6)


def test_the_same_batch_gives_the_same_bytes(engine: Engine) -> None:
    batch = input_tensor(Tiny(), crops_of(7))
    assert engine.embed(batch).tobytes() == engine.embed(batch).tobytes()


def test_answers_do_not_change_when_the_engine_runs_again(engine: Engine) -> None:
    first = engine.embed(input_tensor(Tiny(), crops_of(3)))
    kept = first.copy()
    engine.embed(input_tensor(Tiny(), crops_of(6)[3:]))
    np.testing.assert_array_equal(first, kept)


def test_a_batch_may_be_strided(engine: Engine) -> None:
    batch = input_tensor(Tiny(), crops_of(6))
    np.testing.assert_array_equal(engine.embed(batch[::2]), engine.embed(batch[::2].copy()))


def test_out_is_written_and_returned(engine: Engine) -> None:
    batch, out = input_tensor(Tiny(), crops_of(5)), np.full((5, DIM), np.nan, np.float32)
    assert engine.embed(batch, out=out) is out
    np.testing.assert_array_equal(out, engine.embed(batch))


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((2, 3, HEIGHT, WIDTH), np.float32),
        np.zeros((2, 3, HEIGHT, WIDTH), np.int8),
        np.zeros((2, HEIGHT, WIDTH, 3), np.uint8),
        np.zeros((2, 3, HEIGHT, WIDTH + 1), np.uint8),
        np.zeros((3, HEIGHT, WIDTH), np.uint8),
        np.zeros((1, 2, 3, HEIGHT, WIDTH), np.uint8),
        np.zeros(0, np.uint8),
    ],
    ids=lambda batch: f"{batch.dtype}{batch.shape}",
)
def test_another_shape_or_dtype_is_refused(engine: Engine, batch: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match=r"embeds batches of uint8 \(N, 3, 32, 16\), found"):
        engine.embed(batch)


@pytest.mark.parametrize(
    "out",
    [np.empty((4, DIM), np.float32), np.empty((5, DIM)), np.empty((5, 2 * DIM), np.float32)[:, ::2]],
    ids=["short", "float64", "strided"],
)
def test_an_out_that_does_not_fit_is_refused(engine: Engine, out: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="out must be"):
        engine.embed(input_tensor(Tiny(), crops_of(5)), out=out)


@pytest.mark.parametrize("color", ["rgb", "bgr"])
@pytest.mark.parametrize("count", [0, 1, 9], ids="N={}".format)
def test_boxes_of_a_frame_are_cut_and_embedded(engine: Engine, color: str, count: int) -> None:
    rng = np.random.default_rng(3)
    frame = np.ascontiguousarray(render_crops(1, seed=9, height=120, width=90)[0])
    corners = rng.uniform(-5, 60, (count, 2))
    boxes = np.hstack([corners, corners + rng.uniform(8, 50, (count, 2))])
    crops = np.empty((count, 3, HEIGHT, WIDTH), np.uint8)
    cut_crops(frame, boxes, crops, swap_colors=color == "bgr", antialias=False, layout="nchw")
    expected = engine.embed(crops)
    for seen in (frame, frame[:, ::-1][:, ::-1], np.ascontiguousarray(frame[..., ::-1])[..., ::-1]):
        np.testing.assert_array_equal(engine.embed_crops(seen, boxes, color=color), expected)


@pytest.mark.parametrize(
    "box",
    [[5, 5, 5, 9], [9, 9, 5, 5], [-9, 0, 0.9, 9], [90, 0, 99, 9], [0, np.nan, 9, 9], [0, 0, np.inf, 9]],
    ids=["flat", "inside out", "left of it", "right of it", "nan", "infinite"],
)
def test_boxes_without_pixels_are_named(engine: Engine, box: list[float]) -> None:
    frame = np.zeros((80, 90, 3), np.uint8)
    with pytest.raises(InvalidInput, match=r"boxes \[1, 6\] have no pixel in the 90x80 frame; the first is"):
        engine.embed_crops(frame, [[0, 0, 9, 9], box, *[[1, 1, 8, 8]] * 4, box])


@pytest.mark.parametrize(
    ("frame", "boxes"),
    [
        (np.zeros(80, np.uint8), [[0, 0, 9, 9]]),
        (np.zeros((80, 90, 4), np.uint8), [[0, 0, 9, 9]]),
        (np.zeros((80, 90, 3), np.float32), [[0, 0, 9, 9]]),
        (np.zeros((80, 90, 3), np.uint8), [0, 0, 9, 9]),
        (np.zeros((80, 90, 3), np.uint8), [[0, 0, 9, 9, 1]]),
    ],
    ids=["a row", "rgba", "float", "one box", "five columns"],
)
def test_another_frame_or_box_array_is_refused(engine: Engine, frame: np.ndarray, boxes: list[object]) -> None:
    with pytest.raises(InvalidInput, match=r"is \(H, W, 3\) uint8|are \(N, 4\)"):
        engine.embed_crops(frame, boxes)


def test_non_finite_rows_are_named_and_never_handed_out(target: str, tmp_path: Path) -> None:
    crops = crops_of(7)
    crops[[2, 5]] = 0
    with (
        open_artifact(tiny_artifact(tmp_path, Tiny(target=target, black="nan"))) as engine,
        pytest.raises(NonFiniteEmbedding, match="for crops 2, 5") as caught,
    ):
        engine.embed(input_tensor(Tiny(), crops))
    assert caught.value.rows == (2, 5)


def test_a_row_of_zeros_has_no_direction(target: str, tmp_path: Path) -> None:
    crops = crops_of(3)
    crops[1] = 0
    with open_artifact(tiny_artifact(tmp_path, Tiny(target=target, black="zero"))) as engine:
        assert not engine.embed(input_tensor(Tiny(), crops), normalize=False)[1].any()
        with pytest.raises(EngineFailure, match="length zero for crops 1"):
            engine.embed(input_tensor(Tiny(), crops))


@pytest.mark.parametrize(
    "tiny",
    [
        Tiny(layout="nhwc", color="bgr"),
        Tiny(dtype="float32"),
        Tiny(dtype="float32", where="runtime"),
        Tiny(dtype="float32", where="runtime", layout="nhwc"),
        Tiny(batch=Batch(dynamic=False, max=4, buckets=[4])),
    ],
    ids=["nhwc bgr", "float32", "normalised by the runtime", "the same, nhwc", "one batch size"],
)
def test_each_kind_of_input_is_served(target: str, tmp_path: Path, tiny: Tiny) -> None:
    tiny = replace(tiny, target=target)
    dynamic = replace(tiny, batch=Batch(dynamic=True, max=4, buckets=[]))
    frame, boxes = crops_of(1)[0], np.array([[0, 0, WIDTH, HEIGHT]] * 6)
    expected = unit(reference_embeddings(dynamic, input_tensor(dynamic, np.repeat(frame[None], 6, axis=0))))
    with open_artifact(tiny_artifact(tmp_path, tiny)) as engine:
        np.testing.assert_allclose(engine.embed_crops(frame, boxes, color=tiny.color), expected, atol=1e-5)


def test_threads_may_share_an_engine(engine: Engine) -> None:
    frames = crops_of(8)
    batches = [input_tensor(Tiny(), frames[start:]) for start in range(8)]
    expected = [engine.embed(batch) for batch in batches]
    boxes = [[0, 0, WIDTH, HEIGHT]]
    with ThreadPoolExecutor(4) as pool:
        by_batch = pool.map(engine.embed, batches * 4)
        by_box = pool.map(lambda frame: engine.embed_crops(frame, boxes, color="rgb"), [*frames] * 4)
        for index, (rows, row) in enumerate(zip(by_batch, by_box, strict=True)):
            np.testing.assert_array_equal(rows, expected[index % 8])
            np.testing.assert_allclose(row[0], expected[0][index % 8], atol=1e-6)


def test_a_closed_engine_says_so(folder: Path) -> None:
    engine = open_artifact(folder)
    engine.close()
    engine.close()
    with pytest.raises(EngineFailure, match="tiny is closed"):
        engine.embed(input_tensor(Tiny(), crops_of(0)))
    with pytest.raises(EngineFailure, match="tiny is closed"):
        engine.embed_crops(np.zeros((80, 90, 3), np.uint8), [[0, 0, 9, 9]])


def test_an_unknown_device_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="no device 'abacus'"):
        open_artifact(folder, device="abacus")


@pytest.mark.parametrize("threads", [0, -1, "2", True, 100_000])
def test_no_threads_are_refused(folder: Path, threads: Any) -> None:
    with pytest.raises(InvalidInput, match=f"threads={threads!r}"):
        open_artifact(folder, threads=threads)


@pytest.mark.parametrize(("path", "device"), [(None, "auto"), (".", None)])
def test_what_is_no_folder_or_no_device_is_refused(path: Any, device: Any) -> None:
    with pytest.raises(InvalidInput, match="open_artifact"):
        open_artifact(path, device=device)


@pytest.mark.parametrize("color", ["RGB", "grey", ""])
def test_an_order_of_channels_that_is_none_is_refused(engine: Engine, color: Any) -> None:
    with pytest.raises(InvalidInput, match=f"color='{color}'"):
        engine.embed_crops(np.zeros((80, 90, 3), np.uint8), [[0, 0, 9, 9]], color=color)
