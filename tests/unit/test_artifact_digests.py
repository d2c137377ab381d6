"""What a checked folder may hold: its listed files, unaltered, and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_manifest import Tiny, tiny_manifest

from reidkit.runtime.artifact import check_files, read_artifact, read_checked, record_files, sha256_of, write_manifest
from reidkit.runtime.artifact.manifest import FileRecord, Manifest
from reidkit.runtime.errors import ArtifactInvalid


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An artifact of three files, one in a sub-folder; no library opens it."""
    folder = tmp_path / "tiny"
    (folder / "package").mkdir(parents=True)
    (folder / "engine.onnx").write_bytes(b"engine")
    (folder / "golden.npz").write_bytes(b"golden")
    (folder / "package" / "weights.bin").write_bytes(b"weights")
    write_manifest(folder, manifest_of(record_files(folder)))
    return folder


def manifest_of(files: dict[str, FileRecord]) -> Manifest:
    return tiny_manifest(Tiny(), engine="onnxruntime", engine_file="engine.onnx", files=files)


def test_a_digest_is_sha256(tmp_path: Path) -> None:
    data = bytes(range(256)) * 9000
    (tmp_path / "file").write_bytes(data)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(data).hexdigest()


def test_every_file_is_recorded_but_the_manifest(folder: Path) -> None:
    assert record_files(folder) == {
        name: FileRecord(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
        for name, data in {
            "engine.onnx": b"engine",
            "golden.npz": b"golden",
            "package/weights.bin": b"weights",
        }.items()
    }


def test_an_unaltered_folder_passes(folder: Path) -> None:
    manifest, found = read_artifact(folder)
    check_files(found, manifest)
    assert read_checked(found, manifest, "package/weights.bin") == b"weights"


def remove(folder: Path) -> None:
    (folder / "golden.npz").unlink()


def alter(folder: Path) -> None:
    (folder / "engine.onnx").write_bytes(b"Engine")


def truncate(folder: Path) -> None:
    (folder / "package" / "weights.bin").write_bytes(b"weight")


def add(folder: Path) -> None:
    (folder / "package" / "weights.bin~").write_bytes(b"")


def link_file(folder: Path) -> None:
    (folder / "engine.onnx").rename(folder.parent / "engine.onnx")
    (folder / "engine.onnx").symlink_to(folder.parent / "engine.onnx")


def link_folder(folder: Path) -> None:
    (folder / "package").rename(folder.parent / "package")
    (folder / "package").symlink_to(folder.parent / "package")


def pipe(folder: Path) -> None:
    (folder / "engine.onnx").unlink()
    os.mkfifo(folder / "engine.onnx")


def edit_value(folder: Path) -> None:
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace('"max": 4', '"max": 5'))


def reformat(folder: Path) -> None:
    (folder / "manifest.json").write_text(json.dumps(json.loads((folder / "manifest.json").read_text())))


def lose_manifest_digest(folder: Path) -> None:
    (folder / "manifest.sha256").unlink()


def bloat_manifest_digest(folder: Path) -> None:
    with (folder / "manifest.sha256").open("ab") as file:
        file.truncate(1 << 40)


def link_manifest(folder: Path) -> None:
    (folder / "manifest.json").rename(folder.parent / "manifest.json")
    (folder / "manifest.json").symlink_to(folder.parent / "manifest.json")


def bloat_engine(folder: Path) -> None:
    with (folder / "engine.onnx").open("ab") as file:
        file.truncate(1 << 40)  # a sparse terabyte: to be refused by its size, not by hashing it


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (remove, r"tiny lacks its file golden\.npz"),
        (alter, r"engine\.onnx was altered \(SHA-256 .*, recorded "),
        (truncate, r"package/weights\.bin was altered \(bytes 6, recorded 7\)"),
        (add, r"holds package/weights\.bin~, which its manifest does not list"),
        (link_file, r"engine\.onnx is neither a plain file nor a folder"),
        (link_folder, "package is neither a plain file nor a folder"),
        (pipe, r"engine\.onnx is neither a plain file nor a folder"),
        (edit_value, r"manifest\.json is not the one it was published with"),
        (reformat, r"manifest\.json is not the one it was published with"),
        (lose_manifest_digest, r"cannot read .*manifest\.sha256: No such file"),
        (bloat_manifest_digest, "is not a plain file of at most 1024 bytes"),
        (link_manifest, r"cannot read .*manifest\.json"),
        (bloat_engine, r"engine\.onnx was altered \(bytes 1099511627776, recorded 6\)"),
    ],
)
def test_whatever_was_done_to_it_is_named(folder: Path, tamper: Callable[[Path], None], message: str) -> None:
    tamper(folder)
    with pytest.raises(ArtifactInvalid, match=message):
        read_artifact(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "package/../../secret", "./engine.onnx", "", ".", "a//b"])
def test_a_listed_name_stays_in_the_folder(folder: Path, name: str) -> None:
    (folder.parent / "secret").write_bytes(b"secret")
    record = FileRecord(sha256=hashlib.sha256(b"secret").hexdigest(), bytes=6)
    manifest = manifest_of({**record_files(folder), name: record})
    with pytest.raises(ArtifactInvalid, match="does not stay in the folder"):
        check_files(folder, manifest)
    with pytest.raises(ArtifactInvalid, match="does not stay in the folder"):
        read_checked(folder, manifest, name)


def test_the_bytes_that_are_handed_out_were_hashed(folder: Path) -> None:
    manifest, _ = read_artifact(folder)
    (folder / "engine.onnx").write_bytes(b"Engine")  # after the check, before the use
    with pytest.raises(ArtifactInvalid, match=r"engine\.onnx was altered"):
        read_checked(folder, manifest, "engine.onnx")
    with pytest.raises(ArtifactInvalid, match="lists no file other"):
        read_checked(folder, manifest, "other")


def test_sha256sum_reads_the_manifests_digest(folder: Path) -> None:
    digest, name = (folder / "manifest.sha256").read_text().split()
    assert (digest, name) == (sha256_of(folder / "manifest.json"), "manifest.json")
