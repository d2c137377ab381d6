"""A few embeddings of each tracklet, of frames in which nobody stands in front."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.engines import Engine, have_pixels
from reidkit.runtime.errors import InvalidFile
from reidkit.runtime.postprocessing.tracklets import Tracklet
from reidkit.runtime.video.sources import open_source, read_ahead


class Sampled(NamedTuple):
    """What a video says of its tracklets.

    Attributes:
        embeddings: of each tracklet, (K, D) float32 of unit length; K is 0 where nothing could be cut out.
        size: width and height of a frame.
        frame_rate: frames per second as the video has it, None where it says nothing.
    """

    embeddings: list[NDArray[np.float32]]
    size: tuple[int, int]
    frame_rate: float | None


def embed_tracklets(
    tracklets: Sequence[Tracklet],
    video: str | Path,
    engine: Engine,
    *,
    samples: int = 16,
    should_stop: Callable[[], bool] = lambda: False,
) -> Sampled:
    """Embeddings of some boxes of each tracklet.

    Args:
        tracklets: of that video.
        video: file, folder of images, MOTChallenge sequence or URL.
        engine: embeds.
        samples: at most so many of each tracklet, spread over it, the least overlapped boxes there.
        should_stop: asked at every frame, and while none comes.

    Raises:
        InvalidFile: the video cannot be read, or ends before the tracklets do.
        Interrupted: `should_stop` said so before the video was open.
    """
    wanted = _wanted(tracklets, samples)
    final = max(wanted, default=0)
    found: list[list[NDArray[np.float32]]] = [[] for _ in tracklets]
    last, size = 0, (0, 0)
    source = open_source(video, should_stop=should_stop)
    with closing(source), closing(read_ahead(source, should_stop=should_stop)) as ahead:
        for frame, _ in ahead:
            last, size = frame.index, (frame.image.shape[1], frame.image.shape[0])
            if should_stop():
                break
            rows = wanted.get(frame.index, [])
            boxes = np.array([tracklets[row].boxes_xyxy[place] for row, place in rows]).reshape(-1, 4)
            seen = np.flatnonzero(have_pixels(boxes, width=size[0], height=size[1]))
            if len(seen):
                for at, embedding in zip(seen, engine.embed_crops(frame.image, boxes[seen]), strict=True):
                    found[rows[at][0]].append(embedding)
            if last >= final:
                break
        else:
            if last < final and not should_stop():
                raise InvalidFile(
                    f"{video} has {last} frames, the tracks go on to frame {final}",
                    remedy="give the video that was tracked",
                )
    none = np.zeros((0, engine.embedding_dim), np.float32)
    return Sampled([np.stack(rows) if rows else none for rows in found], size, source.frame_rate)


def _wanted(tracklets: Sequence[Tracklet], samples: int) -> dict[int, list[tuple[int, int]]]:
    """By frame, the tracklets to embed in it and which of their boxes that is."""
    overlap = _overlaps(tracklets)
    wanted: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for row, tracklet in enumerate(tracklets):
        for part in np.array_split(np.arange(len(tracklet.frames)), min(samples, len(tracklet.frames))):
            place = int(part[np.argmin(overlap[row][part])])
            wanted[int(tracklet.frames[place])].append((row, place))
    return dict(wanted)


def _overlaps(tracklets: Sequence[Tracklet]) -> list[NDArray[np.float64]]:
    """Of every box, how large a share the other tracklets' boxes cover at most."""
    overlaps = [np.zeros(len(tracklet.frames)) for tracklet in tracklets]
    by_frame: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for row, tracklet in enumerate(tracklets):
        for place, frame in enumerate(tracklet.frames.tolist()):
            by_frame[frame].append((row, place))
    for present in by_frame.values():
        boxes = np.stack([tracklets[row].boxes_xyxy[place] for row, place in present])
        across = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - np.maximum(boxes[:, None, :2], boxes[None, :, :2])
        common = np.prod(np.maximum(across, 0), axis=2)
        np.fill_diagonal(common, 0)
        shares = common.max(axis=1) / np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
        for (row, place), share in zip(present, shares, strict=True):
            overlaps[row][place] = share
    return overlaps
