"""Crops that a batcher cut are embedded by every engine as those that the engine cut itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from small_videos import boxes_at, picture
from tiny_artifact import tiny_artifact
from tiny_manifest import Tiny

from reidkit.runtime import CropBatcher, open_artifact
from reidkit.runtime.engines import Engine
from reidkit.targets import find_target, targets

RUN_HERE = [name for name in targets() if name in ("ncnn", "onnxruntime", "openvino")]
KINDS = [
    Tiny(),
    Tiny(layout="nhwc", color="bgr"),
    Tiny(dtype="float32", where="runtime"),
    Tiny(dtype="float16", where="runtime"),
]


@pytest.fixture(params=[(target, kind) for target in RUN_HERE for kind in range(len(KINDS))], ids=str)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    target, kind = request.param
    if reason := find_target(target).available():
        pytest.skip(f"target {target}: {reason}")
    tiny = KINDS[kind]
    with open_artifact(tiny_artifact(tmp_path, Tiny(**{**vars(tiny), "target": target})), threads=1) as engine:
        yield engine


def test_a_batchers_embeddings_are_the_engines(engine: Engine) -> None:
    with CropBatcher(engine, batch=4, deadline_ms=1, patience_ms=60_000) as batcher:
        for index in range(1, 6):
            found = batcher.submit(picture(index), boxes_at(index)).result(30)
            assert found.valid.all()
            np.testing.assert_allclose(found.values, engine.embed_crops(picture(index), boxes_at(index)), atol=1e-6)
        assert batcher.counters.copies == 0


def test_openvino_reads_the_batchers_memory(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="zero-copy input of OpenVINO: install the extra 'openvino'")
    with open_artifact(tiny_artifact(tmp_path, Tiny(target="openvino")), threads=1) as engine:
        memory = engine.batch_memory(4)
        memory[:] = 7
        first = engine.embed(memory).copy()
        tensor = engine._request(4).get_input_tensor()  # type: ignore[attr-defined]
        assert tensor.data.ctypes.data == memory.ctypes.data
        memory[:, 0] = 200
        assert not np.allclose(first, engine.embed(memory))
