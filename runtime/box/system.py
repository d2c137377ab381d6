"""The operating system, Python, and the board's name."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from reidkit.runtime.box.texts import text_of, values_of


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """What programs meet here.

    Attributes:
        name: of the distribution.
        libc: such as ``"glibc 2.36"``, which decides what wheels can be installed; empty where unknown.
        board: as the maker calls a single-board computer, such as ``"Raspberry Pi 5 Model B Rev 1.0"``; None for a PC.
    """

    name: str
    kernel: str
    machine: str
    libc: str
    python: str
    board: str | None


def read_system(root: Path) -> System:
    """The system whose files are at `root`."""
    release = values_of(text_of(root / "etc/os-release"), "=")
    return System(
        name=release.get("PRETTY_NAME", "").strip('"') or platform.system(),
        kernel=platform.release(),
        machine=platform.machine(),
        libc=" ".join(platform.libc_ver()).strip(),
        python=platform.python_version(),
        board=text_of(root / "proc/device-tree/model") or None,
    )
