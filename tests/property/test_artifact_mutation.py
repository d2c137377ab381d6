"""However an artifact is altered, it is refused, before any inference library sees it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_artifact import tiny_artifact

from reidkit.runtime.artifact import read_artifact
from reidkit.runtime.errors import ArtifactInvalid

FILES = ["engine.onnx", "golden.npz", "manifest.json", "manifest.sha256"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tiny_artifact(tmp_path_factory.mktemp("mutation"))
    yield folder
    read_artifact(folder)  # each example has put back what it altered


def refused(path: Path, data: bytes) -> None:
    """Assert that an artifact one of whose files holds `data` is refused; then put the file back."""
    before = path.read_bytes()
    path.write_bytes(data)
    try:
        with pytest.raises(ArtifactInvalid):
            read_artifact(path.parent)
    finally:
        path.write_bytes(before)


@given(name=st.sampled_from(FILES), position=st.integers(0, 1 << 20), flip=st.integers(1, 255))
def test_a_changed_byte(folder: Path, name: str, position: int, flip: int) -> None:
    data = bytearray((folder / name).read_bytes())
    data[position % len(data)] ^= flip
    refused(folder / name, bytes(data))


@given(name=st.sampled_from(FILES), length=st.integers(0, 1 << 20))
def test_a_truncated_file(folder: Path, name: str, length: int) -> None:
    data = (folder / name).read_bytes()
    refused(folder / name, data[: length % len(data)])


@given(name=st.sampled_from(FILES), more=st.binary(min_size=1, max_size=99))
def test_a_longer_file(folder: Path, name: str, more: bytes) -> None:
    refused(folder / name, (folder / name).read_bytes() + more)


@given(
    name=st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
        lambda name: name not in {".", "..", *FILES}
    )
)
def test_a_file_too_many(folder: Path, name: str) -> None:
    (folder / name).touch()
    try:
        with pytest.raises(ArtifactInvalid, match="which its manifest does not list"):
            read_artifact(folder)
    finally:
        (folder / name).unlink()


@pytest.mark.parametrize("name", FILES)
def test_a_file_too_few(folder: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(folder, tmp_path / "tiny")
    (tmp_path / "tiny" / name).unlink()
    with pytest.raises(ArtifactInvalid):
        read_artifact(tmp_path / "tiny")
