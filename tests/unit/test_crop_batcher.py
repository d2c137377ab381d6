"""The batcher as cameras see it: whose rows come back, what happens when there is no room, who hears of errors."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_manifest import DIM, HEIGHT, WIDTH, Tiny, tiny_manifest

from reidkit.runtime import CropBatcher, Embeddings
from reidkit.runtime.artifact import Manifest
from reidkit.runtime.artifact.manifest import Batch, Resize
from reidkit.runtime.engines import EngineBase
from reidkit.runtime.errors import EngineFailure, InvalidInput, NonFiniteEmbedding
from reidkit.runtime.native import YuvFrame

LONG_MS = 60_000.0
BOX = [0.0, 0.0, WIDTH, HEIGHT]
PREPROCESSING = tiny_manifest(Tiny(), engine="grey", engine_file="none", files={}).preprocessing
SOON = 30.0  # seconds; nothing here takes that long unless it hangs


class GreyEngine(EngineBase):
    """Embeds a crop as DIM times its first pixel's level plus one; can be held back; fails on level 250."""

    def _load(self, folder: Path, *, device: str, threads: int | None) -> None:
        self.may_run = threading.Event()
        self.may_run.set()
        self.running = threading.Event()
        self.batches: list[tuple[int, int]] = []  # size, address

    def _run(self, batch: NDArray[Any]) -> NDArray[Any]:
        self.running.set()
        assert self.may_run.wait(SOON)
        self.batches.append((len(batch), batch.ctypes.data))
        levels = batch.reshape(len(batch), -1)[:, :1].astype(np.float32)
        return np.where(levels == 250, np.nan, np.repeat(levels + 1, DIM, axis=1)).astype(np.float32)

    def _release(self) -> None:
        self.batches.clear()


@pytest.fixture
def engine() -> Iterator[GreyEngine]:
    engine = engine_of(Tiny())
    yield engine
    engine.may_run.set()


def engine_of(tiny: Tiny) -> GreyEngine:
    manifest: Manifest = tiny_manifest(tiny, engine="grey", engine_file="none", files={})
    # The graph is said to normalise, so that levels come back as they are.
    manifest = replace(manifest, embedding=replace(manifest.embedding, l2="graph"))
    return GreyEngine(manifest, Path(), device="auto", threads=None)


def grey(*levels: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A frame and boxes of those grey levels, side by side."""
    frame = np.repeat(np.uint8(levels or (0,)), WIDTH)[None, :, None] * np.ones((HEIGHT, 1, 3), np.uint8)
    return frame, np.array([[i * WIDTH, 0, (i + 1) * WIDTH, HEIGHT] for i in range(len(levels))], np.float64).reshape(
        -1, 4
    )


def expect(found: Embeddings, *levels: int | None) -> None:
    assert found.valid.tolist() == [level is not None for level in levels]
    np.testing.assert_array_equal(found.values[:, 0], [0 if level is None else level + 1 for level in levels])


def conserved(batcher: CropBatcher) -> bool:
    return batcher.counters.reserved == batcher.counters.delivered + batcher.counters.voided


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 23])
def test_a_submit_gets_its_own_rows_whatever_the_batch(engine: GreyEngine, count: int) -> None:
    with CropBatcher(engine, batch=4, buffers=2, deadline_ms=1) as batcher:
        levels = range(1, count + 1)
        expect(batcher.submit(*grey(*levels)).result(SOON), *levels)
    assert batcher.counters.delivered == count
    assert conserved(batcher)


def test_cameras_share_a_batch_and_get_their_own(engine: GreyEngine) -> None:
    with CropBatcher(engine, batch=6, deadline_ms=LONG_MS) as batcher:
        tickets = [batcher.submit(*grey(10 * camera, 10 * camera + 1), camera=camera) for camera in range(1, 4)]
        for camera, ticket in enumerate(tickets, 1):
            expect(ticket.result(SOON), 10 * camera, 10 * camera + 1)
    assert [size for size, _ in engine.batches] == [4, 2]  # the engine takes at most four


def test_the_engine_reads_where_the_crops_were_cut(engine: GreyEngine) -> None:
    with CropBatcher(engine, batch=4, buffers=2, deadline_ms=0) as batcher:
        for _ in range(6):
            batcher.submit(*grey(1, 2, 3, 4)).result(SOON)
        addresses = {address for _, address in engine.batches}
        assert addresses <= {memory.ctypes.data for memory in batcher._memory}
    assert all(address % 64 == 0 for address in addresses)
    assert batcher.counters.copies == 0


def test_a_fixed_size_is_padded_and_counted_as_a_copy() -> None:
    engine = engine_of(Tiny(batch=Batch(dynamic=False, max=4, buckets=[4])))
    with CropBatcher(engine, batch=4, deadline_ms=0) as batcher:
        expect(batcher.submit(*grey(1, 2, 3, 4)).result(SOON), 1, 2, 3, 4)
        assert batcher.counters.copies == 0
        expect(batcher.submit(*grey(1, 2, 3)).result(SOON), 1, 2, 3)
        assert batcher.counters.copies == 1
    with CropBatcher(engine, batch=8, deadline_ms=0) as batcher:
        expect(batcher.submit(*grey(*range(8))).result(SOON), *range(8))
        assert batcher.counters.copies == 0


def test_the_steady_state_takes_no_memory_for_crops() -> None:
    height, width = 16 * HEIGHT, 16 * WIDTH  # a crop larger than anything else that a submit makes
    manifest = tiny_manifest(Tiny(), engine="grey", engine_file="none", files={})
    manifest = replace(manifest, preprocessing=replace(manifest.preprocessing, height=height, width=width))
    engine = GreyEngine(manifest, Path(), device="auto", threads=None)
    frame, boxes = grey(*range(1, 5))
    with CropBatcher(engine, batch=4, deadline_ms=0) as batcher:
        for _ in range(5):
            batcher.submit(frame, boxes).result(SOON)
        allocations = batcher.counters.allocations
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(20):
                batcher.submit(frame, boxes).result(SOON)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert batcher.counters.allocations == allocations == 3
        assert batcher.counters.copies == 0
    assert peak - before < 3 * height * width


def test_a_full_ring_blocks_until_there_is_room(engine: GreyEngine) -> None:
    engine.may_run.clear()
    with CropBatcher(engine, batch=2, buffers=1, deadline_ms=0) as batcher:
        first = batcher.submit(*grey(1, 2))
        submitted: list[Any] = []
        waiting = threading.Thread(target=lambda: submitted.append(batcher.submit(*grey(3, 4))))
        waiting.start()
        waiting.join(0.05)
        assert not submitted
        engine.may_run.set()
        waiting.join(SOON)
        expect(first.result(SOON), 1, 2)
        expect(submitted[0].result(SOON), 3, 4)


def test_iou_only_does_without(engine: GreyEngine) -> None:
    engine.may_run.clear()
    with CropBatcher(engine, batch=2, buffers=1, deadline_ms=0, on_full="iou_only") as batcher:
        first = batcher.submit(*grey(1, 2))
        expect(batcher.submit(*grey(3)).result(SOON), None)
        engine.may_run.set()
        expect(first.result(SOON), 1, 2)


def test_drop_oldest_takes_the_places_of_the_same_camera_alone(engine: GreyEngine) -> None:
    engine.may_run.clear()
    with CropBatcher(engine, batch=4, buffers=2, deadline_ms=0, on_full="drop_oldest") as batcher:
        running = batcher.submit(*grey(1, 2, 3, 4), camera=9)
        assert engine.running.wait(SOON)
        other = batcher.submit(*grey(5), camera=1)
        oldest = batcher.submit(*grey(10, 11), camera=0)
        older = batcher.submit(*grey(20), camera=0)
        newest = batcher.submit(*grey(30, 31, 32), camera=0)
        expect(oldest.result(SOON), None, None)
        expect(older.result(SOON), None)
        stranger = batcher.submit(*grey(40), camera=2)
        expect(stranger.result(SOON), None)
        engine.may_run.set()
        expect(running.result(SOON), 1, 2, 3, 4)
        expect(other.result(SOON), 5)
        expect(newest.result(SOON), 30, 31, 32)
    assert conserved(batcher)
    assert batcher.counters.voided == 3


def test_a_cancelled_ticket_gives_its_places_up(engine: GreyEngine) -> None:
    with CropBatcher(engine, batch=4, deadline_ms=LONG_MS) as batcher:
        given_up, kept = batcher.submit(*grey(1, 2)), batcher.submit(*grey(3))
        batcher.cancel(given_up)
        expect(given_up.result(SOON), None, None)
        assert not kept.done()
    expect(kept.result(SOON), 3)
    assert (batcher.counters.delivered, batcher.counters.voided) == (1, 4)
    assert conserved(batcher)


def test_a_stalled_producer_loses_its_rows_and_no_one_else_does(engine: GreyEngine) -> None:
    with CropBatcher(engine, batch=4, buffers=2, deadline_ms=1, patience_ms=1) as batcher:
        stalled = batcher._ring.reserve(2)  # as a camera does that is stopped while it cuts
        assert stalled is not None
        for level in range(1, 40):
            expect(batcher.submit(*grey(level, level + 100)).result(SOON), level, level + 100)
        assert not batcher._ring.commit(stalled, 0, 0, 0, 0), "its batch has left long since"
        for level in range(1, 9):
            expect(batcher.submit(*grey(level)).result(SOON), level)
    assert batcher.counters.voided == 2
    assert conserved(batcher)


def test_closing_serves_what_was_submitted_and_voids_what_is_not_written(engine: GreyEngine) -> None:
    batcher = CropBatcher(engine, batch=8, deadline_ms=LONG_MS)
    ticket = batcher.submit(*grey(7))
    assert batcher._ring.reserve(1) is not None  # a killed camera
    batcher.close(timeout=0.01)
    batcher.close()
    expect(ticket.result(SOON), 7)
    assert conserved(batcher)
    with pytest.raises(EngineFailure, match="closed"):
        batcher.submit(*grey(1))
    batcher.restart()
    expect(batcher.submit(*grey(*range(1, 9))).result(SOON), *range(1, 9))
    batcher.close()


def test_a_submit_that_waits_hears_of_the_closing(engine: GreyEngine) -> None:
    engine.may_run.clear()
    batcher = CropBatcher(engine, batch=1, buffers=1, deadline_ms=0)
    batcher.submit(*grey(1))
    errors: list[Exception] = []

    def submit() -> None:
        try:
            batcher.submit(*grey(2))
        except EngineFailure as error:
            errors.append(error)

    waiting = threading.Thread(target=submit)
    waiting.start()
    closing = threading.Thread(target=batcher.close)
    closing.start()
    waiting.join(SOON)
    engine.may_run.set()
    closing.join(SOON)
    assert [str(error) for error in errors] == ["the batcher is closed: restart it, or submit earlier"]


def test_an_engines_error_reaches_whose_rows_they_are(engine: GreyEngine) -> None:
    with CropBatcher(engine, batch=4, deadline_ms=50) as batcher:
        good, bad = batcher.submit(*grey(1)), batcher.submit(*grey(2, 3, 250))
        with pytest.raises(NonFiniteEmbedding, match="crops 2") as caught:
            bad.result(SOON)
        assert caught.value.rows == (2,)
        expect(good.result(SOON), 1)
        expect(batcher.submit(*grey(4)).result(SOON), 4)


def test_a_closed_engine_is_an_error_of_the_ticket(engine: GreyEngine) -> None:
    with CropBatcher(engine, deadline_ms=0) as batcher:
        engine.close()
        with pytest.raises(EngineFailure, match="tiny is closed"):
            batcher.submit(*grey(1)).result(SOON)


def test_a_defect_in_the_engines_thread_leaves_nobody_waiting(
    engine: GreyEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(engine, "_run", lambda batch: 1 / 0)
    batcher = CropBatcher(engine, deadline_ms=0)
    with pytest.raises(EngineFailure, match="ZeroDivisionError"):
        batcher.submit(*grey(1)).result(SOON)
    batcher.close()
    with pytest.raises(EngineFailure, match="closed"):
        batcher.submit(*grey(1))


def test_a_ticket_can_be_awaited_and_an_awaiter_be_cancelled(engine: GreyEngine) -> None:
    async def work() -> None:
        with CropBatcher(engine, batch=4, deadline_ms=1) as batcher:
            tickets = [batcher.submit(*grey(level)) for level in (1, 2, 3)]
            results = await asyncio.gather(*tickets)
            for level, found in zip((1, 2, 3), results, strict=True):
                expect(found, level)
            engine.may_run.clear()
            late = batcher.submit(*grey(4))
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(late, 0.01)
            engine.may_run.set()
            expect(await late, 4)

    asyncio.run(work())


def test_no_answer_in_time_is_a_timeout_and_the_ticket_stays_good(engine: GreyEngine) -> None:
    engine.may_run.clear()
    with CropBatcher(engine, deadline_ms=0) as batcher:
        ticket = batcher.submit(*grey(1))
        with pytest.raises(TimeoutError, match=r"0\.01 s"):
            ticket.result(0.01)
        engine.may_run.set()
        expect(ticket.result(SOON), 1)


def buffer_of(frame: NDArray[np.uint8]) -> Any:
    return memoryview(frame)


class OnlyDLPack:
    def __init__(self, frame: NDArray[np.uint8]) -> None:
        self._frame = frame

    def __dlpack__(self, **options: Any) -> Any:
        return self._frame.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._frame.__dlpack_device__()


@pytest.mark.parametrize(
    "form", [buffer_of, OnlyDLPack, lambda frame: frame[::-1], lambda frame: frame[:, :, 0].copy()]
)
def test_frames_of_many_forms_are_read_in_place(engine: GreyEngine, form: Callable[[Any], Any]) -> None:
    frame, boxes = grey(1, 2, 3)
    with CropBatcher(engine, deadline_ms=0) as batcher:
        expect(batcher.submit(form(frame), boxes).result(SOON), 1, 2, 3)


def test_a_yuv_frame_is_read_in_place(engine: GreyEngine) -> None:
    y = np.full((HEIGHT, WIDTH), 100, np.uint8)
    chroma = np.full((HEIGHT // 2, WIDTH // 2), 128, np.uint8)
    with CropBatcher(engine, deadline_ms=0) as batcher:
        found = batcher.submit(YuvFrame(y, chroma, chroma, full_range=True), [BOX]).result(SOON)
    expect(found, 100)


@pytest.mark.parametrize(
    ("frame", "boxes", "camera", "message"),
    [
        (np.zeros((40, 40, 6), np.uint8)[:, :, ::2], [BOX], 0, "would have to be copied"),
        (np.zeros((40, 40, 3), np.float32), [BOX], 0, "found float32"),
        (np.zeros((40, 40, 3), np.uint8), [[0, 0, 0.5, 9]], 0, "no pixel"),
        (np.zeros((40, 40, 3), np.uint8), [[0, 0, 9]], 0, r"\(N, 4\)"),
        (np.zeros((40, 40, 3), np.uint8), [BOX], -1, "camera=-1"),
        (np.zeros((40, 40, 3), np.uint8), [BOX], 1.5, "camera=1.5"),
        (np.zeros((40, 40, 3), np.uint8), "a box", 0, "numbers, found 'a box'"),
        ([[1, 2], [3]], [BOX], 0, "a list is no frame"),
    ],
)
def test_what_cannot_be_cut_is_refused_and_reserves_nothing(
    engine: GreyEngine, frame: Any, boxes: Any, camera: int, message: str
) -> None:
    with CropBatcher(engine) as batcher:
        with pytest.raises(InvalidInput, match=message):
            batcher.submit(frame, boxes, camera=camera)
        with pytest.raises(InvalidInput, match="color='RGB'"):
            batcher.submit(np.zeros((40, 40, 3), np.uint8), [BOX], color="RGB")  # type: ignore[arg-type]
        assert batcher.counters.reserved == 0


def test_a_camera_may_be_numbered_by_numpy(engine: GreyEngine) -> None:
    with CropBatcher(engine) as batcher:
        ticket = batcher.submit(np.zeros((40, 40, 3), np.uint8), [BOX], camera=np.int64(1))
        assert ticket.result().valid.tolist() == [True]


def test_a_cut_that_fails_gives_its_rows_up(engine: GreyEngine) -> None:
    engine.manifest = replace(
        engine.manifest, preprocessing=replace(PREPROCESSING, resize=Resize(kernel="lanczos", antialias=False))
    )
    with CropBatcher(engine, batch=4, deadline_ms=0) as batcher:
        with pytest.raises(InvalidInput, match="lanczos"):
            batcher.submit(*grey(1, 2, 3, 4, 5))
        assert not batcher._service.tickets
    assert (batcher.counters.reserved, batcher.counters.voided) == (4, 4)


@pytest.mark.parametrize(
    "settings",
    [
        {"buffers": 0},
        {"buffers": 10**6},
        {"batch": 33},
        {"deadline_ms": -1},
        {"on_full": "wait"},
        {"patience_ms": float("nan")},
    ],
)
def test_settings_out_of_range_are_refused(engine: GreyEngine, settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        CropBatcher(engine, **settings)


def test_a_batcher_nobody_closes_ends_with_its_last_reference(engine: GreyEngine) -> None:
    batcher = CropBatcher(engine)
    thread = batcher._thread
    del batcher
    gc.collect()
    thread.join(SOON)
    assert not thread.is_alive()


def test_a_batcher_dropped_with_crops_under_way_ends_too(engine: GreyEngine) -> None:
    engine.may_run.clear()
    batcher = CropBatcher(engine, deadline_ms=0)
    thread = batcher._thread
    batcher.submit(*grey(1))
    assert engine.running.wait(SOON)
    del batcher
    engine.may_run.set()
    thread.join(SOON)
    assert not thread.is_alive()


def test_a_process_that_forgets_to_close_still_leaves() -> None:
    code = (
        "import sys, pathlib; sys.path.insert(0, 'tests'); sys.path.insert(0, 'tests/unit')\n"
        "from test_crop_batcher import *\n"
        "batcher = CropBatcher(engine_of(Tiny()))\n"
        "print(batcher.submit(*grey(1, 2)).result(30).valid.tolist())\n"
    )
    assert output_of(code) == "[True, True]"


def test_a_forked_child_is_told_that_nobody_would_serve_it() -> None:
    code = (
        "import os, sys; sys.path.insert(0, 'tests'); sys.path.insert(0, 'tests/unit')\n"
        "from test_crop_batcher import *\n"
        "with CropBatcher(engine_of(Tiny())) as batcher:\n"
        "    if child := os.fork():\n"
        "        os.waitpid(child, 0)\n"
        "    else:\n"
        "        try: batcher.submit(*grey(1, 2))\n"
        "        except EngineFailure as error: print(error, flush=True)\n"
        "        os._exit(0)\n"
    )
    assert output_of(code) == "the batcher was made in another process: make one in each process"


def output_of(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_many_cameras_at_once_never_mix_their_rows(engine: GreyEngine) -> None:
    wrong: list[Any] = []

    def camera(number: int, batcher: CropBatcher) -> None:
        random = np.random.default_rng(number)
        for _ in range(40):
            levels = random.integers(0, 240, random.integers(0, 7)).tolist()
            found = batcher.submit(*grey(*levels), camera=number).result(SOON)
            expected = np.where(found.valid, np.array(levels) + 1, 0)
            if not np.array_equal(found.values[:, 0], expected):
                wrong.append((number, levels, found))

    with CropBatcher(engine, batch=4, buffers=2, deadline_ms=0.1, patience_ms=0) as batcher:
        threads = [threading.Thread(target=camera, args=(number, batcher)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
    assert conserved(batcher)
