"""The teacher's embeddings of every view, computed once and kept by what they depend on."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidkit.calibration.crops import CropSet
from reidkit.export.distillation.teacher import Teacher, unit_embeddings
from reidkit.export.distillation.views import NUMBERS, RECIPE, draw_views, render
from reidkit.runtime.errors import InvalidFile
from reidkit.runtime.files import whole_file

_AT_ONCE = 64


class Stopped(Exception):
    """Somebody asked to stop while the teacher was being asked."""


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """What a teacher says of a crop set's views.

    Attributes:
        teacher: who is asked.
        crops: of which.
        crops_sha256: their digest.
        seed: of the views.
        folder: where the answers are kept, one ``.npy`` a view, named by a digest of all they depend on.
        should_stop: asked between batches.
    """

    teacher: Teacher
    crops: CropSet
    crops_sha256: str
    seed: int
    folder: Path
    should_stop: Callable[[], bool]

    @staticmethod
    def of(
        teacher: Teacher, crops: CropSet, *, seed: int, folder: Path, should_stop: Callable[[], bool] = lambda: False
    ) -> Labels:
        """The labels of crops that have not been hashed yet."""
        return Labels(teacher, crops, crops.digest(), seed, folder, should_stop)

    def of_view(self, view: int) -> Tensor:
        """(N, E) float32, each row of length 1. View 0 is the crops as they are.

        Raises:
            EngineFailure: the teacher gives no usable embedding for a crop.
            InvalidFile: the answers cannot be kept.
            Stopped: on request.
        """
        path = self.folder / f"{self._key(view)}.npy"
        if path.is_file():
            return torch.from_numpy(self._read(path))
        embeddings = self._ask(view)
        self.folder.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()  # NumPy's own writer forgets why a disk took no more
        np.save(buffer, embeddings)
        with whole_file(path) as temporary:
            temporary.write_bytes(buffer.getbuffer())
        return torch.from_numpy(embeddings)

    def _key(self, view: int) -> str:
        parts = [self.teacher.identity, self.crops_sha256, RECIPE, self.seed if view else "as they are", view]
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]

    def _read(self, path: Path) -> NDArray[np.float32]:
        try:
            embeddings: NDArray[np.float32] = np.load(path)
        except (ValueError, EOFError) as error:
            raise InvalidFile(f"{path} is damaged", remedy="remove it; it will be computed again") from error
        return embeddings

    def _ask(self, view: int) -> NDArray[np.float32]:
        count = len(self.crops)
        images = torch.from_numpy(self.crops.images)
        changed = view > 0
        numbers = draw_views(count, seed=self.seed, view=view) if changed else np.zeros((count, NUMBERS), np.float32)
        answers = []
        for start in range(0, count, _AT_ONCE):
            if self.should_stop():
                raise Stopped
            rows = torch.arange(start, min(start + _AT_ONCE, count))
            shown = render(
                images,
                rows,
                torch.from_numpy(numbers[start : start + _AT_ONCE]),
                torch.full((len(rows),), changed),
                size=self.teacher.size,
            )
            names = list(self.crops.names[start : start + _AT_ONCE])
            answers.append(unit_embeddings(self.teacher, shown.numpy(), names))
        return np.concatenate(answers)
