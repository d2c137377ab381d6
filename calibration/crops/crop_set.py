"""A set of crops in memory: every readable image of some folders and every person cut from some videos."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.crops.folder import find_crops, read_image
from reidkit.runtime.errors import InvalidFile
from reidkit.runtime.native import cut_crops

_LISTED = 5


@dataclass(frozen=True, slots=True, eq=False)
class CropSet:
    """Crops of one size, in a fixed order.

    Attributes:
        images: (N, 3, H, W) uint8 RGB, resized bilinearly without antialiasing, as trackers do.
        names: N names; of a file, or of a frame and a box in it.
        unreadable: files that were skipped because they are no images, or only the beginning of one.
    """

    images: NDArray[np.uint8]
    names: tuple[str, ...]
    unreadable: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def digest(self) -> str:
        """SHA-256 of the pixels in their order: two sets with one digest hold the same crops."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        return digest.hexdigest()

    def pick(self, rows: NDArray[np.int64]) -> CropSet:
        """Some of the crops, in the order of `rows`."""
        return CropSet(self.images[rows], tuple(self.names[row] for row in rows), self.unreadable)

    @staticmethod
    def join(parts: Sequence[CropSet]) -> CropSet:
        """All crops of several sets."""
        return CropSet(
            np.concatenate([part.images for part in parts]),
            tuple(name for part in parts for name in part.names),
            tuple(path for part in parts for path in part.unreadable),
        )


def read_crop_set(folder: Path, *, height: int, width: int, unreadable_share: float = 0.0) -> CropSet:
    """Every image below `folder`, in the order of their names.

    Args:
        folder: searched with its subfolders.
        height: of each crop afterwards.
        width: of each crop afterwards.
        unreadable_share: how large a share of the files may be no whole images; those are skipped and listed.

    Raises:
        InvalidFile: no such folder, no image in it, or more of them unreadable than may be.
        MissingDependency: OpenCV is not installed.
    """
    paths = find_crops(folder, limit=sys.maxsize)
    images = np.empty((len(paths), 3, height, width), np.uint8)
    names: list[str] = []
    unreadable: list[Path] = []
    for path in paths:
        try:
            image = read_image(path)
        except InvalidFile:
            unreadable.append(path)
            continue
        whole = np.array([[0, 0, image.shape[1], image.shape[0]]], np.float64)
        cut_crops(image, whole, images[len(names) : len(names) + 1], swap_colors=True, antialias=False)
        names.append(str(path.relative_to(folder)))
    if len(unreadable) > unreadable_share * len(paths) or not names:
        raise InvalidFile(
            f"{len(unreadable)} of {len(paths)} files in {folder} are no whole images ({_shortened(unreadable)}), "
            f"{unreadable_share:.1%} may be",
            remedy="remove them, or allow a larger share",
        )
    return CropSet(images[: len(names)], tuple(names), tuple(unreadable))


def _shortened(paths: Iterable[Path]) -> str:
    """The first few names of a list of files."""
    names = [path.name for path in paths]
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
