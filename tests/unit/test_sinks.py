"""Annotated videos: any frame size, the right speed, whole or absent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_videos import av, picture

from reidkit.runtime.errors import InvalidFile, MissingDependency
from reidkit.runtime.video.sinks import VideoSink
from reidkit.runtime.video.sources import open_source


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    images = [picture(index) for index in range(1, 11)]
    with VideoSink.open(tmp_path / "v.mp4", frame_rate=7) as sink:
        for image in images:
            sink.write(image)
        assert not (tmp_path / "v.mp4").exists()
    source = open_source(tmp_path / "v.mp4")
    frames = list(source)
    assert source.frame_rate == 7
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]
    for frame, image in zip(frames, images, strict=True):
        assert np.abs(frame.image.astype(int) - image).mean() < 6


def test_a_folder_with_a_colon_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cam:1").mkdir()
    monkeypatch.chdir(tmp_path)
    with VideoSink.open(Path("cam:1/v.mp4"), frame_rate=7) as sink:
        sink.write(picture(1))
    assert len(list(open_source("cam:1/v.mp4"))) == 1


@pytest.mark.parametrize("rate", [0.5, 29.97, 60000 / 1001, 1000])
def test_any_frame_rate_is_kept(tmp_path: Path, rate: float) -> None:
    with VideoSink.open(tmp_path / "v.mp4", frame_rate=rate) as sink:
        for index in range(1, 8):
            sink.write(picture(index))
    assert open_source(tmp_path / "v.mp4").frame_rate == pytest.approx(rate, rel=1e-3)


@pytest.mark.parametrize("size", [(121, 161), (120, 161), (121, 160), (1, 1)])
def test_odd_sizes_are_padded_by_their_own_edge(tmp_path: Path, size: tuple[int, int]) -> None:
    height, width = size
    with VideoSink.open(tmp_path / "v.mp4", frame_rate=10) as sink:
        sink.write(np.full((height, width, 3), 200, np.uint8))
    (frame,) = open_source(tmp_path / "v.mp4")
    assert frame.image.shape == (height + height % 2, width + width % 2, 3)
    assert frame.image.min() > 190


def test_frames_of_another_size_are_fitted_in_on_black(tmp_path: Path) -> None:
    with VideoSink.open(tmp_path / "v.mp4", frame_rate=10) as sink:
        sink.write(np.full((120, 160, 3), 200, np.uint8))
        sink.write(np.full((120, 640, 3), 200, np.uint8))
        sink.write(np.full((3000, 10, 3), 200, np.uint8))
    _, wide, tall = (frame.image for frame in open_source(tmp_path / "v.mp4"))
    assert wide.shape == tall.shape == (120, 160, 3)
    assert wide[60].min() > 180
    assert wide[:35].max() < 30
    assert wide[85:].max() < 30
    assert tall[60, :70].max() < 30


def test_an_aborted_video_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shape"), VideoSink.open(tmp_path / "v.mp4", frame_rate=10) as sink:
        sink.write(np.zeros((10, 10, 4), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(InvalidFile, match=r"cannot write .*v\.mp4"),
        VideoSink.open(tmp_path / "nowhere" / "v.mp4", frame_rate=10),
    ):
        pass


def test_a_full_disk_is_a_typed_error_and_leaves_nothing(tmp_path: Path) -> None:
    script = f"""
import resource
import numpy as np
from pathlib import Path
from reidkit.runtime.errors import InvalidFile
from reidkit.runtime.video.sinks import VideoSink
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))  # no file may grow beyond so many bytes
try:
    with VideoSink.open(Path({str(tmp_path)!r}) / "v.mp4", frame_rate=10) as sink:
        for seed in range(40):
            sink.write(np.random.default_rng(seed).integers(0, 256, (240, 320, 3), dtype=np.uint8))
except InvalidFile as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "cannot write" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_an_encoder_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    with (
        pytest.raises(MissingDependency, match=r"libx264.*reidkit\[video\]"),
        VideoSink.open(tmp_path / "v.mp4", frame_rate=10),
    ):
        pass
