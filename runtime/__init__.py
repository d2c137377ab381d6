"""What runs on the box: open an artifact, embed crops, track people.

Importing this package costs NumPy and nothing else; each name below is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reidkit.runtime.artifact.manifest import Manifest as Manifest
    from reidkit.runtime.batching import CropBatcher as CropBatcher
    from reidkit.runtime.batching import Embeddings as Embeddings
    from reidkit.runtime.batching import Ticket as Ticket
    from reidkit.runtime.engines import Engine as Engine
    from reidkit.runtime.engines import open_artifact as open_artifact
    from reidkit.runtime.errors import ReidkitError as ReidkitError
    from reidkit.runtime.pipeline import Camera as Camera
    from reidkit.runtime.pipeline import MultiCameraTracker as MultiCameraTracker
    from reidkit.runtime.tracking import BotSort as BotSort
    from reidkit.runtime.tracking import BotSortConfig as BotSortConfig
    from reidkit.runtime.tracking import Track as Track
    from reidkit.runtime.tracking import Tracks as Tracks
    from reidkit.runtime.tracking import TrackState as TrackState
    from reidkit.runtime.tracking.across_cameras import AcrossCameras as AcrossCameras
    from reidkit.runtime.tracking.across_cameras import AcrossCamerasConfig as AcrossCamerasConfig

_HOMES = {
    "AcrossCameras": "tracking.across_cameras",
    "AcrossCamerasConfig": "tracking.across_cameras",
    "BotSort": "tracking",
    "BotSortConfig": "tracking",
    "Camera": "pipeline",
    "CropBatcher": "batching",
    "Embeddings": "batching",
    "Engine": "engines",
    "Manifest": "artifact.manifest",
    "MultiCameraTracker": "pipeline",
    "ReidkitError": "errors",
    "Ticket": "batching",
    "Track": "tracking",
    "TrackState": "tracking",
    "Tracks": "tracking",
    "open_artifact": "engines",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
