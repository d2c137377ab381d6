"""Teacher and student on labelled crops that nobody learns from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.crops import CropSet, read_crops
from reidkit.calibration.metrics import Gallery, read_gallery, score_retrieval
from reidkit.export.distillation.card import Retrieval
from reidkit.export.distillation.labels import Labels
from reidkit.export.distillation.teacher import Teacher
from reidkit.runtime.artifact.manifest import Preprocessing


@dataclass(frozen=True, slots=True, eq=False)
class Exam:
    """Labelled crops, and how well the teacher knows who is who on them.

    Attributes:
        gallery: who is seen where.
        images: (N, 3, H, W) uint8 RGB, of the student's size.
        teacher: the teacher's figures.
    """

    gallery: Gallery
    images: NDArray[np.uint8]
    teacher: Retrieval

    @staticmethod
    def prepare(
        folder: Path, teacher: Teacher, preprocessing: Preprocessing, *, cache: Path, should_stop: Callable[[], bool]
    ) -> Exam:
        """The crops of a folder; asked of the teacher before a training, so that nothing about them can fail after it.

        Args:
            folder: of crops named by identity and camera.
            teacher: takes the exam first.
            preprocessing: the student's.
            cache: folder of the teacher's answers.
            should_stop: asked between batches.

        Raises:
            InvalidFile: no such folder, a file that is no image, or a name that tells no identity.
            InvalidInput: nobody is seen by two cameras.
            EngineFailure: the teacher gives no usable embedding.
            Stopped: on request.
        """
        gallery = read_gallery(folder)
        images = read_crops(gallery.paths, replace(preprocessing, color="rgb", layout="nchw"))
        crops = CropSet(images, tuple(path.name for path in gallery.paths))
        answers = Labels.of(teacher, crops, seed=0, folder=cache, should_stop=should_stop).of_view(0)
        return Exam(gallery, images, _retrieval(gallery, answers.numpy()))

    def retrieval(self, embeddings: NDArray[np.float32]) -> Retrieval:
        """The figures of whoever gave these embeddings of `images`, (N, D)."""
        return _retrieval(self.gallery, embeddings)


def _retrieval(gallery: Gallery, embeddings: NDArray[np.float32]) -> Retrieval:
    scores = score_retrieval(gallery, embeddings)
    return Retrieval(
        mean_average_precision=100 * scores.mean_average_precision,
        rank_1=100 * scores.rank(1),
        queries=scores.queries,
        crops=len(embeddings),
    )
