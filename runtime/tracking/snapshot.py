"""A tracker's state as one file: a compressed NumPy archive without pickles."""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reidkit.runtime.errors import InvalidConfig, InvalidFile
from reidkit.runtime.tracking.config import BotSortConfig
from reidkit.runtime.tracking.long_term import EmbeddingRings
from reidkit.runtime.tracking.moment import Moment
from reidkit.runtime.tracking.table import TrackTable

if TYPE_CHECKING:
    from reidkit.runtime.tracking.botsort import BotSort

_FORMAT = "reidkit-botsort-3"


def save(tracker: BotSort, path: Path) -> None:
    """Write `tracker` to `path`, which appears whole or not at all. Raises `InvalidFile` if it cannot be written."""
    config = dataclasses.asdict(tracker.config)
    if config["camera_motion_file"] is not None:  # whoever goes on may stand in another folder
        config["camera_motion_file"] = str(Path(config["camera_motion_file"]).absolute())
    header = {
        "format": _FORMAT,
        "config": config,
        "appearance": dataclasses.asdict(tracker.appearance),
        "moment": dataclasses.asdict(tracker._moment),
        "next_id": tracker._next_id,
        "coupled": tracker._table.coupled,
    }
    arrays: dict[str, Any] = {"header": np.array(json.dumps(header)), **tracker._table.to_arrays()}
    if tracker._rings is not None:
        arrays |= tracker._rings.to_arrays()
    try:
        temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            with temporary.open("wb") as file:
                np.savez(file, **arrays)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, ValueError) as error:  # a path without a name is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise InvalidFile(
            f"cannot save the tracker to {path} ({reason})", remedy="name a file in a folder that is there"
        ) from error


def restore(path: Path) -> BotSort:
    """The tracker in `path`."""
    from reidkit.runtime.tracking.botsort import AppearanceCounts, BotSort

    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(str(arrays.pop("header")))
        if header["format"] != _FORMAT:
            raise InvalidFile(f"{path} has format {header['format']!r}, this version reads {_FORMAT!r}")
        tracker = BotSort(BotSortConfig(**header["config"]))
        tracker.appearance = AppearanceCounts(**header["appearance"])
        tracker._moment, tracker._next_id = Moment(**header["moment"]), header["next_id"]
        tracker._table = TrackTable.from_arrays(arrays, coupled=header["coupled"])
        if "rings" in arrays:
            tracker._rings = EmbeddingRings.from_arrays(arrays)
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile, InvalidConfig) as error:
        raise InvalidFile(f"{path} is not a saved tracker ({error})") from error
    return tracker
