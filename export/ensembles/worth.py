"""What an ensemble gains over its parts, and what it costs: retrieval on crops with identities, time on the engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.crops import read_crops
from reidkit.calibration.metrics import Gallery, RetrievalScores, read_gallery, score_retrieval
from reidkit.export.ensembles.ensemble import Ensemble, Part
from reidkit.export.onnx import CropEmbedder
from reidkit.runtime.engines import open_artifact
from reidkit.runtime.errors import InvalidFile, InvalidInput

ROUNDS = 7
"""Batches that every engine is timed with, after one to warm up; the engines take turns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One part, or the whole.

    Attributes:
        name: of the backbone.
        weight: length of its embedding in the joined one; None for the whole.
        dim: width of its embedding.
        macs: multiplications (each with its addition) for one crop.
        mean_average_precision, rank_1: in percent; None where there was no gallery.
        ms_per_crop: on the engine, in full batches; None where it was not run.
    """

    name: str
    weight: float | None
    dim: int
    macs: int
    mean_average_precision: float | None = None
    rank_1: float | None = None
    ms_per_crop: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """Parts and whole side by side.

    Attributes:
        explained: share of the variance that the projection keeps; None without one.
        gallery: name of the folder that retrieval was measured on; None without one.
        queries: how many crops of it were asked for.
        notes: what is not quite as the figures suggest.
    """

    parts: tuple[Member, ...]
    whole: Member
    explained: float | None = None
    gallery: str | None = None
    queries: int = 0
    notes: tuple[str, ...] = ()

    @property
    def gain(self) -> float | None:
        """Points of mAP that the whole has more than the best part; None where retrieval was not measured."""
        best, whole = self._best().mean_average_precision, self.whole.mean_average_precision
        return None if best is None or whole is None else whole - best

    def to_dict(self) -> dict[str, Any]:
        """``ensemble`` in what ``reid-export --json`` prints."""
        return {**dataclasses.asdict(self), "gain": self.gain}

    def lines(self) -> list[str]:
        """For people: a table, a line for each part and one for the whole, and what it comes to."""
        members = (*self.parts, replace(self.whole, name="together"))
        names = max(len(member.name) for member in members)
        heading = f"  {'part':<{names}}{'weight':>8}{'width':>7}{'GMACs':>8}{'ms/crop':>9}{'mAP':>7}{'rank-1':>8}"
        lines = [heading, *(f"  {member.name:<{names}}{_figures(member)}" for member in members)]
        if self.gain is not None:
            lines.append(f"  gain    {self.gain:+.1f} mAP over {self._best().name}{self._cost()}")
            lines.append(f"          on {self.queries} queries in {self.gallery}")
        if self.explained is not None:
            lines.append(f"  axes    {self.explained:.1%} of the variance is along the {self.whole.dim} that are kept")
        return [*lines, *(f"  note    {note}" for note in self.notes)]

    def _best(self) -> Member:
        """The part with the highest mAP; any, where none was measured."""
        return max(self.parts, key=lambda part: part.mean_average_precision or 0)

    def _cost(self) -> str:
        alone, whole = self._best().ms_per_crop, self.whole.ms_per_crop
        return "" if alone is None or whole is None else f", in {whole / alone:.1f} times its time"


def counted(ensemble: Ensemble) -> Worth:
    """What is known without any crops: widths and multiplications."""
    projecting = 0 if ensemble.projection is None else ensemble.projection.axes.size
    return Worth(
        parts=tuple(
            Member(name=part.name, weight=part.weight, dim=part.dim, macs=part.macs) for part in ensemble.parts
        ),
        whole=Member(
            name="+".join(part.name for part in ensemble.parts),
            weight=None,
            dim=ensemble.dim,
            macs=sum(part.macs for part in ensemble.parts) + projecting,
        ),
        explained=ensemble.projection.explained if ensemble.projection else None,
        notes=ensemble.compromises(),
    )


def find_gallery(folder: Path | None, *, crops: Path | None) -> Gallery | None:
    """The labelled crops to measure on: those of `folder`, else of `crops` where its file names carry identities.

    Raises:
        InvalidFile: `folder` has no crops that tell who is seen where.
        InvalidInput: nobody in `folder` is seen by two cameras.
    """
    if folder is not None:
        gallery = read_gallery(folder)
        if not _has_matches(gallery):
            raise InvalidInput(f"nobody in {folder} is seen by two cameras", remedy="give a gallery of several cameras")
        return gallery
    if crops is None:
        return None
    try:
        gallery = read_gallery(crops)
    except InvalidFile:
        return None  # crops without identities, which serve for all else
    return gallery if _has_matches(gallery) else None


def with_retrieval(worth: Worth, ensemble: Ensemble, gallery: Gallery) -> Worth:
    """The same with mAP and rank-1: of each part with its own crops, as it would be alone, and of the whole."""
    units = ensemble.unit_embeddings(read_crops(gallery.paths, ensemble.preprocessing))
    alone = [
        rows if part.preprocessing == ensemble.preprocessing else _alone(part, gallery)
        for part, rows in zip(ensemble.parts, units, strict=True)
    ]
    whole = score_retrieval(gallery, ensemble.join(units))
    return replace(
        worth,
        parts=tuple(
            _scored(member, score_retrieval(gallery, rows)) for member, rows in zip(worth.parts, alone, strict=True)
        ),
        whole=_scored(worth.whole, whole),
        gallery=gallery.paths[0].parent.name,
        queries=whole.queries,
    )


def with_times(worth: Worth, *, parts: Sequence[Path], whole: Path) -> Worth:
    """The same with the time of each artifact on this box, with the engine's own choice of device and threads."""
    with ExitStack() as stack:
        opened = [stack.enter_context(open_artifact(path)) for path in (*parts, whole)]
        batches = [_noise(engine.batch_memory(engine.max_batch)) for engine in opened]
        times: list[list[float]] = [[] for _ in opened]
        for _ in range(1 + ROUNDS):
            for engine, batch, taken in zip(opened, batches, times, strict=True):
                started = perf_counter()
                engine.embed(batch)
                taken.append(1000 * (perf_counter() - started) / len(batch))
    *each, last = [median(taken[1:]) for taken in times]
    return replace(
        worth,
        parts=tuple(replace(member, ms_per_crop=ms) for member, ms in zip(worth.parts, each, strict=True)),
        whole=replace(worth.whole, ms_per_crop=last),
    )


def _alone(part: Part, gallery: Gallery) -> NDArray[np.float32]:
    embedder = CropEmbedder(part.backbone.module, part.preprocessing)
    return embedder.embed(read_crops(gallery.paths, part.preprocessing))


def _has_matches(gallery: Gallery) -> bool:
    """Whether there is somebody whom two cameras saw."""
    people = gallery.identities > 0
    seen = np.unique(np.stack([gallery.identities[people], gallery.cameras[people]]), axis=1)[0]
    return len(np.unique(seen)) < len(seen)


def _scored(member: Member, scores: RetrievalScores) -> Member:
    return replace(member, mean_average_precision=100 * scores.mean_average_precision, rank_1=100 * scores.rank(1))


def _noise(batch: NDArray[Any]) -> NDArray[Any]:
    batch[:] = np.random.default_rng(0).integers(0, 256, batch.shape)
    return batch


def _figures(member: Member) -> str:
    """All columns but the name."""
    weight = "" if member.weight is None else f"{member.weight:g}"
    figures = [(member.ms_per_crop, 9, 2), (member.mean_average_precision, 7, 1), (member.rank_1, 8, 1)]
    measured = "".join(f"{'-' if value is None else f'{value:.{digits}f}':>{size}}" for value, size, digits in figures)
    return f"{weight:>8}{member.dim:>7}{member.macs / 1e9:>8.3f}{measured}"
