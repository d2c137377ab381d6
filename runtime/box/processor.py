"""The processor, and which of its instructions matter to a network."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reidkit.runtime.box.control_groups import control_groups
from reidkit.runtime.box.texts import text_of, values_of
from reidkit.runtime.latencies import processor

# By the kernel's word for it, in /proc/cpuinfo: our name, and the precision that it multiplies faster than fp32.
_INSTRUCTIONS = {
    "avx2": ("AVX2", ""),
    "avx512f": ("AVX-512", ""),
    "avx_vnni": ("AVX-VNNI", "int8"),
    "avx512_vnni": ("AVX-512 VNNI", "int8"),
    "avx512_bf16": ("AVX-512 BF16", "bf16"),
    "avx512_fp16": ("AVX-512 FP16", "fp16"),
    "amx_int8": ("AMX INT8", "int8"),
    "amx_bf16": ("AMX BF16", "bf16"),
    "amx_fp16": ("AMX FP16", "fp16"),
    "asimd": ("NEON", ""),
    "asimdhp": ("NEON FP16", "fp16"),
    "asimddp": ("NEON dot product", "int8"),
    "i8mm": ("NEON I8MM", "int8"),
    "bf16": ("NEON BF16", "bf16"),
    "sve": ("SVE", ""),
    "sve2": ("SVE2", ""),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """What computes.

    Attributes:
        name: as the system tells it.
        logical: processors of the machine.
        usable: processors that this process can keep busy.
        instructions: those of a network's arithmetic.
        fast_precisions: precisions that some of these instructions are for; what gains by them, and how much, a
            library and a bench have to show.
    """

    name: str
    logical: int
    usable: int
    instructions: list[str]
    fast_precisions: list[str]


def usable_processors(root: Path = Path("/")) -> int:
    """How many this process can keep busy: those that `taskset` or a container left it, or less by a quota of time."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([allowed, *(math.ceil(quota) for quota in _quotas(root))])


def _quotas(root: Path) -> Iterator[float]:
    """Processors' worth of time that the process may take at most."""
    for group in control_groups(root, "cpu"):
        version_1 = f"{text_of(group / 'cpu.cfs_quota_us')} {text_of(group / 'cpu.cfs_period_us')}"
        quota, _, period = (text_of(group / "cpu.max") or version_1).partition(" ")
        if quota.isdecimal() and period.isdecimal():  # no quota is "max", or -1
            yield int(quota) / int(period)


def read_processor(root: Path) -> Processor:
    """The processor that the system at `root` describes."""
    told = values_of(text_of(root / "proc/cpuinfo"), ":")
    words = set(told.get("flags", told.get("Features", "")).split())
    found = [what for word, what in _INSTRUCTIONS.items() if word in words]
    return Processor(
        name=processor(root),
        logical=os.cpu_count() or 1,
        usable=usable_processors(root),
        instructions=[name for name, _ in found],
        fast_precisions=sorted({precision for _, precision in found if precision}),
    )
