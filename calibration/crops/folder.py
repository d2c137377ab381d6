"""A folder of crops, as an engine takes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.artifact.digests import sha256_of
from reidkit.runtime.artifact.manifest import Preprocessing
from reidkit.runtime.errors import InvalidFile, MissingDependency
from reidkit.runtime.native import cut_crops

SET_FILE = "crops.json"
"""Its presence says that the folder is a set that `reidkit calibrate` chose."""
CROPS_FOLDER = "crops"
"""Where such a set has its images."""
IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png"})


def find_crops(folder: Path, *, limit: int) -> list[Path]:
    """At most `limit` images below `folder`, in the order of their names and spread evenly over them.

    Of a chosen set these are its crops, each checked against its digest, and the first ones, which stand for the rest.

    Raises:
        InvalidFile: there is no such folder, or no image in it, or a chosen set is not what it was.
    """
    if (folder / SET_FILE).is_file():
        return _chosen_crops(folder)[:limit]
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
    size, layout = (preprocessing.height, preprocessing.width), preprocessing.layout
    crops = np.empty((len(paths), 3, *size) if layout == "nchw" else (len(paths), *size, 3), np.uint8)
    for row, path in enumerate(paths):
        image = read_image(path)
        cut_crops(
            image,
            np.array([[0, 0, image.shape[1], image.shape[0]]], np.float64),
            crops[row : row + 1],
            swap_colors=preprocessing.color == "rgb",
            kernel=preprocessing.resize.kernel,
            antialias=preprocessing.resize.antialias,
            layout=layout,
        )
    return crops


def read_image(path: Path) -> NDArray[np.uint8]:
    """An image, (H, W, 3) uint8 BGR.

    Raises:
        InvalidFile: it is none.
        MissingDependency: OpenCV is not installed.
    """
    cv2 = import_cv2()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidFile(f"{path} cannot be read ({error.strerror})") from error
    if _is_cut_off(content):
        raise InvalidFile(f"{path} is only the beginning of an image", remedy="remove it from the folder of crops")
    encoded = np.frombuffer(content, np.uint8)
    image: NDArray[np.uint8] | None = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if content else None
    if image is None:
        raise InvalidFile(f"{path} is not an image", remedy="remove it from the folder of crops")
    return image


def _is_cut_off(content: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end; OpenCV makes up what is missing.

    A JPEG's picture begins with FF DA and cannot hold FF D9, its end, as FF is followed by 00 there.
    """
    if content.startswith(b"\xff\xd8\xff"):
        return content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")
    return content.startswith(b"\x89PNG\r\n\x1a\n") and b"IEND" not in content


def import_cv2() -> Any:
    """OpenCV. Raises `MissingDependency` where there is none."""
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise MissingDependency("opencv-python-headless", extra="video", purpose="Reading crops") from error
    return cv2


def _chosen_crops(folder: Path) -> list[Path]:
    """The crops of a chosen set, in the order in which they were chosen."""
    try:
        listed = json.loads((folder / SET_FILE).read_bytes())["crops"]
        records = [(folder / CROPS_FOLDER / Path(crop["file"]).name, crop["sha256"]) for crop in listed]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidFile(f"{folder / SET_FILE} tells no crops ({error})", remedy="choose the set again") from error
    for path, sha256 in records:
        if not path.is_file() or sha256_of(path) != sha256:
            raise InvalidFile(f"{path} is missing or was changed since the set was chosen", remedy="choose it again")
    if not records:
        raise InvalidFile(f"{folder} holds no images")
    return [path for path, _ in records]
