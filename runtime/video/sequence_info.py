"""`seqinfo.ini`, in which MOTChallenge notes what it knows about a sequence."""

from __future__ import annotations

from collections.abc import Iterable
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from dataclasses import dataclass
from pathlib import Path

from reidkit.runtime.errors import InvalidFile

FILE_NAME = "seqinfo.ini"


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
    parser = ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8-sig"))
        frame_rate = parser.getfloat("Sequence", "frameRate")
    except (OSError, ValueError, ConfigParserError) as error:
        reason = " ".join(str(error).split())
        raise InvalidFile(f"cannot read {path} ({reason})", remedy="correct or remove it, or name --fps") from error
    if not 0 < frame_rate < float("inf"):
        raise InvalidFile(f"{path} says frameRate={frame_rate:g}", remedy="correct or remove it, or name --fps")
    return SequenceInfo(path, frame_rate, path.parent / parser.get("Sequence", "imDir", fallback="img1"))


def find_sequence_info(paths: Iterable[Path]) -> SequenceInfo | None:
    """The first `seqinfo.ini` in the folders named, in the folders of the files named, or one folder above."""
    for path in paths:
        home = path if path.is_dir() else path.parent
        for folder in (home, home.absolute().parent):
            if (folder / FILE_NAME).is_file():
                return read_sequence_info(folder / FILE_NAME)
    return None
