"""Detectors, one file each: a frame in, boxes of people out."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

from reidkit.runtime.detectors.detections import Detections
from reidkit.runtime.detectors.detector import Detector
from reidkit.runtime.discovery import plugins
from reidkit.runtime.errors import InvalidFile

_SHARED_FILES = ("detections", "detector", "network", "suppression")

__all__ = ["Detections", "Detector", "open_detector"]


def open_detector(path: Path | str, *, threads: int | None = None) -> Detector:
    """The detector that a network file holds; each kind known here is asked whether it is its own.

    Args:
        path: network file, e.g. ``yolox_nano_416.onnx``.
        threads: threads for inference; None leaves it to the library.

    Raises:
        InvalidFile: the file is missing, damaged, or no detector known here.
        MissingDependency: no library that could run it is installed.
    """
    path = Path(path)
    if not path.is_file():
        raise InvalidFile(f"there is no detector file {path}", remedy="name an existing .onnx file")
    known = plugins(__name__, "DETECTOR", group="reidkit.detectors", besides=_SHARED_FILES)
    refusals = []
    for entry in known.values():
        detector = _open(entry, path, threads)
        if not isinstance(detector, InvalidFile):
            return detector
        refusals.append(detector)
    if len(refusals) == 1:
        raise refusals[0]
    raise InvalidFile(f"{path} is no detector known here", remedy="; ".join(map(str, refusals)))


def _open(entry: EntryPoint, path: Path, threads: int | None) -> Detector | InvalidFile:
    """The detector of that kind in the file, or why it is none."""
    try:
        detector: Detector = entry.load()(path, threads=threads)
    except InvalidFile as error:
        return error
    return detector
