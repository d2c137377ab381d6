"""An artifact folder, written and read.

osnet_x0_25-openvino-fp32/
    engine.xml, engine.bin   what the inference library loads; a bundle has none yet
    graph.onnx, recipe.json  what it is built from, where it can be built again on the box
    golden.npz               rendered crops and their reference embeddings, for the self-check
    manifest.json            everything else, with the digest of each file above
    manifest.sha256          digest of the manifest, as ``sha256sum -c`` reads it
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.artifact.digests import (
    MANIFEST_DIGEST_FILE,
    MANIFEST_FILE,
    check_files,
    read_checked,
    read_plain,
)
from reidkit.runtime.artifact.manifest import Manifest
from reidkit.runtime.artifact.recipe import RECIPE_FILE
from reidkit.runtime.errors import ArtifactInvalid

GOLDEN_FILE = "golden.npz"
_MANIFEST_LIMIT = 16 << 20
_DIGEST_LIMIT = 1 << 10
_GOLDEN_LIMIT = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """What the artifact must answer.

    Attributes:
        crops: (N, H, W, 3) uint8, in the input's colour order and size.
        embeddings: (N, D) float32, the reference's answer as the engine returns it, not normalised by the runtime.
    """

    crops: NDArray[np.uint8]
    embeddings: NDArray[np.float32]


def read_artifact(path: str | Path) -> tuple[Manifest, Path]:
    """The manifest of an artifact whose every byte is as recorded, and the folder itself.

    Raises:
        ArtifactInvalid: it is not an artifact, or anything in it was altered.
    """
    try:
        folder = Path(path).resolve()
    except (ValueError, RuntimeError) as error:  # a zero character in it; links that lead in a circle
        raise ArtifactInvalid(f"{path} is not an artifact ({error})", remedy="make one with reid-export") from error
    try:
        if not (folder / MANIFEST_FILE).exists():
            found = f"no {MANIFEST_FILE} in it" if folder.exists() else "no such folder"
            raise ArtifactInvalid(f"{path} is not an artifact ({found})", remedy="make one with reid-export")
        text = read_plain(folder / MANIFEST_FILE, limit=_MANIFEST_LIMIT)
        recorded = read_plain(folder / MANIFEST_DIGEST_FILE, limit=_DIGEST_LIMIT)
        if recorded != _digest_line(text):
            raise ArtifactInvalid(
                f"{folder.name}: {MANIFEST_FILE} is not the one it was published with",
                remedy="an artifact is not edited by hand: export it again",
            )
        manifest = Manifest.from_json(text)
        _check_values(manifest)
        check_files(folder, manifest)
    except OSError as error:
        raise ArtifactInvalid(f"cannot read {path} ({error.strerror})", remedy="see to its permissions") from error
    return manifest, folder


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest and its digest: the last step before publication."""
    text = manifest.to_json().encode()
    (folder / MANIFEST_FILE).write_bytes(text)
    (folder / MANIFEST_DIGEST_FILE).write_bytes(_digest_line(text))


def load_golden(path: str | Path) -> Golden:
    """The golden crops and embeddings of the artifact at `path`.

    Raises:
        ArtifactInvalid: the artifact is invalid, or its golden file does not fit its manifest.
    """
    return read_golden(*read_artifact(path))


def read_golden(manifest: Manifest, folder: Path) -> Golden:
    """`load_golden` for an artifact that `read_artifact` has opened."""
    data = io.BytesIO(read_checked(folder, manifest, GOLDEN_FILE))
    try:
        with zipfile.ZipFile(data) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > _GOLDEN_LIMIT:
            raise ArtifactInvalid(f"{folder.name}: {GOLDEN_FILE} unpacks to {unpacked} bytes", remedy="export it again")
        with np.load(data, allow_pickle=False) as arrays:
            golden = Golden(crops=arrays["crops"], embeddings=arrays["embeddings"])
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ArtifactInvalid(
            f"{folder.name}: {GOLDEN_FILE} cannot be read ({error})", remedy="export it again"
        ) from error
    size, count = manifest.preprocessing, max(1, len(golden.crops))
    expected = f"uint8 {(count, size.height, size.width, 3)}, float32 {(count, manifest.embedding.dim)}"
    found = ", ".join(f"{array.dtype} {array.shape}" for array in (golden.crops, golden.embeddings))
    if found != expected:
        raise ArtifactInvalid(
            f"{folder.name}: {GOLDEN_FILE} holds {found}, the manifest asks for {expected}", remedy="export it again"
        )
    return golden


def write_golden(folder: Path, golden: Golden) -> None:
    """Write the golden file; to be done before `record_files`."""
    np.savez_compressed(folder / GOLDEN_FILE, crops=golden.crops, embeddings=golden.embeddings)


def _check_values(manifest: Manifest) -> None:
    """Refuse values of the right type that mean nothing: what they would do further in is nobody's to guess."""
    batch = manifest.batch
    engine_files = {manifest.engine_file} if manifest.is_built else {RECIPE_FILE}
    conditions = {
        **manifest.preprocessing.conditions(),
        "embedding.dim is 1 to 65536": 0 < manifest.embedding.dim <= 65536,
        "batch.max is 1 to 4096": 0 < batch.max <= 4096,
        "batch.buckets ascend, and to batch.max where the batch is not dynamic": (
            batch.buckets == sorted({bucket for bucket in batch.buckets if bucket > 0})
            and (batch.dynamic or batch.buckets[-1:] == [batch.max])
        ),
        "engine_file, or a bundle's recipe, and the golden file are among files": {GOLDEN_FILE, *engine_files}
        <= manifest.files.keys(),
    }
    for condition, holds in conditions.items():
        if not holds:
            raise ArtifactInvalid(f"{MANIFEST_FILE}: it must be that {condition}", remedy="export the artifact again")


def _digest_line(text: bytes) -> bytes:
    return f"{hashlib.sha256(text).hexdigest()}  {MANIFEST_FILE}\n".encode()
