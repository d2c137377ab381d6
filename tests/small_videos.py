"""Small videos and detections made on the spot: people of coloured cloth walking over a grey yard."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

av = pytest.importorskip("av", reason="videos are written and read by PyAV: install the extra 'video'")

COLORS_BGR = ((40, 40, 200), (200, 120, 30), (60, 180, 60))
BOX_WIDTH, BOX_HEIGHT = 16, 40


def boxes_at(index: int) -> NDArray[np.float64]:
    """(3, 4) xyxy boxes of the three people in frame `index`, from 1."""
    left = 10.0 + index % 48 + np.array([0.0, 40.0, 80.0])
    top = np.array([20.0, 40.0, 60.0])
    return np.stack([left, top, left + BOX_WIDTH, top + BOX_HEIGHT], axis=1)


def picture(index: int, *, width: int = 160, height: int = 120) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR picture of frame `index`, from 1."""
    image = np.full((height, width, 3), 110, dtype=np.uint8)
    image[:, ::16] = 90
    for (x1, y1, x2, y2), color in zip(boxes_at(index).astype(int), COLORS_BGR, strict=True):
        image[y1:y2, x1:x2] = color
    return image


def write_video(
    path: Path, images: list[NDArray[np.uint8]], *, rate: int = 10, codec: str = "libx264", container: str | None = None
) -> Path:
    """Write pictures of one size as a video, without frames that depend on later ones."""
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if codec == "mpeg4":
            stream.bit_rate = 2_000_000
        stream.codec_context.max_b_frames = 0
        for image in images:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        file.mux(stream.encode(None))
    return path


@contextmanager
def stalled_images(folder: Path) -> Iterator[Path]:
    """A folder of images the first of which does not come for the duration of a `with` block."""
    folder.mkdir()
    image = folder / "000001.png"
    os.mkfifo(image)
    yield folder
    os.close(os.open(image, os.O_RDWR))  # whoever waits for a writer has met one


def write_detections(path: Path, frames: int, *, score: float = 0.9) -> Path:
    """Write the three people's boxes as a MOTChallenge det.txt."""
    lines = [
        f"{index},-1,{x1:g},{y1:g},{x2 - x1:g},{y2 - y1:g},{score},-1,-1,-1"
        for index in range(1, frames + 1)
        for x1, y1, x2, y2 in boxes_at(index)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path
