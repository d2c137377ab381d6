"""NVIDIA's part of the box: driver, GPUs, CUDA, JetPack, TensorRT. Read, **not run, on a device**."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from reidkit.runtime.box.texts import text_of, values_of

# A driver that hangs is no reason to.
_PATIENCE_S = 10
_QUERY = "--query-gpu=name,memory.total,compute_cap"
# By the major number of Jetson Linux; 38 came with JetPack 7.0.
_JETPACKS = {32: "4", 34: "5", 35: "5", 36: "6", 38: "7"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A GPU as its driver lists it; None for what it does not tell, as on a Jetson, whose memory is the box's."""

    name: str
    memory_mib: int | None
    compute_capability: str | None

    def __str__(self) -> str:
        memory = "" if self.memory_mib is None else f", {self.memory_mib} MiB"
        capability = "" if self.compute_capability is None else f", compute capability {self.compute_capability}"
        return f"{self.name}{memory}{capability}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nvidia:
    """What is there of it; None where there is none, or none that can be found.

    Attributes:
        driver: version of the kernel's driver.
        gpus: what the driver lists.
        cuda: version, of the newest interface that the driver has, or of the toolkit that is installed.
        jetson_linux: release of a Jetson's system, such as ``"36.4.3"``.
        jetpack: the release that it belongs to, such as ``"6.2+b77"``, or only ``"6"``.
        tensorrt: version of the system's own TensorRT, which a virtual environment sees only if it is told to.
    """

    driver: str | None
    gpus: list[Gpu]
    cuda: str | None
    jetson_linux: str | None
    jetpack: str | None
    tensorrt: str | None

    @property
    def is_jetson(self) -> bool:
        """Whether this is a Jetson."""
        return self.jetson_linux is not None

    @property
    def present(self) -> bool:
        """Whether there is a GPU, or a driver that should have one."""
        return self.is_jetson or self.driver is not None or bool(self.gpus)


def read_nvidia(root: Path) -> Nvidia:
    """What the system at `root` has of NVIDIA; GPUs are those that ``nvidia-smi`` lists, which is the box's own."""
    jetson_linux = read_jetson_linux(text_of(root / "etc/nv_tegra_release"))
    return Nvidia(
        driver=_first(r"Kernel Module.*?(\d+(?:\.\d+)+)", text_of(root / "proc/driver/nvidia/version")),
        gpus=read_gpus(_nvidia_smi(_QUERY, "--format=csv,noheader,nounits")),
        cuda=_first(r"CUDA(?: UMD)? Version: *([\d.]+)", _nvidia_smi()) or _toolkit(root),
        jetson_linux=jetson_linux,
        jetpack=_jetpack(root, jetson_linux),
        tensorrt=_tensorrt(root),
    )


def read_jetson_linux(text: str) -> str | None:
    """The release that ``/etc/nv_tegra_release`` tells.

    >>> read_jetson_linux("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64")
    '36.4.3'
    """
    match = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", text)
    return f"{match[1]}.{match[2]}" if match else None


def read_gpus(listing: str) -> list[Gpu]:
    """The GPUs of a listing by ``nvidia-smi --query-gpu=name,memory.total,compute_cap``, memory in MiB, no header.

    >>> read_gpus("NVIDIA GeForce RTX 4090, 24564, 8.9")
    [Gpu(name='NVIDIA GeForce RTX 4090', memory_mib=24564, compute_capability='8.9')]
    """
    rows = [[cell.strip() for cell in line.rsplit(",", 2)] for line in listing.splitlines()]
    return [
        Gpu(
            name=row[0],
            memory_mib=int(row[1]) if row[1].isdecimal() else None,
            compute_capability=row[2] if re.fullmatch(r"\d+\.\d+", row[2]) else None,
        )
        for row in rows
        if len(row) == 3
    ]


def _nvidia_smi(*arguments: str) -> str:
    """What the driver's own tool prints; nothing without it, or without a driver that answers."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ""
    try:
        done = subprocess.run([tool, *arguments], capture_output=True, text=True, timeout=_PATIENCE_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def _toolkit(root: Path) -> str | None:
    """Version of the CUDA toolkit in its usual place."""
    try:
        version: str = json.loads(text_of(root / "usr/local/cuda/version.json"))["cuda"]["version"]
    except (ValueError, KeyError, TypeError):
        return None
    return version


def _jetpack(root: Path, jetson_linux: str | None) -> str | None:
    if jetson_linux is None:
        return None
    for package in text_of(root / "var/lib/dpkg/status").split("\n\n"):
        if package.startswith("Package: nvidia-jetpack\n"):
            return values_of(package, ":").get("Version")
    return _JETPACKS.get(int(jetson_linux.partition(".")[0]))


def _tensorrt(root: Path) -> str | None:
    """From the name of the library's file, ``libnvinfer.so.10.3.0``."""
    names = [path.name.removeprefix("libnvinfer.so.") for path in root.glob("usr/lib/*-linux-gnu/libnvinfer.so.*.*")]
    return max(names, key=lambda name: [int(part) for part in name.split(".")], default=None)


def _first(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match[1] if match else None
