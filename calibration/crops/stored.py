"""A chosen set of crops as a folder, with a digest of its own and a sheet to look at.

street.cal/
    crops/00017-vtest.avi#60.3.png    as large as they were found, without loss
    crops.json                        where each is from, its SHA-256, how the set was chosen; its digest
    contact-sheet.jpg
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.crops.folder import CROPS_FOLDER, SET_FILE, import_cv2
from reidkit.calibration.crops.selection import Candidate
from reidkit.runtime.artifact.publication import publication
from reidkit.runtime.native import cut_crops

SHEET_FILE = "contact-sheet.jpg"
_SCHEMA_VERSION = 1
_SHEET_COLUMNS, _SHEET_ROWS = 20, 40
_THUMBNAIL = (96, 48)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCrop:
    """One crop of a stored set.

    Attributes:
        file: below the set's folder of crops.
        sha256: of the file.
        source: video or folder it is from.
        name: of the image there, or of the frame and the box in it.
        time: place within its source, in [0, 1]; None where nobody knows.
        height: in pixels.
        width: in pixels.
        light: mean level, in 0…255.
    """

    file: str
    sha256: str
    source: str
    name: str
    time: float | None
    height: int
    width: int
    light: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSet:
    """What ``crops.json`` says.

    Attributes:
        digest: SHA-256 over the crops' own, in their order.
        seed: decided between equals.
        compared_by: what told which crops are alike.
        candidates: among how many each source's crops were chosen.
        crops: in the order in which they were chosen: the first few are a good set too.
    """

    schema_version: int
    digest: str
    seed: int
    compared_by: str
    candidates: dict[str, int]
    crops: tuple[StoredCrop, ...]

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)


def store(
    chosen: Sequence[Candidate], folder: Path, *, seed: int, compared_by: str, candidates: dict[str, int]
) -> StoredSet:
    """Write a set of crops; the folder appears whole or not at all, and replaces none but its like.

    Raises:
        InvalidInput: `folder` exists and is no set of crops.
        MissingDependency: OpenCV is not installed.
    """
    cv2 = import_cv2()
    with publication(folder, known_by=SET_FILE, kind="a set of crops") as new:
        (new / CROPS_FOLDER).mkdir()
        crops = []
        for place, candidate in enumerate(chosen):
            file = f"{place:05d}-{re.sub(r'[^A-Za-z0-9._#-]', '_', candidate.name)[-80:]}.png"
            data = cv2.imencode(".png", candidate.image)[1].tobytes()
            (new / CROPS_FOLDER / file).write_bytes(data)
            crops.append(
                StoredCrop(
                    file=file,
                    sha256=hashlib.sha256(data).hexdigest(),
                    source=candidate.source,
                    name=candidate.name,
                    time=candidate.time,
                    height=candidate.image.shape[0],
                    width=candidate.image.shape[1],
                    light=round(candidate.light, 1),
                )
            )
        stored = StoredSet(
            schema_version=_SCHEMA_VERSION,
            digest=hashlib.sha256("\n".join(crop.sha256 for crop in crops).encode()).hexdigest(),
            seed=seed,
            compared_by=compared_by,
            candidates=candidates,
            crops=tuple(crops),
        )
        (new / SET_FILE).write_text(json.dumps(stored.to_dict(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        cv2.imwrite(str(new / SHEET_FILE), contact_sheet([candidate.image for candidate in chosen]))
    return stored


def contact_sheet(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The first 800 images side by side, (H, W, 3) uint8, each 96 by 48 pixels."""
    shown = images[: _SHEET_COLUMNS * _SHEET_ROWS]
    columns = min(_SHEET_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    height, width = _THUMBNAIL
    sheet = np.full((rows, columns, height, width, 3), 255, np.uint8)
    for place, image in enumerate(shown):
        cell = sheet[place // columns, place % columns][None]
        whole = np.array([[0, 0, *image.shape[1::-1]]], np.float64)
        cut_crops(image, whole, cell, swap_colors=False, antialias=True, layout="nhwc")
    whole_sheet: NDArray[np.uint8] = sheet.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)
    return whole_sheet
