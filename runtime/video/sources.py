"""Frames, one after another: from a video file, a stream's URL, a folder of images or a MOTChallenge sequence.

All are decoded by PyAV. Frames count from 1. A file is read up to the first damage that its decoder notices and no
further: what decoders make up behind it looks like pictures and is none. `Source.warning` then says where that was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import wait
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.errors import Interrupted, InvalidFile, InvalidInput, MissingDependency
from reidkit.runtime.video.background import Background, comes, in_background
from reidkit.runtime.video.sequence_info import FILE_NAME, read_image_folder

_IMAGE_SUFFIXES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
_VIDEO_SUFFIXES = frozenset((".264", ".avi", ".mkv", ".mov", ".mp4", ".webm"))
_TEXT_CODECS = frozenset(("ansi", "bintext", "idf", "xbin"))  # FFmpeg renders text files as video
_ASSUMED_RATE = 30.0
_STREAM_TIMEOUT_S = 10.0
_LEAVE_S = 1.0  # so long a frame that nobody wants any more is waited for


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture.

    Attributes:
        index: number within the source, from 1.
        image: (H, W, 3) uint8 BGR; another frame may have another size.
        timestamp_s: seconds since the first frame, never going back.
    """

    index: int
    image: NDArray[np.uint8]
    timestamp_s: float


class Source(Protocol):
    """A sequence of frames, to be iterated once.

    Attributes:
        frame_rate: frames per second as the source itself says, None where it does not.
        frame_count: how many frames to expect, None where nobody knows.
        warning: why the frames ended before their time; None while there is nothing to tell.
    """

    frame_rate: float | None
    frame_count: int | None
    warning: str | None

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Give back what decoding holds."""


def open_source(location: str | Path, *, should_stop: Callable[[], bool] = lambda: False) -> Source:
    """Whatever `location` names: a video file, a URL, a folder of images, or a folder with a `seqinfo.ini`.

    A sequence without its folder of images may hold one video instead.

    Args:
        location: what to read.
        should_stop: asked while nothing comes, as of a pipe that nobody writes into.

    Raises:
        InvalidFile: nothing is there, or not a single frame can be decoded.
        Interrupted: `should_stop` said so before there was a frame.
        MissingDependency: PyAV is not installed.
    """
    opening = in_background(lambda: _open_source(location), name="open")
    if not comes(opening, should_stop):
        raise Interrupted(f"{location} was not opened: interrupted")
    return opening.result()


def _open_source(location: str | Path) -> Source:
    path = local_path(location)
    if path is None:
        return VideoSource(str(location), is_stream=True)
    return ImageSource(path) if path.is_dir() else VideoSource(str(path))


def local_path(location: str | Path) -> Path | None:
    """The file or the folder of images whose pictures `open_source` reads; None where that is a stream's URL.

    Raises:
        InvalidFile: a sequence holds neither its folder of images nor one video.
    """
    path = Path(location)
    if "://" in str(location) and not path.exists():
        return None
    if not (path / FILE_NAME).is_file():
        return path
    images = read_image_folder(path / FILE_NAME)
    if images.is_dir():
        return images
    videos = [file for file in path.iterdir() if file.suffix.lower() in _VIDEO_SUFFIXES]
    if len(videos) != 1:
        raise InvalidFile(
            f"there is no folder of images {images}, and {len(videos)} videos beside it",
            remedy="name a folder or a video file",
        )
    return videos[0]


def expect_kept(location: str | Path, *, purpose: str) -> None:
    """Raise `InvalidInput` where pictures come only once, as of a pipe or a stream; `purpose` needs them twice."""
    path = local_path(location)
    if path is None or (path.exists() and not path.is_file() and not path.is_dir()):
        raise InvalidInput(
            f"the pictures of {location} come only once, and {purpose} takes them twice",
            remedy="record them into a file and name that",
        )


def read_ahead(
    source: Iterable[Frame], *, should_stop: Callable[[], bool] = lambda: False
) -> Generator[tuple[Frame, float], None, None]:
    """The frames and the milliseconds each took to decode; the next one is decoded while the caller works.

    They end where `should_stop` says so while one is waited for that does not come, as from a pipe that has stalled.
    """
    frames = iter(source)

    def decode() -> tuple[Frame | None, float]:
        started = perf_counter()
        frame = next(frames, None)
        return frame, (perf_counter() - started) * 1e3

    background = Background("decode")
    following = background.submit(decode)
    try:
        while comes(following, should_stop):
            frame, milliseconds = following.result()
            if frame is None:
                return
            following = background.submit(decode)
            yield frame, milliseconds
    finally:
        background.close()
        wait([following], timeout=_LEAVE_S)


class VideoSource:
    """A video file or a stream.

    Of a stream (`is_stream`) damaged pictures are passed over; of a file the first one ends the reading.
    """

    def __init__(self, location: str, *, is_stream: bool = False) -> None:
        self._av = _import_av()
        self._name = location if is_stream else Path(location).name
        self._is_stream = is_stream
        self._container, self._stream = _open_video(self._av, location, is_stream=is_stream)
        rate = self._stream.guessed_rate or self._stream.average_rate
        self.frame_rate = float(rate) if rate else None
        self.frame_count = self._stream.frames or None
        self.warning: str | None = None
        self._pictures = self._decode()
        first = next(self._pictures, None)
        if first is None:
            self.close()
            raise _no_video(location, self.warning or "not a single frame can be decoded")
        self._first: Any = first

    def __iter__(self) -> Iterator[Frame]:
        start_s, time_s, index = self._first.time, 0.0, 0
        for index, picture in enumerate(chain([self._first], self._pictures), 1):
            counted_s = (index - 1) / (self.frame_rate or _ASSUMED_RATE)
            time_s = max(time_s, counted_s if picture.time is None or start_s is None else picture.time - start_s)
            yield Frame(index, _upright(picture), time_s)
        if self.warning is not None:
            self.warning = f"{self._name} breaks off after frame {index} ({self.warning}); the rest was not read"
        elif self.frame_count is not None and index < self.frame_count:
            self.warning = f"{self._name} announces {self.frame_count} frames, {index} could be read"

    def close(self) -> None:
        """Close the file; if a thread is still waiting for the next picture, the file closes when that thread ends."""
        try:
            self._pictures.close()
        except ValueError:  # the generator is running there
            return
        self._container.close()

    def _decode(self) -> Generator[Any, None, None]:
        """Pictures as PyAV gives them, up to the end or the first damage, which is noted."""
        started = False
        try:
            for packet in self._container.demux(self._stream):
                try:
                    pictures = packet.decode()
                except self._av.error.InvalidDataError:
                    if started and not self._is_stream:
                        raise
                    continue  # a recording may begin between two key frames
                started |= bool(pictures)
                yield from pictures
        except self._av.error.FFmpegError as error:
            self.warning = error.strerror


class ImageSource:
    """A folder of images.

    Files named by numbers from 1 (``000001.jpg``) are the frames of those numbers, as MOTChallenge has them; any
    others, also those numbered from 0, are counted from 1 in the order of their names, 9 before 10.
    """

    frame_rate: float | None = None

    def __init__(self, folder: Path) -> None:
        self._av = _import_av()
        if not folder.is_dir():
            raise InvalidFile(f"there is no folder of images {folder}", remedy="name a folder or a video file")
        files = [path for path in folder.iterdir() if path.suffix.lower() in _IMAGE_SUFFIXES]
        if not files:
            raise InvalidFile(f"{folder} holds no images", remedy="name a folder of images or a video file")
        self._files = _numbered(files)
        self.frame_count: int | None = len(files)
        self.warning: str | None = None

    def __iter__(self) -> Iterator[Frame]:
        first = min(self._files)
        for index, path in sorted(self._files.items()):
            try:
                image = self._read(path)
            except InvalidFile as error:
                if index == first:
                    raise
                self.warning = f"{error.message}; the images from there on were not read"
                return
            yield Frame(index, image, (index - first) / _ASSUMED_RATE)

    def _read(self, path: Path) -> NDArray[np.uint8]:
        container, stream = _open_video(self._av, str(path))
        with closing(container):
            try:
                picture = next(container.decode(stream), None)
            except self._av.error.FFmpegError as error:
                raise _no_video(str(path), error.strerror) from error
        if picture is None:
            raise _no_video(str(path), "no picture in it")
        return _upright(picture)

    def close(self) -> None:
        """Nothing is held between two images."""


def _import_av() -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingDependency("PyAV", extra="video", purpose="reading videos and images") from error
    return av


def _open_video(av: Any, location: str, *, is_stream: bool = False) -> tuple[Any, Any]:
    """The container and its first video stream, whose decoder stops at damage unless it is a stream's."""
    address = location if is_stream else f"file:{location}"  # or FFmpeg takes what stands before a colon for a protocol
    # Until version 19 PyAV refuses a file whose metadata is no UTF-8, unless it is told to take it.
    lenient = {"metadata_errors": "ignore"} if int(av.__version__.partition(".")[0]) < 19 else {}
    told = {} if is_stream else {"pattern_type": "none"}  # of%03d.png is one image
    try:
        container = av.open(address, options=told, timeout=_STREAM_TIMEOUT_S if is_stream else None, **lenient)
    except av.error.FFmpegError as error:
        raise _no_video(location, error.strerror) from error
    stream = next(iter(container.streams.video), None)
    if stream is None or stream.codec_context.name in _TEXT_CODECS:
        container.close()
        raise _no_video(location, "no pictures in it")
    if not is_stream:
        stream.codec_context.options = {"err_detect": "explode"}
    return container, stream


def _no_video(location: str, reason: str) -> InvalidFile:
    return InvalidFile(
        f"cannot read {location} as video ({reason})", remedy="name a video file, a folder of images or a stream's URL"
    )


def _numbered(files: list[Path]) -> dict[int, Path]:
    """Files by frame number."""
    if all(path.stem.isascii() and path.stem.isdigit() and int(path.stem) > 0 for path in files):
        numbered = {int(path.stem): path for path in files}
        if len(numbered) == len(files):
            return numbered
    return dict(enumerate(sorted(files, key=_as_people_count), 1))


def _as_people_count(path: Path) -> tuple[list[str | int], str]:
    """A key that sorts names by the numbers in them: frame9.png before frame10.png."""
    parts = re.split("([0-9]+)", path.name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], path.name


def _upright(picture: Any) -> NDArray[np.uint8]:
    """The picture as (H, W, 3) uint8 BGR, turned as a phone's recording says it was held."""
    image: NDArray[np.uint8] = picture.to_ndarray(format="bgr24")
    turns = round(picture.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
