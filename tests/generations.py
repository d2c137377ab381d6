"""Artifacts that tell a generation in each file, and a process that publishes one after another until it is killed."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tiny_manifest import Tiny, tiny_manifest

from reidkit.runtime.artifact import publication, read_artifact, record_files, write_manifest

NAMES = ("engine.onnx", "golden.npz", "weights.bin")


def write_generation(folder: Path, generation: int, *, pause_s: float = 0) -> None:
    """Fill `folder` with an artifact, slowly if wished."""
    for name in NAMES:
        (folder / name).write_text(f"{generation} " * 20_000)
        time.sleep(pause_s)
    files = record_files(folder)
    write_manifest(folder, tiny_manifest(Tiny(), engine="onnxruntime", engine_file="engine.onnx", files=files))


def generation_in(artifact: Path) -> int:
    """The one generation that a valid artifact tells."""
    _, folder = read_artifact(artifact)
    (generation,) = {number for name in NAMES for number in (folder / name).read_text().split()}
    return int(generation)


if __name__ == "__main__":
    print("ready", flush=True)
    for number in range(1_000_000):
        with publication(Path(sys.argv[1])) as new:
            write_generation(new, number, pause_s=0.002)
