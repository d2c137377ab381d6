"""`python -m bench.observe VIDEO`: what a detector and a network say of every frame, once, for trackers to be run on.

The file (.npz) holds a row a detection: ``frame`` (from 1), ``boxes_xyxy``, ``scores``, ``embeddings`` (zero below the
score from which trackers read them); and ``frames``, ``width`` and ``height`` of the sequence.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import click
import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.metrics.pairing import best_pairs
from reidkit.calibration.metrics.sequence import intersection_over_union
from reidkit.runtime import open_artifact
from reidkit.runtime.detectors import open_detector
from reidkit.runtime.detectors.detections import Detections
from reidkit.runtime.engines import have_pixels
from reidkit.runtime.inference_libraries import import_openvino
from reidkit.runtime.native import cut_crops
from reidkit.runtime.video.mot_files import MotTable, read_detections
from reidkit.runtime.video.sources import open_source

LOW_SCORE, HIGH_SCORE = 0.1, 0.6
_SAME_PERSON = 0.5
_PART_OF_PERSON = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class SeenFrame:
    """What a detector and an engine say of a frame, and whose detections these are.

    Attributes:
        boxes_xyxy: (N, 4) float64, pixels.
        scores: (N,) float64.
        embeddings: (N, D) float32, or None; rows of detections below the tracker's high score are never read.
        people: (N,) int64, ground-truth id of the person a detection shows, -1 nobody's.
        size: width and height of the picture.
        covered: (N,) int64, ground-truth id of whom a detection overlaps best by `_PART_OF_PERSON`, -1 nobody.
    """

    boxes_xyxy: NDArray[np.float64]
    scores: NDArray[np.float64]
    embeddings: NDArray[np.float32] | None
    people: NDArray[np.int64]
    covered: NDArray[np.int64]
    size: tuple[int, int]

    def without(self, person: int) -> SeenFrame:
        """The frame as if `person` were hidden."""
        kept = (self.people != person) & (self.covered != person)
        embeddings = None if self.embeddings is None else self.embeddings[kept]
        return SeenFrame(
            self.boxes_xyxy[kept], self.scores[kept], embeddings, self.people[kept], self.covered[kept], self.size
        )


def read_scene(path: Path, truth: MotTable, *, embeddings: str | None = "embeddings") -> list[SeenFrame]:
    """The frames of a file written by `bench.observe`, with the people of `truth` found in them.

    Args:
        path: .npz of ``frame`` (from 1), ``boxes_xyxy``, ``scores`` and embeddings, a row a detection, and ``frames``.
        truth: the sequence's ground truth.
        embeddings: name of the embeddings to read; None: none.
    """
    with np.load(path, allow_pickle=False) as archive:
        frame, boxes, scores = archive["frame"], archive["boxes_xyxy"].astype(float), archive["scores"].astype(float)
        appearance = None if embeddings is None else archive[embeddings]
        count = int(archive["frames"])
        size = int(archive["width"]), int(archive["height"])
    return [
        seen_frame(
            boxes[rows], scores[rows], None if appearance is None else appearance[rows], truth, frame=number, size=size
        )
        for number in range(1, count + 1)
        for rows in [np.flatnonzero(frame == number)]
    ]


def seen_frame(
    boxes_xyxy: NDArray[np.float64],
    scores: NDArray[np.float64],
    embeddings: NDArray[np.float32] | None,
    truth: MotTable,
    *,
    frame: int,
    size: tuple[int, int],
) -> SeenFrame:
    """Detections of one frame (numbered from 1), told whose they are."""
    there = np.flatnonzero((truth.frames == frame) & (truth.scores > 0))
    ids = truth.ids[there]
    boxes_xywh = np.column_stack([boxes_xyxy[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]])
    overlap = intersection_over_union(boxes_xywh, truth.boxes_xywh[there])
    people, covered = np.full(len(boxes_xyxy), -1), np.full(len(boxes_xyxy), -1)
    if overlap.size:
        rows, columns = best_pairs(np.where(overlap >= _SAME_PERSON, overlap, 0))
        people[rows] = ids[columns]
        part = overlap.max(axis=1) >= _PART_OF_PERSON
        covered[part] = ids[overlap.argmax(axis=1)[part]]
    return SeenFrame(boxes_xyxy, scores, embeddings, people, covered, size)


class Embedder(Protocol):
    """Turns people into embeddings."""

    def __call__(self, image: NDArray[np.uint8], boxes_xyxy: NDArray[np.float64]) -> NDArray[np.float32]:
        """(N, D) of (N, 4) boxes in a (H, W, 3) BGR picture."""


def embedder(network: Path) -> Embedder:
    """An artifact's folder, or an OpenVINO IR that takes 256 x 128 BGR values of 0..255 one by one (Intel's 0287)."""
    if network.is_dir():
        engine = open_artifact(network, threads=1)
        return lambda image, boxes_xyxy: engine.embed(engine.cut(image, boxes_xyxy))
    openvino = import_openvino("Intel's network")
    compiled = openvino.Core().compile_model(str(network), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def embed(image: NDArray[np.uint8], boxes_xyxy: NDArray[np.float64]) -> NDArray[np.float32]:
        crops = np.zeros((len(boxes_xyxy), 3, 256, 128), np.uint8)
        cut_crops(image, boxes_xyxy.astype(np.float32), crops, swap_colors=False, antialias=False, layout="nchw")
        return np.concatenate([compiled(crop[None].astype(np.float32))[0].reshape(1, -1) for crop in crops])

    return embed


@click.command()
@click.argument("video", type=click.Path(exists=True, path_type=Path))
@click.option("--network", required=True, type=click.Path(exists=True, path_type=Path), help="Artifact, or IR.")
@click.option("--detector", type=click.Path(exists=True, path_type=Path), help="Detector's ONNX file.")
@click.option("--detections", type=click.Path(exists=True, path_type=Path), help="det.txt instead of a detector.")
@click.option("--output", required=True, type=click.Path(path_type=Path), help="The .npz to write.")
def main(video: Path, network: Path, detector: Path | None, detections: Path | None, output: Path) -> None:
    """Detect and embed the people in VIDEO once."""
    if (detector is None) == (detections is None):
        raise click.UsageError("give either --detector or --detections")
    eye = None if detector is None else open_detector(detector, threads=1)
    given = {} if detections is None else read_detections(detections)
    embed = embedder(network)
    columns: dict[str, list[NDArray[np.generic]]] = {"frame": [], "boxes_xyxy": [], "scores": []}
    embeddings: list[NDArray[np.float32]] = []
    embedded: list[NDArray[np.bool_]] = []
    count, height, width = 0, 0, 0
    with closing(open_source(video)) as source:
        for count, frame in enumerate(source, 1):
            height, width = frame.image.shape[:2]
            seen = given.get(count, Detections.none()) if eye is None else eye.detect(frame.image)
            kept = np.flatnonzero(seen.scores >= LOW_SCORE)
            kept = kept[have_pixels(seen.boxes_xyxy[kept], height=height, width=width)]
            boxes, scores = seen.boxes_xyxy[kept], np.minimum(seen.scores[kept], 1)
            columns["frame"].append(np.full(kept.size, count))
            columns["boxes_xyxy"].append(boxes)
            columns["scores"].append(scores)
            embedded.append(scores >= HIGH_SCORE)
            if embedded[-1].any():
                embeddings.append(embed(frame.image, boxes[embedded[-1]]))
    high, values = np.concatenate(embedded), np.concatenate(embeddings)
    appearance = np.zeros((high.size, values.shape[1]), np.float32)
    appearance[high] = values
    arrays: dict[str, Any] = {name: np.concatenate(parts) for name, parts in columns.items()}
    np.savez(output, **arrays, embeddings=appearance, frames=count, width=width, height=height)
    click.echo(f"{output}: {count} frames, {high.size} detections, {len(values)} embedded")


if __name__ == "__main__":
    main()
