"""A budget in milliseconds, as the number of crops that an engine embeds in it on this box."""

from __future__ import annotations

from statistics import median
from time import perf_counter

import numpy as np

from reidkit.runtime.engines import Engine

_BATCH, _ROUNDS = 8, 5


def crops_within(engine: Engine, budget_ms: float | None) -> int | None:
    """How many crops can be cut and embedded in `budget_ms`, as a few batches of noise take; None where it is None.

    One at the least: a budget too small for any would switch ReID off in silence. It is measured once, before the first
    frame, so that a run's choices depend on the tracks alone from then on.
    """
    if budget_ms is None:
        return None
    noise = np.random.default_rng(0).integers(0, 256, (256, 128, 3), np.uint8)
    boxes = np.tile(np.array([0.0, 0.0, 128.0, 256.0]), (_BATCH, 1))
    engine.embed(engine.cut(noise, boxes))  # libraries allocate and tune in their first call
    seconds = []
    for _ in range(_ROUNDS):
        started = perf_counter()
        engine.embed(engine.cut(noise, boxes))
        seconds.append(perf_counter() - started)
    return max(1, int(budget_ms / 1e3 / (median(seconds) / _BATCH)))
