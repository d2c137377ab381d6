"""Writes a street as a MOTChallenge sequence, whole or not at all.

FOLDER/
    seqinfo.ini
    gt/gt.txt       frame,id,x,y,w,h,1,1,visibility     whole bodies of whoever can be seen
    det/det.txt     frame,-1,x,y,w,h,score,-1,-1,-1
    street.mp4      or, of images, img1/000001.jpg …
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.street.street import Street, StreetConfig
from reidkit.calibration.street.view import StreetFrame
from reidkit.runtime.artifact.publication import publication
from reidkit.runtime.errors import InvalidFile, InvalidInput, MissingDependency
from reidkit.runtime.video.sequence_info import FILE_NAME as SEQUENCE_INFO
from reidkit.runtime.video.sinks import VideoSink

TRUTH, DETECTIONS = Path("gt/gt.txt"), Path("det/det.txt")
VIDEO, IMAGES = "street.mp4", "img1"
_JPEG_QUALITY = 95


@dataclass(frozen=True, slots=True)
class WrittenSequence:
    """What was written.

    Attributes:
        input: the video or the folder of images.
        truth_file, detections_file: `gt.txt` and `det.txt`.
        frames: how many.
        identities: how many different people can be seen.
        boxes: lines of ground truth.
        detections: lines of detections.
    """

    input: Path
    truth_file: Path
    detections_file: Path
    frames: int
    identities: int
    boxes: int
    detections: int


def write_sequence(
    street: Street, folder: Path, *, images: bool = False, on_frame: Callable[[int], None] | None = None
) -> WrittenSequence:
    """Render a street, as its first camera sees it, into a folder that appears when all of it is there.

    Args:
        street: what to render.
        folder: must be new or empty.
        images: write a folder of JPEG images instead of a video.
        on_frame: called with each frame's number when it is written.

    Raises:
        InvalidInput: the folder exists and holds something.
        InvalidFile: it cannot be written.
        MissingDependency: PyAV, or OpenCV for images, is not installed.
    """
    with new_folder(folder) as new:
        return write_frames(street, street.config, new, folder, images=images, on_frame=on_frame)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to write into, which becomes `folder` when the block ends without an exception.

    Raises:
        InvalidInput: `folder` exists and holds something.
        InvalidFile: it cannot be written.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InvalidInput(f"{folder} exists and is not an empty folder", remedy="choose another name or remove it")
        with publication(folder) as new:
            yield new
    except OSError as error:
        raise InvalidFile(
            f"cannot write {folder} ({error.strerror or error})", remedy="choose another output folder"
        ) from error


def write_frames(
    frames: Iterable[StreetFrame],
    config: StreetConfig,
    new: Path,
    folder: Path,
    *,
    images: bool,
    on_frame: Callable[[int], None] | None,
) -> WrittenSequence:
    """Write frames into the folder `new`, which will be known as `folder`; for the rest see `write_sequence`."""
    with ExitStack() as stack:
        for file in (TRUTH, DETECTIONS):
            (new / file).parent.mkdir(parents=True)
        truth = stack.enter_context((new / TRUTH).open("w", encoding="ascii"))
        found = stack.enter_context((new / DETECTIONS).open("w", encoding="ascii"))
        if images:
            write_image = _image_writer(new / IMAGES)
        else:
            write_image = stack.enter_context(VideoSink.open(new / VIDEO, frame_rate=config.fps)).write
        (new / SEQUENCE_INFO).write_text(
            f"[Sequence]\nname={folder.name}\nimDir={IMAGES}\nframeRate={config.fps:g}\nseqLength={config.frames}\n"
            f"imWidth={config.width}\nimHeight={config.height}\nimExt=.jpg\n",
            encoding="utf-8",
        )
        seen: set[int] = set()
        boxes = detections = 0
        for number, frame in enumerate(frames, 1):
            write_image(frame.image)
            truth.writelines(_truth_lines(number, frame))
            found.writelines(_detection_lines(number, frame))
            seen.update(frame.ids.tolist())
            boxes, detections = boxes + len(frame.ids), detections + len(frame.detections)
            if on_frame is not None:
                on_frame(number)
    return WrittenSequence(
        input=folder / (IMAGES if images else VIDEO),
        truth_file=folder / TRUTH,
        detections_file=folder / DETECTIONS,
        frames=config.frames,
        identities=len(seen),
        boxes=boxes,
        detections=detections,
    )


def _truth_lines(number: int, frame: StreetFrame) -> Iterator[str]:
    for identity, box, visibility in zip(frame.ids, frame.boxes_xyxy, frame.visibility, strict=True):
        yield f"{number},{identity},{_xywh(box)},1,1,{visibility:.3f}\n"


def _detection_lines(number: int, frame: StreetFrame) -> Iterator[str]:
    for box, score in zip(frame.detections.boxes_xyxy, frame.detections.scores, strict=True):
        yield f"{number},-1,{_xywh(box)},{score:.3f},-1,-1,-1\n"


def _xywh(box_xyxy: NDArray[np.float64]) -> str:
    left, top, right, bottom = box_xyxy.tolist()
    return f"{left:.2f},{top:.2f},{right - left:.2f},{bottom - top:.2f}"


def _image_writer(folder: Path) -> Callable[[NDArray[np.uint8]], None]:
    """Writes frames as numbered images."""
    try:
        import cv2
    except ImportError as error:
        raise MissingDependency("OpenCV", extra="video", purpose="writing images") from error
    folder.mkdir()
    numbers = count(1)

    def write(image: NDArray[np.uint8]) -> None:
        path = folder / f"{next(numbers):06d}.jpg"
        if not cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]):
            raise InvalidFile(f"cannot write {path}", remedy="make room for it")

    return write
