"""How long batches took on this box: a small file in the cache that a bench writes and a recommendation reads.

`$XDG_CACHE_HOME/reidkit/latencies.json`:

    {"schema_version": 1,
     "records": [{"backbone": "osnet_x0_25", "artifact": "osnet_x0_25-openvino-fp32", "target": "openvino",
                  "precision": "fp32", "batch": 8, "threads": 2, "latency_ms": 9.4,
                  "machine": "AMD EPYC, 2 logical, Linux x86_64", "measured": "2026-01-31T12:00:00+00:00"}]}

A home folder may be shared by several machines, so every record names the one it was measured on.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from reidkit.runtime.cache import cache_folder, locked
from reidkit.runtime.errors import InvalidFile, InvalidInput
from reidkit.runtime.files import whole_file

SCHEMA_VERSION = 1

_ROOT = Path("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """The time one batch takes.

    Attributes:
        backbone: name of the network.
        artifact: name of the artifact that was run.
        target: what it was built for.
        precision: what it computes in.
        batch: crops in the batch.
        threads: threads it ran with; None for the library's choice.
        latency_ms: median of the whole batch.
        machine: `this_machine` where it was measured.
        measured: when, ISO 8601.
    """

    backbone: str
    artifact: str
    target: str
    precision: str
    batch: int
    threads: int | None
    latency_ms: float
    machine: str
    measured: str

    def __post_init__(self) -> None:
        if self.batch < 1 or not (math.isfinite(self.latency_ms) and self.latency_ms > 0):
            raise InvalidInput(f"a batch of {self.batch} crops cannot take {self.latency_ms} ms")


def latencies_file() -> Path:
    """Where the records are."""
    return cache_folder("latencies.json")


def read_latencies(*, machine: str | None = None) -> list[Latency]:
    """The records of one machine, by default of this one, in the order they were made.

    Raises:
        InvalidFile: the file is there and cannot be read as what it should be.
    """
    wanted = this_machine() if machine is None else machine
    return [record for record in _read() if record.machine == wanted]


def record_latencies(records: list[Latency]) -> None:
    """Add records; each replaces an earlier one of the same artifact, batch, threads and machine."""
    path = latencies_file()
    with locked(path.with_name(".latencies.lock")):
        kept = {_identity(record): record for record in [*_read(), *records]}
        content = {"schema_version": SCHEMA_VERSION, "records": [dataclasses.asdict(each) for each in kept.values()]}
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def this_machine() -> str:
    """A name for the machine: processor, logical processors, system."""
    return f"{processor()}, {os.cpu_count()} logical, {platform.system()} {platform.machine()}"


def processor(root: Path = _ROOT) -> str:
    """The processor's name as the system, whose files are at `root`, tells it."""
    cpuinfo = root / "proc/cpuinfo"
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor() or platform.machine()


def _identity(record: Latency) -> tuple[object, ...]:
    return record.artifact, record.target, record.precision, record.batch, record.threads, record.machine


def _read() -> list[Latency]:
    path = latencies_file()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema_version is {content['schema_version']}, not {SCHEMA_VERSION}")
        return [Latency(**record) for record in content["records"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InvalidFile(f"cannot read {path} ({error})", remedy="remove it, and measure again") from error
