"""Pictures written to an H.264 video that any player opens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.errors import MissingDependency
from reidkit.runtime.files import whole_file

Image = NDArray[np.uint8]

_ENCODER = "libx264"
_QUALITY = {"crf": "20", "preset": "veryfast"}
_BT601 = 6  # the matrix by which FFmpeg makes YUV of RGB unless told otherwise


class VideoSink:
    """Writes frames of any size into a video of the first one's size. Made by `VideoSink.open`."""

    def __init__(self, av: Any, container: Any, frame_rate: float) -> None:
        self._av = av
        self._container = container
        self._rate = Fraction(frame_rate).limit_denominator(1001)
        self._stream: Any = None

    @staticmethod
    @contextmanager
    def open(path: Path, *, frame_rate: float) -> Iterator[VideoSink]:
        """A sink for the duration of a `with` block; `path` appears when the block ends without an error.

        Raises:
            MissingDependency: PyAV is not installed, or its FFmpeg has no H.264 encoder.
            InvalidFile: the file cannot be written.
        """
        try:
            import av
        except ImportError as error:
            raise MissingDependency("PyAV", extra="video", purpose="writing a video") from error
        if _ENCODER not in av.codecs_available:
            raise MissingDependency(f"PyAV with {_ENCODER}", extra="video", purpose="writing a video")
        options = {"movflags": "faststart"}
        with (
            whole_file(path) as temporary,
            # "file:" lets FFmpeg take a path with a colon for a path.
            av.open(f"file:{temporary}", "w", format="mp4", options=options) as container,
        ):
            sink = VideoSink(av, container, frame_rate)
            yield sink
            sink._finish()

    def write(self, image: Image) -> None:
        """Append a frame, (H, W, 3) uint8 BGR. One of another size than the first is scaled to fit, on black."""
        if self._stream is None:
            self._stream = self._add_stream(*image.shape[:2])
        width, height = self._stream.width, self._stream.height
        frame = self._av.VideoFrame.from_ndarray(self._fit(image, height, width), format="bgr24")
        self._container.mux(self._stream.encode(frame))

    def _add_stream(self, height: int, width: int) -> Any:
        stream = self._container.add_stream(_ENCODER, rate=self._rate, options=_QUALITY)
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.codec_context.colorspace = _BT601
        return stream

    def _fit(self, image: Image, height: int, width: int) -> Image:
        """The image at that size: as it is, or with its last row or column doubled, or scaled and centred."""
        rows, columns = height - image.shape[0], width - image.shape[1]
        if (rows, columns) == (0, 0):
            return image
        if rows in (0, 1) and columns in (0, 1):
            return np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="edge")
        scale = min(height / image.shape[0], width / image.shape[1])
        size = max(1, int(image.shape[1] * scale)), max(1, int(image.shape[0] * scale))
        scaled = self._av.VideoFrame.from_ndarray(image, format="bgr24").reformat(*size).to_ndarray()
        canvas = np.zeros((height, width, 3), dtype=np.uint8)
        top, left = (height - size[1]) // 2, (width - size[0]) // 2
        canvas[top : top + size[1], left : left + size[0]] = scaled
        return canvas

    def _finish(self) -> None:
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))
