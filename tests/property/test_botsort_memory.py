"""People come and go for as long as a camera runs; what the tracker holds depends on the crowd alone.

100,000 frames in the long form (make proof-tracker).
"""

from __future__ import annotations

import gc
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from proofs import trials

from reidkit.runtime import BotSort, BotSortConfig

FRAMES = trials(4_000, 100_000)
WARM_UP = FRAMES // 20
STAY_FRAMES = 7
PEOPLE, EMBEDDING_DIM = 8, 128
MOST_BYTES = 5 * 2**20


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


LONG_TERM = {"long_term_min_cosine": 0.7, "long_term_lost_frames": 60}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux's /proc for the memory in use")
@pytest.mark.parametrize(
    ("core", "settings"),
    [("numpy", {}), ("native", {}), ("native", LONG_TERM)],
    ids=["numpy", "native", "native, long-term"],
)
def test_memory_is_flat_while_ids_churn(core: str, settings: dict[str, Any]) -> None:
    random = np.random.default_rng(0)
    places = random.uniform(0, 1800, (64, PEOPLE, 2))
    faces = random.normal(size=(64, PEOPLE, EMBEDDING_DIM)).astype(np.float32)
    scores = np.full(PEOPLE, 0.9)
    tracker = BotSort(BotSortConfig(core=core, **settings))
    newest = warm = 0
    for number in range(FRAMES):
        visit = number // STAY_FRAMES % 64
        corner = places[visit] + number % STAY_FRAMES
        boxes = np.concatenate([corner, corner + np.array([40, 100])], axis=1)
        tracks = tracker.update(boxes, scores, embeddings=faces[visit])
        newest = max(newest, int(tracks.ids.max(initial=0)))
        if number == WARM_UP:
            warm = resident_bytes()
    assert newest > FRAMES // STAY_FRAMES, "the ids did not churn"
    assert resident_bytes() - warm <= MOST_BYTES
