"""`seqinfo.ini`, in which MOTChallenge notes what it knows about a sequence."""

from __future__ import annotations

import math
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from dataclasses import dataclass
from pathlib import Path

from reidkit.runtime.errors import InvalidFile

FILE_NAME = "seqinfo.ini"
LOWEST_RATE, HIGHEST_RATE = 0.01, 10_000.0
"""Frames per second of what can be tracked."""


@dataclass(frozen=True, slots=True)
class SequenceInfo:
    """What a `seqinfo.ini` says that is of use here.

    Attributes:
        path: the file.
        frame_rate: frames per second.
        image_folder: folder of the frames, beside the file.
    """

    path: Path
    frame_rate: float
    image_folder: Path


def read_sequence_info(path: Path) -> SequenceInfo:
    """The contents of a `seqinfo.ini`. Raises `InvalidFile`."""
    parser = _parsed(path, remedy="correct or remove it, or name --fps")
    said = parser.get("Sequence", "frameRate", fallback="nothing")
    try:
        frame_rate = float(said)
    except ValueError:
        frame_rate = math.nan
    if not LOWEST_RATE <= frame_rate <= HIGHEST_RATE:
        raise InvalidFile(
            f"{path} says frameRate={said}, which is no number from {LOWEST_RATE:g} to {HIGHEST_RATE:g}",
            remedy="correct it, or name --fps",
        )
    return SequenceInfo(path, frame_rate, _image_folder(path, parser))


def read_image_folder(path: Path) -> Path:
    """The folder of images that a `seqinfo.ini` names, whatever it says besides. Raises `InvalidFile`."""
    return _image_folder(path, _parsed(path, remedy="correct or remove it"))


def _parsed(path: Path, *, remedy: str) -> ConfigParser:
    parser = ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, ConfigParserError) as error:
        reason = " ".join(str(error).split())
        raise InvalidFile(f"cannot read {path} ({reason})", remedy=remedy) from error
    return parser


def _image_folder(path: Path, parser: ConfigParser) -> Path:
    return path.parent / parser.get("Sequence", "imDir", fallback="img1")


def find_sequence_info(source: Path, detections: Path | None) -> SequenceInfo | None:
    """The `seqinfo.ini` of a sequence, None where there is none.

    Looked for in the source's folder, above it if that is a folder of images, beside the detections and above them.

    Args:
        source: video file, folder of images or sequence folder.
        detections: detections file, ``det/det.txt`` in MOTChallenge's layout.
    """
    folders = [source, source.absolute().parent]
    if detections is not None:
        folders += [detections.absolute().parent, detections.absolute().parent.parent]
    for folder in folders:
        if (folder / FILE_NAME).is_file():
            return read_sequence_info(folder / FILE_NAME)
    return None
