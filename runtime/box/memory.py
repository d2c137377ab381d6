"""Memory, and what of it this process may have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reidkit.runtime.box.texts import text_of, values_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """In MiB; None where the system does not tell.

    Attributes:
        total_mib: of the machine.
        available_mib: free for new programs now, without swapping.
        limit_mib: what a container may take of it; None for all.
    """

    total_mib: int | None
    available_mib: int | None
    limit_mib: int | None


def read_memory(root: Path) -> Memory:
    """The memory that the system at `root` tells of."""
    told = values_of(text_of(root / "proc/meminfo"), ":")
    limit = text_of(root / "sys/fs/cgroup/memory.max")  # "max" for none
    return Memory(
        total_mib=_mib(told.get("MemTotal", "")),
        available_mib=_mib(told.get("MemAvailable", "")),
        limit_mib=int(limit) >> 20 if limit.isdecimal() else None,
    )


def _mib(text: str) -> int | None:
    """``"24684084 kB"`` in MiB."""
    number = text.partition(" ")[0]
    return int(number) >> 10 if number.isdecimal() else None
