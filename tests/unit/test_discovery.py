"""Plug-ins are files of a folder, or entry points of another package; a name is taken once."""

from __future__ import annotations

from pathlib import Path

import pytest

from reidkit.runtime.discovery import plugins
from reidkit.runtime.engines import engines
from reidkit.runtime.errors import InvalidConfig


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of plug-ins: two of them, one shared part, one file that is none, one sub-package."""
    package = tmp_path / "menagerie"
    (package / "cages").mkdir(parents=True)
    for name in ("__init__", "zebra", "ant", "_fur", "animal", "cages/__init__"):
        (package / f"{name}.py").write_text(f"ANIMAL = {name!r}")
    monkeypatch.syspath_prepend(tmp_path)
    return package


def installed(site: Path, name: str, value: str) -> None:
    """Install a distribution that brings one entry point."""
    folder = site / "guest-1.0.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[test.animals]\n{name} = {value}\n")


def test_files_and_entry_points_are_found_by_name(package: Path) -> None:
    installed(package.parent, "mole", "menagerie._fur:ANIMAL")
    found = plugins("menagerie", "ANIMAL", group="test.animals", besides={"animal"})
    assert list(found) == ["ant", "mole", "zebra"]
    assert [entry.load() for entry in found.values()] == ["ant", "_fur", "zebra"]


def test_finding_a_plugin_does_not_import_it(package: Path) -> None:
    (package / "zebra.py").write_text("raise RuntimeError('imported')")
    assert "zebra" in plugins("menagerie", "ANIMAL", group="test.animals")


def test_a_name_taken_twice_is_refused(package: Path) -> None:
    installed(package.parent, "ant", "menagerie._fur:ANIMAL")
    message = r"two plug-ins of test.animals are called 'ant': menagerie.ant:ANIMAL and menagerie._fur:ANIMAL"
    with pytest.raises(InvalidConfig, match=message):
        plugins("menagerie", "ANIMAL", group="test.animals")


def test_the_engines_are_the_files_of_their_folder() -> None:
    assert {"onnxruntime", "openvino"} <= engines().keys()
    assert not {"engine", "_self_check"} & engines().keys()
