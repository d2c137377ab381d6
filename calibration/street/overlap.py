"""Writes a street as several cameras see it at once: a sequence for each, and what is known of them together.

FOLDER/
    view1/, view2/      sequences (see `sequence`); an id is the same person in all of them
    views.json          {"schema": 1, "views": […], "overlaps": […]}

The ground is measured in metres, (x, z), from below view1's camera: x to its right, z ahead of it. A view has
    name, input, detections, gt     files, relative to the folder
    frames, frame_rate, start_s     frame k, from 1, shows the moment start_s + (k - 1) / frame_rate, the same for all
    width, height                   in pixels
    motion                          "still" or "pan"
    camera                          where it stands: {"ground": [x, z], "height_m"}
    image_to_ground                 3x3 matrices: one, or for a moving camera one for each frame. The product with a
                                    pixel (u, v, 1) on the ground, such as the middle of a box's lower edge, is
                                    (x, z, 1) times a factor, which is positive below the horizon
    ground_seen                     corners of the walked strip of ground in its picture, when it is not turned
and each pair of views an overlap with
    views                           two names
    ground_seen                     corners of what both see, when they are not turned
    identities                      how many people are seen in both, at whatever time
    share                           of all sightings, a person at a moment, those in both views at once
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

from reidkit.calibration.street.camera import Camera
from reidkit.calibration.street.scene import WALKABLE_Z
from reidkit.calibration.street.sequence import WrittenSequence, new_folder, write_frames
from reidkit.calibration.street.street import Street
from reidkit.calibration.street.view import StreetFrame, StreetView

VIEWS = "views.json"
_FARTHEST_M = 40.0  # along the street: nobody walks there

Point = tuple[float, float]
Sightings = set[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class WrittenViews:
    """What was written.

    Attributes:
        sequences: one for each camera.
        views_file: `views.json`.
        overlaps: its list of that name.
    """

    sequences: tuple[WrittenSequence, ...]
    views_file: Path
    overlaps: list[dict[str, Any]]


def write_views(
    street: Street, folder: Path, *, images: bool = False, on_frame: Callable[[int], None] | None = None
) -> WrittenViews:
    """Render all views of a street, one after the other, into a folder that appears when all of it is there.

    Args:
        street: what to render.
        folder: must be new or empty.
        images: write folders of JPEG images instead of videos.
        on_frame: called with each frame's number when it is written; numbers start again with each view.

    Raises:
        InvalidInput: the folder exists and holds something.
        InvalidFile: it cannot be written.
        MissingDependency: PyAV, or OpenCV for images, is not installed.
    """
    sightings: dict[str, Sightings] = {view.name: set() for view in street.views}
    with new_folder(folder) as new:
        sequences = tuple(
            write_frames(
                _noted(view, sightings[view.name]),
                street.config,
                new / view.name,
                folder / view.name,
                images=images,
                on_frame=on_frame,
            )
            for view in street.views
        )
        overlaps = [_overlap(one, other, sightings) for one, other in combinations(street.views, 2)]
        described = [
            _description(view, sequence, folder) for view, sequence in zip(street.views, sequences, strict=True)
        ]
        text = json.dumps({"schema": 1, "views": described, "overlaps": overlaps}, indent=1, allow_nan=False)
        (new / VIEWS).write_text(f"{text}\n", encoding="ascii")
    return WrittenViews(sequences, folder / VIEWS, overlaps)


def ground_seen(*cameras: Camera) -> list[Point]:
    """Corners, in order, of the strip on which people walk as far as all of these cameras see it, not turned."""
    near, far = WALKABLE_Z
    corners = [(-_FARTHEST_M, near), (_FARTHEST_M, near), (_FARTHEST_M, far), (-_FARTHEST_M, far)]
    for camera in cameras:
        left, right = -camera.center_x / camera.focal, (camera.width - camera.center_x) / camera.focal
        nearest = camera.focal * camera.eye_m / (camera.height - camera.horizon_y)
        for across, along, least in ((1.0, -left, 0.0), (-1.0, right, 0.0), (0.0, 1.0, nearest)):
            places = [camera.local(*corner) for corner in corners]
            corners = _clipped(corners, [across * x + along * ahead - least for x, ahead in places])
    return corners


def _clipped(corners: list[Point], inside: list[float]) -> list[Point]:
    """The part of a convex polygon where a linear function, given at its corners, is not negative."""
    kept: list[Point] = []
    for (one, first), (other, second) in pairwise(zip([*corners, *corners[:1]], [*inside, *inside[:1]], strict=True)):
        if first >= 0:
            kept.append(one)
        if first * second < 0:
            part = first / (first - second)
            kept.append((one[0] + part * (other[0] - one[0]), one[1] + part * (other[1] - one[1])))
    return kept


def _noted(view: StreetView, sightings: Sightings) -> Iterator[StreetFrame]:
    """A view's frames, of which is noted who is seen when."""
    for number, frame in enumerate(view):
        sightings.update((number, identity) for identity in frame.ids.tolist())
        yield frame


def _overlap(one: StreetView, other: StreetView, sightings: dict[str, Sightings]) -> dict[str, Any]:
    first, second = sightings[one.name], sightings[other.name]
    people = ({identity for _, identity in seen} for seen in (first, second))
    return {
        "views": [one.name, other.name],
        "ground_seen": _rounded(ground_seen(one.camera, other.camera)),
        "identities": len(set.intersection(*people)),
        "share": round(len(first & second) / max(len(first | second), 1), 4),
    }


def _description(view: StreetView, sequence: WrittenSequence, folder: Path) -> dict[str, Any]:
    camera, files = view.camera, (sequence.input, sequence.detections_file, sequence.truth_file)
    moments = range(1 if view.motion == "still" else len(view))
    return {
        "name": view.name,
        **dict(zip(("input", "detections", "gt"), (str(file.relative_to(folder)) for file in files), strict=True)),
        "frames": sequence.frames,
        "frame_rate": view.happening.frame_rate,
        "start_s": 0.0,
        "width": camera.width,
        "height": camera.height,
        "motion": view.motion,
        "camera": {"ground": [camera.x, camera.z], "height_m": camera.eye_m},
        "image_to_ground": [view.camera_at(frame).image_to_ground().round(9).tolist() for frame in moments],
        "ground_seen": _rounded(ground_seen(camera)),
    }


def _rounded(corners: list[Point]) -> list[list[float]]:
    return [[round(x, 3), round(z, 3)] for x, z in corners]
