"""Memory, and what of it this process may have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reidkit.runtime.box.control_groups import control_groups
from reidkit.runtime.box.texts import text_of, values_of

_LIMITS = "max", "limit_in_bytes"  # control groups of version 2, and of 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """In MiB; None where the system does not tell.

    Attributes:
        total_mib: of the machine.
        available_mib: free for new programs now, without swapping.
        limit_mib: what a container or a service may take of it; None for all.
    """

    total_mib: int | None
    available_mib: int | None
    limit_mib: int | None


def read_memory(root: Path) -> Memory:
    """The memory that the system at `root` tells of."""
    told = values_of(text_of(root / "proc/meminfo"), ":")
    total_mib = _mib(told.get("MemTotal", ""))
    texts = [text_of(group / f"memory.{name}") for group in control_groups(root, "memory") for name in _LIMITS]
    limit_mib = min((int(text) >> 20 for text in texts if text.isdecimal()), default=None)
    if limit_mib is not None and total_mib is not None and limit_mib >= total_mib:
        limit_mib = None  # version 1 says none by a number beyond all memory, version 2 by "max"
    return Memory(
        total_mib=total_mib,
        available_mib=_mib(told.get("MemAvailable", "")),
        limit_mib=limit_mib,
    )


def _mib(text: str) -> int | None:
    """``"24684084 kB"`` in MiB."""
    number = text.partition(" ")[0]
    return int(number) >> 10 if number.isdecimal() else None
