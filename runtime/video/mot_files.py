"""MOTChallenge text files: detections in, ground truth and tracks in and out.

One box a line, ``frame,id,x,y,w,h,confidence`` and more: frames count from 1, ``x,y`` is the top left corner in
pixels. MOT16 and later add ``class,visibility``; MOT15 adds world coordinates instead, which nobody here needs.
A line that breaks these rules is `InvalidFile` naming file, line and reason; nothing is skipped or repaired.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.detectors.detections import Detections
from reidkit.runtime.errors import InvalidFile
from reidkit.runtime.files import whole_file
from reidkit.runtime.tracking.observation import MAX_COORDINATE, MIN_SIZE
from reidkit.runtime.tracking.tracks import Tracks

_REQUIRED_COLUMNS = 7
_CLASS_COLUMNS = (8, 9)  # line widths in which the 8th value is a class; in MOT15's ten it is a world coordinate
_LARGEST_INDEX = 2.0**31


@dataclass(frozen=True, slots=True, eq=False)
class MotTable:
    """Ground truth or tracks as columns, in the order of the file's lines.

    Attributes:
        frames: (K,) int64, from 1.
        ids: (K,) int64; each at most once in a frame.
        boxes_xywh: (K, 4) float64, top left corner and size in pixels.
        scores: (K,) float64, the 7th column: confidence, or in ground truth 1 for "counts" and 0 for "ignore".
        classes: (K,) int64, the 8th column of MOT16 and later; -1 where there is none.
        visibility: (K,) float64, the 9th column of MOT16 and later; 1 where there is none.
    """

    frames: NDArray[np.int64]
    ids: NDArray[np.int64]
    boxes_xywh: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]
    visibility: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.frames)

    @staticmethod
    def of(tracked: Sequence[tuple[int, Tracks]]) -> MotTable:
        """What a tracker said of each frame, by the frame's number; without classes."""
        counts = [len(tracks) for _, tracks in tracked]
        corners = np.concatenate([np.zeros((0, 4)), *(tracks.boxes_xyxy for _, tracks in tracked)])
        return MotTable(
            frames=np.repeat(np.array([frame for frame, _ in tracked], np.int64), counts),
            ids=np.concatenate([np.zeros(0, np.int64), *(tracks.ids for _, tracks in tracked)]),
            boxes_xywh=np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]]),
            scores=np.concatenate([np.zeros(0), *(tracks.scores for _, tracks in tracked)]),
            classes=np.full(sum(counts), -1, np.int64),
            visibility=np.ones(sum(counts)),
        )

    def pick(self, rows: NDArray[np.bool_]) -> MotTable:
        """The lines for which (K,) `rows` is true."""
        return MotTable(**{column.name: getattr(self, column.name)[rows] for column in fields(self)})


def read_tracks(path: Path | str) -> MotTable:
    """Ground truth (`gt.txt`) or a tracker's output. Raises `InvalidFile`."""
    table, lines = _read(Path(path))
    _check_ids(Path(path), table, lines)
    rows, columns = table.shape
    return MotTable(
        frames=table[:, 0].astype(np.int64),
        ids=table[:, 1].astype(np.int64),
        boxes_xywh=table[:, 2:6].copy(),
        scores=table[:, 6].copy(),
        classes=table[:, 7].astype(np.int64) if columns in _CLASS_COLUMNS else np.full(rows, -1, dtype=np.int64),
        visibility=table[:, 8].copy() if columns == _CLASS_COLUMNS[-1] else np.ones(rows),
    )


def read_detections(path: Path | str) -> dict[int, Detections]:
    """Detections by frame (`det.txt`), each frame's in the order of the file; all are people (class 0).

    Frames without a line are absent. Raises `InvalidFile`.
    """
    table, lines = _read(Path(path))
    scores, sizes = table[:, 6], table[:, 4:6]
    boxes_xyxy = np.concatenate([table[:, 2:4], table[:, 2:4] + sizes], axis=1)
    faults = {
        "the confidence is not within 0 and 1": (scores < 0) | (scores > 1),
        f"the box reaches beyond ±{MAX_COORDINATE:g} pixels": np.any(np.abs(boxes_xyxy) > MAX_COORDINATE, axis=1),
        f"the box is smaller than {MIN_SIZE:g} pixels": np.any(sizes < MIN_SIZE, axis=1),
    }
    _refuse(Path(path), lines, faults)
    order = np.argsort(table[:, 0], kind="stable")
    frames, starts = np.unique(table[order, 0].astype(np.int64), return_index=True)
    parts = zip(frames, np.split(boxes_xyxy[order], starts[1:]), np.split(scores[order], starts[1:]), strict=False)
    return {
        int(frame): Detections(boxes, scores, np.zeros(len(scores), dtype=np.int64)) for frame, boxes, scores in parts
    }


class TracksWriter:
    """Writes ``frame,id,x,y,w,h,confidence,-1,-1,-1`` lines. Made by `TracksWriter.open`."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    @staticmethod
    @contextmanager
    def open(path: Path) -> Iterator[TracksWriter]:
        """A writer for the duration of a `with` block; `path` appears when the block ends without an error."""
        with whole_file(path) as temporary, temporary.open("w", encoding="ascii") as file:
            yield TracksWriter(file)

    def write(
        self, frame: int, ids: NDArray[np.int64], boxes_xyxy: NDArray[np.floating], scores: NDArray[np.floating]
    ) -> None:
        """Append one frame's tracks: ids (T,), boxes_xyxy (T, 4) in pixels, scores (T,)."""
        for identity, (x1, y1, x2, y2), score in zip(ids.tolist(), boxes_xyxy.tolist(), scores.tolist(), strict=True):
            box = f"{x1:.7g},{y1:.7g},{x2 - x1:.7g},{y2 - y1:.7g}"
            self._file.write(f"{frame},{identity},{box},{score:.4g},-1,-1,-1\n")


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that holds something, and where it stands."""

    number: int
    text: str


def _read(path: Path) -> tuple[NDArray[np.float64], list[_Line]]:
    """All numbers of the file, (K, columns) float64, checked; and the line each row came from."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidFile(f"cannot read {path} ({error.strerror})", remedy="name a MOTChallenge text file") from error
    except UnicodeDecodeError as error:
        raise InvalidFile(f"{path} is not a text file", remedy="name a MOTChallenge text file") from error
    lines = [_Line(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        return np.empty((0, _REQUIRED_COLUMNS)), []
    try:
        table = _parse([line.text for line in lines])
    except ValueError as error:
        raise _malformed(path, lines) from error
    if table.shape[1] < _REQUIRED_COLUMNS:
        raise _malformed(path, lines)
    _check_values(path, table, lines)
    return table, lines


def _parse(lines: list[str]) -> NDArray[np.float64]:
    return np.loadtxt(lines, delimiter=",", comments=None, ndmin=2, dtype=np.float64)


def _malformed(path: Path, lines: list[_Line]) -> InvalidFile:
    """The error for the first line that is no list of numbers, or not as long as the first line."""
    columns = max(_REQUIRED_COLUMNS, lines[0].text.count(",") + 1)
    for line in lines:
        try:
            found = _parse([line.text]).shape[1]
        except ValueError:
            return _invalid(path, line, "not numbers separated by commas (frame,id,x,y,w,h,confidence,…)")
        if found != columns:
            return _invalid(path, line, f"{found} values where {columns} are expected (frame,id,x,y,w,h,confidence,…)")
    raise AssertionError("every line parses alone, yet the file does not")


def _check_values(path: Path, table: NDArray[np.float64], lines: list[_Line]) -> None:
    frames, ids = table[:, 0], table[:, 1]
    with np.errstate(invalid="ignore"):  # infinities have no remainder
        faults = {
            "a value is not finite": ~np.isfinite(table).all(axis=1),
            "the frame is not a whole number from 1": (frames < 1) | (frames % 1 != 0) | (frames > _LARGEST_INDEX),
            "the id is not a whole number": (ids % 1 != 0) | (np.abs(ids) > _LARGEST_INDEX),
            "width and height must be positive": (table[:, 4:6] <= 0).any(axis=1),
        }
    _refuse(path, lines, faults)


def _check_ids(path: Path, table: NDArray[np.float64], lines: list[_Line]) -> None:
    """Refuse an id that stands twice in one frame, as in a detections file, where all ids are -1."""
    order = np.lexsort((table[:, 1], table[:, 0]))
    twice = (np.diff(table[order, :2], axis=0) == 0).all(axis=1)
    if twice.any():
        row = int(order[1:][twice].min())
        reason = f"id {table[row, 1]:.0f} stands twice in frame {table[row, 0]:.0f}"
        raise _invalid(path, lines[row], reason, remedy="name a file of ground truth or tracks, not of detections")


def _refuse(path: Path, lines: list[_Line], faults: dict[str, NDArray[np.bool_]]) -> None:
    """Raise for the first row that has one of the faults."""
    faulty = np.logical_or.reduce(list(faults.values()))
    if faulty.any():
        row = int(np.argmax(faulty))
        raise _invalid(path, lines[row], next(reason for reason, rows in faults.items() if rows[row]))


def _invalid(path: Path, line: _Line, reason: str, *, remedy: str = "correct or remove that line") -> InvalidFile:
    shown = line.text.strip()
    shown = shown if len(shown) <= 80 else f"{shown[:77]}…"
    return InvalidFile(f"{path}:{line.number}: {reason}: {shown!r}", remedy=remedy)
