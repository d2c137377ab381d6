"""Crops of many cameras, one engine: each crop is cut once, straight into the memory that the engine reads."""

from __future__ import annotations

from reidkit.runtime.batching.batcher import CropBatcher
from reidkit.runtime.batching.service import Counters
from reidkit.runtime.batching.ticket import Embeddings, Ticket

__all__ = ["Counters", "CropBatcher", "Embeddings", "Ticket"]
