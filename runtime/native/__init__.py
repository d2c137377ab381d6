"""The parts in C++: cutting crops out of frames, assigning detections to tracks."""

from __future__ import annotations

from reidkit.runtime.native._native import assign, cut_crops, instruction_set

__all__ = ["assign", "cut_crops", "instruction_set"]
