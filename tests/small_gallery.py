"""A gallery of rendered people, named as Market-1501's crops are."""

from __future__ import annotations

from pathlib import Path

import cv2

from reidkit.calibration.street.crops import figure_of, random_view, render


def write_gallery(folder: Path, *, people: int) -> Path:
    """People, each seen twice by each of two cameras, 64x32; the folder."""
    for person in range(1, people + 1):
        figure, rng = figure_of(7, person)
        for view in range(4):
            crop = render(figure, random_view(rng), height=64, width=32)
            cv2.imwrite(str(folder / f"{person:04d}_c{view % 2 + 1}s1_{view:06d}_00.png"), crop[..., ::-1])
    return folder
