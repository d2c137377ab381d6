"""Weights files: read without running code, matched strictly to a backbone, recognised by their keys."""

from reidkit.export.checkpoints.checkpoint import Checkpoint
from reidkit.export.checkpoints.fitting import identify, load_backbone, random_backbone

__all__ = ["Checkpoint", "identify", "load_backbone", "random_backbone"]
