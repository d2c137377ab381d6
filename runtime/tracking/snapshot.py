"""A tracker's state as one file: a NumPy archive without pickles."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reidkit.runtime.errors import InvalidConfig, InvalidFile
from reidkit.runtime.files import whole_file
from reidkit.runtime.tracking.config import BotSortConfig
from reidkit.runtime.tracking.long_term import EmbeddingRings
from reidkit.runtime.tracking.moment import Moment
from reidkit.runtime.tracking.state import AppearanceCounts
from reidkit.runtime.tracking.table import TrackTable

if TYPE_CHECKING:
    from reidkit.runtime.tracking.botsort import BotSort

_FORMAT = "reidkit-botsort-3"


def save(tracker: BotSort, path: Path) -> None:
    """Write `tracker` to `path`, which appears whole or not at all. Raises `InvalidFile` if it cannot be written."""
    state, config = tracker._state, dataclasses.asdict(tracker.config)
    if config["camera_motion_file"] is not None:  # whoever goes on may stand in another folder
        config["camera_motion_file"] = str(Path(config["camera_motion_file"]).absolute())
    header = {
        "format": _FORMAT,
        "config": config,
        "appearance": dataclasses.asdict(state.appearance),
        "moment": dataclasses.asdict(state.moment),
        "next_id": state.next_id,
        "coupled": state.table.coupled,
    }
    arrays: dict[str, Any] = {"header": np.array(json.dumps(header)), **state.table.to_arrays()}
    if state.rings is not None:
        arrays |= state.rings.to_arrays()
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def restore(path: Path) -> BotSort:
    """The tracker in `path`."""
    from reidkit.runtime.tracking.botsort import BotSort

    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(str(arrays.pop("header")))
        if header["format"] != _FORMAT:
            raise InvalidFile(f"{path} has format {header['format']!r}, this version reads {_FORMAT!r}")
        tracker = BotSort(BotSortConfig(**header["config"]))
        state = tracker._state
        state.appearance = AppearanceCounts(**header["appearance"])
        state.moment, state.next_id = Moment(**header["moment"]), header["next_id"]
        state.table = TrackTable.from_arrays(arrays, coupled=header["coupled"])
        if "rings" in arrays:
            state.rings = EmbeddingRings.from_arrays(arrays)
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile, InvalidConfig) as error:
        raise InvalidFile(f"{path} is not a saved tracker ({error})") from error
    return tracker
