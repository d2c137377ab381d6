"""What this box is and what is installed on it: one file a subject, read from where the system keeps it.

    /proc, /etc, /usr ──► system, processor, memory, nvidia      importlib.metadata ──► libraries

Nothing here fails for what is absent: it is None, or an empty list. Nothing loads an inference library. `root` is
where the system's files are, ``/`` on the box itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reidkit.runtime.box.memory import Memory, read_memory
from reidkit.runtime.box.nvidia import Nvidia, read_nvidia
from reidkit.runtime.box.processor import Processor, read_processor
from reidkit.runtime.box.system import System, read_system

__all__ = ["Box", "Memory", "Nvidia", "Processor", "System", "read_box"]

ROOT = Path("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """The machine this runs on."""

    system: System
    processor: Processor
    memory: Memory
    nvidia: Nvidia


def read_box(root: Path = ROOT) -> Box:
    """The machine whose system's files are at `root`."""
    return Box(
        system=read_system(root), processor=read_processor(root), memory=read_memory(root), nvidia=read_nvidia(root)
    )
