"""A folder appears whole or not at all, whatever happens to the process that writes it."""

from __future__ import annotations

import errno
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import generations
import numpy as np
import pytest
from generations import generation_in, write_generation

from reidkit.runtime.artifact import publication
from reidkit.runtime.errors import InvalidFile, InvalidInput


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_written_appears_under_the_name(tmp_path: Path) -> None:
    with publication(tmp_path / "out" / "tiny") as new:
        write_generation(new, 1)
        assert not (tmp_path / "out" / "tiny").exists()
        assert new.stat().st_dev == (tmp_path / "out").stat().st_dev
    assert generation_in(tmp_path / "out" / "tiny") == 1
    assert names_in(tmp_path / "out") == ["tiny"]


def test_its_permissions_are_the_usual_ones(tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()
    with publication(tmp_path / "tiny") as new:
        write_generation(new, 1)
    assert (tmp_path / "tiny").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_relative_name_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with publication(Path("tiny")) as new:
        write_generation(new, 1)
    assert generation_in(tmp_path / "tiny") == 1


def test_an_older_artifact_is_replaced(tmp_path: Path) -> None:
    for generation in (1, 2):
        with publication(tmp_path / "tiny") as new:
            (new / f"only in {generation}").touch()
            write_generation(new, generation)
    assert generation_in(tmp_path / "tiny") == 2
    assert names_in(tmp_path) == ["tiny"]


def test_an_exception_leaves_the_older_artifact_and_nothing_else(tmp_path: Path) -> None:
    with publication(tmp_path / "tiny") as new:
        write_generation(new, 1)

    def interrupted() -> None:
        with publication(tmp_path / "tiny") as new:
            write_generation(new, 2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert generation_in(tmp_path / "tiny") == 1
    assert names_in(tmp_path) == ["tiny"]


def test_folders_made_for_what_was_not_published_do_not_stay(tmp_path: Path) -> None:
    def fails(folder: Path) -> None:
        with publication(folder):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fails(tmp_path / "new" / "out" / "tiny")
    assert names_in(tmp_path) == []
    (tmp_path / "out").mkdir()
    with pytest.raises(KeyboardInterrupt):
        fails(tmp_path / "out" / "tiny")
    assert names_in(tmp_path) == ["out"]


def test_a_folder_that_another_takes_away_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mkdtemp, failures = tempfile.mkdtemp, []

    def taken_away(**options: Any) -> str:
        if not failures:
            options["dir"].rmdir()
            failures.append(options["dir"])
        return mkdtemp(**options)

    monkeypatch.setattr(tempfile, "mkdtemp", taken_away)
    with publication(tmp_path / "out" / "tiny") as new:
        write_generation(new, 1)
    assert failures
    assert generation_in(tmp_path / "out" / "tiny") == 1


def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    folder = tmp_path / "notes.txt" / "sub" / "tiny"
    with (
        pytest.raises(InvalidFile, match=r"cannot write .*notes.txt/sub/tiny \(Not a directory\)"),
        publication(folder),
    ):
        pytest.fail("refused before anything is written")
    assert names_in(tmp_path) == ["notes.txt"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    with publication(tmp_path / "tiny") as new:
        write_generation(new, 1)
    assert generation_in(tmp_path / "tiny") == 1


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_no_artifact_is_not_overwritten(tmp_path: Path, kind: str) -> None:
    if kind == "file":
        (tmp_path / "photos").write_text("dear")
    else:
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "dear.jpg").write_text("dear")
    with pytest.raises(InvalidInput, match="photos exists and is not an artifact"), publication(tmp_path / "photos"):
        pytest.fail("refused before anything is written")
    assert names_in(tmp_path) == ["photos"]


def test_a_link_is_replaced_and_what_it_led_to_is_kept(tmp_path: Path) -> None:
    with publication(tmp_path / "first") as new:
        write_generation(new, 1)
    (tmp_path / "tiny").symlink_to("first")
    with publication(tmp_path / "tiny") as new:
        write_generation(new, 2)
    assert (generation_in(tmp_path / "first"), generation_in(tmp_path / "tiny")) == (1, 2)
    assert not (tmp_path / "tiny").is_symlink()


def test_two_at_once_both_publish_whole(tmp_path: Path) -> None:
    with publication(tmp_path / "tiny") as first, publication(tmp_path / "tiny") as second:
        write_generation(first, 1)
        write_generation(second, 2)
        assert first != second
    assert generation_in(tmp_path / "tiny") == 1  # the outer one ends last
    assert names_in(tmp_path) == ["tiny"]


def workspace(parent: Path, name: str) -> Path:
    """What a process that was killed leaves behind."""
    workspace = parent / f".{name}.x1y2z3_w.reidkit-partial"
    (workspace / "new").mkdir(parents=True)
    (workspace / "new" / "engine.onnx").write_text("half")
    return workspace


def test_what_the_dead_left_is_swept(tmp_path: Path) -> None:
    workspace(tmp_path, "tiny")
    workspace(tmp_path, "a.name.with.dots")
    with publication(tmp_path / "other") as new:
        write_generation(new, 1)
    assert names_in(tmp_path) == ["other"]


def test_what_the_dead_had_set_aside_is_put_back(tmp_path: Path) -> None:
    aside = workspace(tmp_path, "a.name.with.dots") / "old"
    aside.mkdir()
    write_generation(aside, 1)
    with publication(tmp_path / "other"):
        pass
    assert generation_in(tmp_path / "a.name.with.dots") == 1
    assert names_in(tmp_path) == ["a.name.with.dots", "other"]


@pytest.mark.parametrize(
    ("fault", "raised"),
    [(KeyboardInterrupt(), KeyboardInterrupt), (OSError(errno.ENOSPC, "No space left on device"), InvalidFile)],
    ids=repr,
)
def test_what_was_set_aside_comes_back_if_the_new_one_cannot_move_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException, raised: type[BaseException]
) -> None:
    with publication(tmp_path / "tiny") as new:
        write_generation(new, 1)
    rename = Path.rename

    def faulty(self: Path, target: Path) -> Path:
        if self.name == "new":
            assert not (tmp_path / "tiny").exists()
            raise fault
        return rename(self, target)

    def publish() -> None:
        with publication(tmp_path / "tiny") as new:
            write_generation(new, 2)
            monkeypatch.setattr(Path, "rename", faulty)

    with pytest.raises(raised):
        publish()
    assert generation_in(tmp_path / "tiny") == 1
    assert names_in(tmp_path) == ["tiny"]


def test_what_was_published_since_is_not_put_back_over(tmp_path: Path) -> None:
    with publication(tmp_path / "tiny") as new:
        write_generation(new, 2)
    aside = workspace(tmp_path, "tiny") / "old"
    aside.mkdir()
    write_generation(aside, 1)
    with publication(tmp_path / "other"):
        pass
    assert generation_in(tmp_path / "tiny") == 2
    assert names_in(tmp_path) == ["other", "tiny"]


def test_what_the_living_write_is_left_alone(tmp_path: Path) -> None:
    exporter = start_exporter(tmp_path / "tiny")
    try:
        for generation in range(20):
            with publication(tmp_path / "other") as new:
                write_generation(new, generation)
        assert exporter.poll() is None
    finally:
        exporter.kill()
        _, errors = exporter.communicate()
    assert errors == ""
    assert generation_in(tmp_path / "tiny") > 0


def start_exporter(folder: Path) -> subprocess.Popen[str]:
    """A process that publishes one generation after another until it is killed."""
    exporter = subprocess.Popen(
        [sys.executable, generations.__file__, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert exporter.stdout is not None
    assert exporter.stdout.readline() == "ready\n"
    return exporter


def test_a_kill_at_any_moment_leaves_nothing_wrong(tmp_path: Path) -> None:
    found = []
    for delay_s in np.random.default_rng(0).uniform(0, 0.06, 12):
        exporter = start_exporter(tmp_path / "tiny")
        time.sleep(delay_s)
        exporter.kill()
        exporter.communicate()
        if (tmp_path / "tiny").exists():
            found.append(generation_in(tmp_path / "tiny"))
        with publication(tmp_path / "next") as new:
            write_generation(new, 0)
        assert set(names_in(tmp_path)) <= {"tiny", "next"}
    assert found
