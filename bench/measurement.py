"""Contenders in turns, medians, ratios, and the machine they ran on."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import process_time

Contender = Callable[[], Sequence[float]]
"""Does its work once from the start and returns how many CPU milliseconds each step took."""


@dataclass(frozen=True)
class Clock:
    """CPU milliseconds, of all threads, since it was started: other processes on the machine are not counted."""

    started: float

    @staticmethod
    def start() -> Clock:
        """A clock at zero."""
        return Clock(process_time())

    def milliseconds(self) -> float:
        """What has been spent since the start."""
        return 1e3 * (process_time() - self.started)


def medians(contenders: Mapping[str, Contender], *, rounds: int) -> dict[str, float]:
    """Median CPU milliseconds of a step of each contender, who take turns and start each round with another one."""
    names = list(contenders)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            samples[name] += contenders[name]()
    return {name: statistics.median(steps) for name, steps in samples.items()}


def with_ratios(milliseconds: Mapping[str, float], figure: Callable[[float], float]) -> dict[str, str]:
    """By contender, `figure` of its time and how many times the first contender's time it takes."""
    first = next(iter(milliseconds.values()))
    return {name: f"{figure(ms):,.0f} (x{ms / first:.1f})" for name, ms in milliseconds.items()}


def table(title: str, columns: Mapping[str, Mapping[str, str]]) -> str:
    """A Markdown table of what `columns` say, by heading, of each contender."""
    names = next(iter(columns.values()))
    rows = [[title, *columns], *([name, *(column.get(name, "-") for column in columns.values())] for name in names)]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows]
    lines.insert(1, ["-" * widths[0], *(f"{'-' * (width - 1)}:" for width in widths[1:])])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> dict[str, str]:
    """What ran this: processor, system, versions, load before the start."""
    packages = ("reidkit", "ultralytics", "boxmot", "numpy", "torch", "opencv-python-headless", "lapx", "scipy")
    return {
        "processor": f"{_processor()}, {os.cpu_count()} logical",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}, Python {platform.python_version()}",
        "versions": ", ".join(f"{package} {version(package)}" for package in packages),
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor() or platform.machine()
