"""How the camera moved since the last frame: a (2, 3) affine from the previous frame's pixels to this one's.

A file a method. All but a file of motions look at the frames and speak to OpenCV, which each loads when it is made.
"""

from __future__ import annotations

from pathlib import Path

from reidkit.runtime.tracking.camera_motion.auto import AutoMotion
from reidkit.runtime.tracking.camera_motion.ecc import EccMotion
from reidkit.runtime.tracking.camera_motion.motion import NOBODY, Affine, Boxes, CameraMotion, identity
from reidkit.runtime.tracking.camera_motion.orb import OrbMotion
from reidkit.runtime.tracking.camera_motion.precomputed import PrecomputedMotion
from reidkit.runtime.tracking.camera_motion.sparse_flow import SparseFlow
from reidkit.runtime.tracking.config import BotSortConfig

__all__ = [
    "NOBODY",
    "Affine",
    "AutoMotion",
    "Boxes",
    "CameraMotion",
    "EccMotion",
    "OrbMotion",
    "PrecomputedMotion",
    "SparseFlow",
    "camera_motion_of",
    "identity",
]


def camera_motion_of(config: BotSortConfig) -> CameraMotion | None:
    """The estimator that `config` names, None for ``"none"``."""
    if config.camera_motion == "auto":
        return AutoMotion(pixels=config.camera_motion_pixels, points=config.camera_motion_points)
    if config.camera_motion == "sparse_flow":
        return SparseFlow()
    if config.camera_motion == "ecc":
        return EccMotion()
    if config.camera_motion == "orb":
        return OrbMotion()
    if config.camera_motion_file is not None:
        return PrecomputedMotion(Path(config.camera_motion_file))
    return None
