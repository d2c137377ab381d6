"""A distillation that takes a second: a small teacher in an ONNX file, a smaller student, a few painted crops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="crops are read by OpenCV")
onnx = pytest.importorskip("onnx", reason="the small teacher is written as ONNX")
pytest.importorskip("openvino", reason="a vendor's file is run by OpenVINO")
pytest.importorskip("torch", reason="a student is trained by torch")

from torch import nn  # noqa: E402

from reidkit.export.backbones import ModelCard  # noqa: E402
from reidkit.export.distillation import CropSources, DistillationJob, Settings  # noqa: E402
from reidkit.runtime.artifact.manifest import Normalization, Preprocessing, Resize  # noqa: E402

HEIGHT, WIDTH = 32, 16
CROPS = 60
SETTINGS = Settings(epochs=4, first_views=2, views=3, views_until=0.5, batch=16, neighbours=5, warmup_steps=2)


def small_student() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
    )


STUDENT = ModelCard(
    name="tiny",
    family="tiny",
    build=small_student,
    preprocessing=Preprocessing(
        height=HEIGHT,
        width=WIDTH,
        color="rgb",
        layout="nchw",
        dtype="uint8",
        resize=Resize(kernel="bilinear", antialias=False),
        normalization=Normalization(where="graph", scale=1 / 255, mean=[0.5] * 3, std=[0.25] * 3),
    ),
    source="this test",
    terms="none",
)


def write_teacher(path: Path, *, operator: str = "Identity") -> Path:
    """Mean colours of four quarters, through one operator."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    pool = [HEIGHT // 2, WIDTH // 2]
    nodes = [
        helper.make_node("AveragePool", ["crops"], ["pooled"], kernel_shape=pool, strides=pool),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node(operator, ["flat"], ["embedding"]),
    ]
    shapes = ["N", 3, HEIGHT, WIDTH], ["N", 12]
    graph = helper.make_graph(
        nodes,
        "teacher",
        [helper.make_tensor_value_info("crops", kind, shapes[0])],
        [helper.make_tensor_value_info("embedding", kind, shapes[1])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def paint_crops(folder: Path) -> Path:
    """Twenty people in two colours each, seen by three cameras."""
    rng = np.random.default_rng(0)
    colours = rng.integers(30, 225, (CROPS // 3, 2, 3))
    for person, (shirt, trousers) in enumerate(colours, 1):
        for camera in range(1, 4):
            image = np.concatenate([np.tile(shirt, (20, 18, 1)), np.tile(trousers, (20, 18, 1))])
            noisy = np.clip(image + rng.normal(0, 12, image.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / f"{person:04d}_c{camera}s1_{camera:06d}_00.png"), noisy)
    return folder


def small_job(folder: Path, crops: Path) -> DistillationJob:
    """A job that takes a second, teacher and output in `folder`."""
    return DistillationJob(
        teacher=write_teacher(folder / "teacher.onnx"),
        teacher_preprocessing=f"bgr-0-255-{HEIGHT}x{WIDTH}",
        student=STUDENT,
        sources=CropSources(folders=(crops,)),
        output=folder / "weights" / "tiny.safetensors",
        settings=SETTINGS,
    )


def stop_after(calls: int) -> Callable[[], bool]:
    """A request to stop that comes after so many questions."""
    left = iter(range(calls))
    return lambda: next(left, None) is None


def small_sequence(folder: Path, *, height: int = 80) -> Path:
    """A MOTChallenge sequence of two frames: a person, one too small, one who is mostly outside."""
    (folder / "img1").mkdir(parents=True)
    (folder / "det").mkdir()
    (folder / "seqinfo.ini").write_text("[Sequence]\nimDir=img1\nframeRate=10\nseqLength=2\n")
    for frame in (1, 2):
        cv2.imwrite(str(folder / "img1" / f"{frame:06d}.png"), np.full((120, 160, 3), 40 * frame, np.uint8))
    boxes = [(20, 10, height // 2, height), (90, 10, 10, 30), (150, 10, 40, 100)]
    rows = [f"{frame},-1,{x},{y},{w},{h},0.9" for frame in (1, 2) for x, y, w, h in boxes]
    (folder / "det" / "det.txt").write_text("\n".join(rows) + "\n")
    return folder
