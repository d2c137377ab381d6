"""A folder of crops, as an engine takes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.artifact.manifest import Preprocessing
from reidkit.runtime.errors import InvalidFile, MissingDependency
from reidkit.runtime.native import cut_crops

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png"})


def find_crops(folder: Path, *, limit: int) -> list[Path]:
    """At most `limit` images below `folder`, in the order of their names and spread evenly over them.

    Raises:
        InvalidFile: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise InvalidFile(f"{folder} is not a folder of crops")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise InvalidFile(f"{folder} holds no images", remedy=f"crops are {', '.join(sorted(IMAGE_SUFFIXES))} files")
    count = min(limit, len(paths))
    return [paths[row * len(paths) // count] for row in range(count)]


def read_crops(paths: Sequence[Path], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """The images resized and ordered as `preprocessing` says: (N, 3, H, W) or (N, H, W, 3) uint8, not normalised.

    Raises:
        InvalidFile: a file is not an image.
        MissingDependency: OpenCV is not installed.
    """
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise MissingDependency("opencv-python-headless", extra="video", purpose="Reading crops") from error
    size, layout = (preprocessing.height, preprocessing.width), preprocessing.layout
    crops = np.empty((len(paths), 3, *size) if layout == "nchw" else (len(paths), *size, 3), np.uint8)
    for row, path in enumerate(paths):
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise InvalidFile(f"{path} is not an image", remedy="remove it from the folder of crops")
        cut_crops(
            np.asarray(image, np.uint8),
            np.array([[0, 0, image.shape[1], image.shape[0]]], np.float64),
            crops[row : row + 1],
            swap_colors=preprocessing.color == "rgb",
            kernel=preprocessing.resize.kernel,
            antialias=preprocessing.resize.antialias,
            layout=layout,
        )
    return crops
