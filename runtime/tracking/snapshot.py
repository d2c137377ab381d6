"""A tracker's state as one file: a line with the format and the SHA-256 of what follows, a NumPy archive."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reidkit.runtime.errors import InvalidFile
from reidkit.runtime.files import whole_file
from reidkit.runtime.tracking.config import BotSortConfig
from reidkit.runtime.tracking.long_term import EmbeddingRings
from reidkit.runtime.tracking.moment import Moment
from reidkit.runtime.tracking.state import AppearanceCounts
from reidkit.runtime.tracking.table import TrackTable

if TYPE_CHECKING:
    from reidkit.runtime.tracking.botsort import BotSort

_FORMAT = "reidkit-botsort-4"


def save(tracker: BotSort, path: Path) -> None:
    """Write `tracker` to `path`, which appears whole or not at all. Raises `InvalidFile` if it cannot be written."""
    state, config = tracker._state, dataclasses.asdict(tracker.config)
    if config["camera_motion_file"] is not None:  # whoever goes on may stand in another folder
        config["camera_motion_file"] = str(Path(config["camera_motion_file"]).absolute())
    header = {
        "config": config,
        "appearance": dataclasses.asdict(state.appearance),
        "moment": dataclasses.asdict(state.moment),
        "next_id": state.next_id,
        "coupled": state.table.coupled,
    }
    arrays: dict[str, Any] = {"header": np.array(json.dumps(header)), **state.table.to_arrays()}
    if state.rings is not None:
        arrays |= state.rings.to_arrays()
    content = BytesIO()
    np.savez(content, **arrays)
    archive = content.getvalue()
    with whole_file(path) as temporary:
        temporary.write_bytes(_title(archive) + b"\n" + archive)


def restore(path: Path) -> BotSort:
    """The tracker in `path`."""
    from reidkit.runtime.tracking.botsort import BotSort

    try:
        title, _, archive = path.read_bytes().partition(b"\n")
    except (OSError, ValueError) as error:  # no path can hold a zero character
        reason = getattr(error, "strerror", None) or error
        raise InvalidFile(f"cannot read {path} ({reason})", remedy="name a file that BotSort.save wrote") from error
    if title != _title(archive):
        raise InvalidFile(
            f"{path} is not a saved tracker that this version reads, or is damaged",
            remedy="name a file that BotSort.save of this version wrote",
        )
    arrays = dict(np.load(BytesIO(archive), allow_pickle=False))
    header = json.loads(str(arrays.pop("header")))
    tracker = BotSort(BotSortConfig(**header["config"]))
    state = tracker._state
    state.appearance = AppearanceCounts(**header["appearance"])
    state.moment, state.next_id = Moment(**header["moment"]), header["next_id"]
    state.table = TrackTable.from_arrays(arrays, coupled=header["coupled"])
    if "rings" in arrays:
        state.rings = EmbeddingRings.from_arrays(arrays)
    return tracker


def _title(archive: bytes) -> bytes:
    return f"{_FORMAT} {hashlib.sha256(archive).hexdigest()}".encode()
