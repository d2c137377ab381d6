"""Sources: every kind of input, whole, damaged and wrong."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from small_videos import picture, write_video

from reidkit.runtime.errors import Interrupted, InvalidFile, InvalidInput
from reidkit.runtime.video.frame_rate import frame_rate_of, frames_at
from reidkit.runtime.video.sequence_info import find_sequence_info, read_sequence_info
from reidkit.runtime.video.sources import Frame, expect_kept, open_source, read_ahead

START_CODE = b"\0\0\1"
NOISE = np.random.default_rng(0).bytes(4000)
IMAGES = [picture(index) for index in range(1, 41)]


def frames_of(path: Path | str) -> tuple[list[Frame], str | None]:
    source = open_source(path)
    frames = [frame for frame, _ in read_ahead(source)]
    source.close()
    return frames, source.warning


@pytest.mark.parametrize(
    ("name", "codec"), [("v.mp4", "libx264"), ("v.avi", "mpeg4"), ("v.mkv", "libx264"), ("v.264", "libx264")]
)
def test_each_container_gives_every_frame_in_order(tmp_path: Path, name: str, codec: str) -> None:
    path = write_video(tmp_path / name, IMAGES, codec=codec, container="h264" if name.endswith("264") else None)
    frames, warning = frames_of(path)
    assert warning is None
    assert [frame.index for frame in frames] == list(range(1, 41))
    for frame, image in zip(frames, IMAGES, strict=True):
        assert frame.image.dtype == np.uint8
        assert np.abs(frame.image.astype(int) - image).mean() < 6
    assert np.diff([frame.timestamp_s for frame in frames]).min() > 0
    assert frames[0].timestamp_s == 0


def test_a_container_tells_its_frame_rate_and_length(tmp_path: Path) -> None:
    source = open_source(write_video(tmp_path / "v.mp4", IMAGES, rate=12))
    assert source.frame_rate == 12
    assert source.frame_count == 40
    assert next(frame.timestamp_s for frame in source if frame.index == 13) == pytest.approx(1.0)
    source.close()


@pytest.mark.parametrize("name", ["2024-01-01T12:30:00.mp4", "cam:1/v.mp4", "rtsp:.mp4", "100%d.mp4"])
def test_a_path_with_a_colon_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    write_video(tmp_path / "v.mp4", IMAGES[:5]).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for location in (name, f"./{name}", Path(name), tmp_path / name):
        assert len(frames_of(location)[0]) == 5
    (tmp_path / name).unlink()
    with pytest.raises(InvalidFile, match="No such file or directory"):
        open_source(name)


def test_a_folder_of_images_may_have_colons_in_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path / "cam:1", ["12:30:01.png", "12:30:00.png", "of%03d.png"])
    monkeypatch.chdir(tmp_path)
    assert len(frames_of("cam:1")[0]) == 3


def test_metadata_that_is_no_text_harms_no_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", IMAGES[:5])
    content = path.read_bytes()
    assert content.count(b"Lavf") == 1  # who wrote it
    path.write_bytes(content.replace(b"Lavf", b"\xff\xfe\xfd\xfc"))
    assert len(frames_of(path)[0]) == 5


def test_a_file_url_is_a_stream(tmp_path: Path) -> None:
    frames, _ = frames_of(f"file://{write_video(tmp_path / 'v.mp4', IMAGES)}")
    assert len(frames) == 40


def test_a_stream_that_ends_in_garbage_is_read_up_to_it(tmp_path: Path) -> None:
    slices = write_video(tmp_path / "v.264", IMAGES, container="h264").read_bytes().split(START_CODE)
    damaged = tmp_path / "damaged.264"
    garbage = slices[20][:1] + NOISE.replace(b"\0", b"\1")
    damaged.write_bytes(START_CODE.join([*slices[:20], garbage, *slices[21:]]))
    frames, warning = frames_of(damaged)
    assert 5 < len(frames) < 20
    for frame, image in zip(frames, IMAGES, strict=False):
        assert np.abs(frame.image.astype(int) - image).mean() < 6, f"frame {frame.index} is no picture of the video"
    assert warning is not None
    assert warning.startswith(f"damaged.264 breaks off after frame {len(frames)}")


def test_a_container_that_holds_less_than_it_announces_says_so(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "v.avi", IMAGES, codec="mpeg4").read_bytes()
    damaged = tmp_path / "damaged.avi"
    damaged.write_bytes(whole[: len(whole) // 2] + NOISE)
    frames, warning = frames_of(damaged)
    assert 5 < len(frames) < 35
    assert warning is not None
    assert "damaged.avi" in warning
    assert str(len(frames)) in warning


def test_a_recording_that_begins_between_key_frames_starts_at_the_first(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "v.264", IMAGES, container="h264").read_bytes()
    slices = whole.split(START_CODE)
    orphans = [part for part in slices if part and part[0] & 31 == 1]
    (tmp_path / "joined.264").write_bytes(START_CODE + START_CODE.join(orphans[:5]) + whole)
    frames, warning = frames_of(tmp_path / "joined.264")
    assert warning is None
    assert len(frames) == 40
    assert np.abs(frames[0].image.astype(int) - IMAGES[0]).mean() < 6


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.mp4", b"these are words\n" * 50),
        ("notes.txt", b"1,2,3,4\n" * 50),
        ("empty.avi", b""),
        ("noise.mkv", NOISE),
    ],
)
def test_what_is_no_video_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidFile, match=name):
        open_source(tmp_path / name)


def test_an_mp4_without_its_index_is_refused(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "v.mp4", IMAGES).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidFile, match=r"cut\.mp4"):
        open_source(tmp_path / "cut.mp4")


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="No such file"):
        open_source(tmp_path / "nowhere.avi")
    with pytest.raises(InvalidFile, match="holds no images"):
        open_source(tmp_path)
    with pytest.raises(InvalidFile, match="rtsp"):
        open_source("rtsp://127.0.0.1:9/nobody")


def test_a_change_of_size_in_mid_stream_is_delivered(tmp_path: Path) -> None:
    small = write_video(tmp_path / "a.264", IMAGES[:5], container="h264")
    large = write_video(tmp_path / "b.264", [picture(i, width=320, height=240) for i in range(5)], container="h264")
    joined = tmp_path / "joined.264"
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    frames, warning = frames_of(joined)
    assert warning is None
    assert [frame.image.shape for frame in frames] == [(120, 160, 3)] * 5 + [(240, 320, 3)] * 5


def test_a_video_held_upright_is_turned(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", IMAGES)
    content = path.read_bytes()
    identity = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    clockwise = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    track_header = content.index(b"tkhd")
    matrix = content.index(identity, track_header)
    path.write_bytes(content[:matrix] + clockwise + content[matrix + len(identity) :])
    frames, _ = frames_of(path)
    assert frames[0].image.shape == (160, 120, 3)
    assert np.abs(frames[0].image.astype(int) - np.rot90(IMAGES[0], -1)).mean() < 6


def write_images(folder: Path, names: list[str]) -> Path:
    cv2 = pytest.importorskip("cv2")
    folder.mkdir(parents=True)
    for name, image in zip(names, IMAGES, strict=False):
        assert cv2.imwrite(str(folder / name), image)
    return folder


def test_images_named_by_number_keep_their_number(tmp_path: Path) -> None:
    frames, _ = frames_of(write_images(tmp_path / "img1", ["000005.png", "000010.png", "000002.png"]))
    assert [frame.index for frame in frames] == [2, 5, 10]
    np.testing.assert_array_equal(frames[0].image, IMAGES[2])


@pytest.mark.parametrize("names", [["b.png", "a.png", "c.jpg"], ["000000.png", "000001.png", "000002.png"]])
def test_other_images_are_counted_by_name(tmp_path: Path, names: list[str]) -> None:
    folder = write_images(tmp_path / "frames", names)
    (folder / "notes.txt").write_text("not an image")
    frames, _ = frames_of(folder)
    assert [frame.index for frame in frames] == [1, 2, 3]
    assert np.abs(frames[0].image.astype(int) - IMAGES[int(np.argsort(names)[0])]).mean() < 6


def test_numbers_in_names_are_counted_as_people_count(tmp_path: Path) -> None:
    names = ["0.png", "10.png", "2.png", "1.png", "9.png"]
    in_order = [0, 3, 2, 4, 1]
    for folder, prefix in (("from-zero", ""), ("named", "yard 2 frame")):
        frames, warning = frames_of(write_images(tmp_path / folder, [prefix + name for name in names]))
        assert [frame.index for frame in frames] == [1, 2, 3, 4, 5]
        for frame, place in zip(frames, in_order, strict=True):
            np.testing.assert_array_equal(frame.image, IMAGES[place])
        assert warning is None


def test_a_damaged_image_ends_the_sequence_and_a_damaged_first_one_is_refused(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "frames", ["1.png", "2.png", "3.png"])
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:150])
    frames, warning = frames_of(folder)
    assert [frame.index for frame in frames] == [1]
    assert warning is not None
    assert "2.png" in warning
    (folder / "1.png").write_bytes(b"nothing")
    with pytest.raises(InvalidFile, match=r"1\.png"):
        frames_of(folder)


def test_a_sequence_folder_is_read_by_its_seqinfo(tmp_path: Path) -> None:
    write_images(tmp_path / "seq" / "pictures", ["000001.png", "000002.png"])
    (tmp_path / "seq" / "seqinfo.ini").write_text("[Sequence]\nname=seq\nimDir=pictures\nframeRate=7\n")
    frames, _ = frames_of(tmp_path / "seq")
    assert len(frames) == 2


def test_a_sequence_may_hold_a_video_instead_of_images(tmp_path: Path) -> None:
    (tmp_path / "seqinfo.ini").write_text("[Sequence]\nframeRate=7\n")
    write_video(tmp_path / "any.mp4", IMAGES[:5])
    frames, warning = frames_of(tmp_path)
    assert (len(frames), warning) == (5, None)
    write_video(tmp_path / "another.mp4", IMAGES[:5])
    with pytest.raises(InvalidFile, match=r"img1, and 2 videos"):
        open_source(tmp_path)


def test_seqinfo_is_found_by_the_source_and_by_the_detections(tmp_path: Path) -> None:
    (tmp_path / "seq" / "det").mkdir(parents=True)
    (tmp_path / "elsewhere" / "videos").mkdir(parents=True)
    (tmp_path / "seq" / "seqinfo.ini").write_text("[Sequence]\nframeRate=7.5\n")
    video = tmp_path / "elsewhere" / "videos" / "v.avi"
    assert find_sequence_info(video, None) is None
    for found in (
        find_sequence_info(video, tmp_path / "seq" / "det" / "det.txt"),
        find_sequence_info(tmp_path / "seq", None),
        find_sequence_info(tmp_path / "seq" / "img1", None),
        find_sequence_info(tmp_path / "seq" / "v.mp4", None),
    ):
        assert found is not None
        assert found.frame_rate == 7.5
        assert found.image_folder.name == "img1"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no section",
        "[Sequence]\n",
        "\0\xff",
        *(f"[Sequence]\nframeRate={rate}\n" for rate in ("fast", 0, 1e5, "nan")),
    ],
)
def test_a_seqinfo_without_a_frame_rate_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "seqinfo.ini"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(InvalidFile, match=r"seqinfo\.ini.*--fps"):
        read_sequence_info(path)


def test_a_sequence_is_read_whatever_its_seqinfo_says_of_the_frame_rate(tmp_path: Path) -> None:
    write_images(tmp_path / "pictures", ["000001.png", "000002.png"])
    (tmp_path / "seqinfo.ini").write_text("[Sequence]\nimDir=pictures\nframeRate=fast\n")
    source = open_source(tmp_path)
    assert frame_rate_of(source, tmp_path, fps=12) == (12, "--fps")
    with pytest.raises(InvalidFile, match=r"frameRate=fast.*--fps"):
        frame_rate_of(source, tmp_path)


def test_who_says_the_frame_rate_is_asked_in_turn(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", IMAGES[:4], rate=5)
    source, images = open_source(video), open_source(write_images(tmp_path / "frames", ["1.png", "2.png", "3.png"]))
    assert frame_rate_of(source, video) == (5, "input")
    assert frame_rate_of(images, tmp_path / "frames") == (30, "default")
    (tmp_path / "seqinfo.ini").write_text("[Sequence]\nframeRate=7.5\n")
    assert frame_rate_of(source, video)[0] == frame_rate_of(images, tmp_path / "frames")[0] == 7.5
    (tmp_path / "seqinfo.ini").unlink()
    source.frame_rate = 1e6
    with pytest.raises(InvalidFile, match=r"1e\+06 frames per second: name --fps"):
        frame_rate_of(source, video)


def test_times_are_reckoned_by_the_frame_rate_unless_it_is_the_sources_own(tmp_path: Path) -> None:
    def times(rate: float) -> list[float]:
        return [frame.timestamp_s for frame in frames_at(open_source(tmp_path / "v.mp4"), rate)]

    write_video(tmp_path / "v.mp4", IMAGES[:4], rate=5)
    assert times(5) == pytest.approx([0, 0.2, 0.4, 0.6])
    assert times(10) == pytest.approx([0, 0.1, 0.2, 0.3])


def test_reading_ahead_stops_when_its_reader_does(tmp_path: Path) -> None:
    source = open_source(write_video(tmp_path / "v.mp4", IMAGES))
    frames = read_ahead(source)
    first, milliseconds = next(frames)
    frames.close()
    source.close()
    assert first.index == 1
    assert milliseconds > 0


def test_a_source_that_has_stalled_is_left_to_itself() -> None:
    goes_on = Event()

    def stalled() -> Iterator[Frame]:
        yield Frame(1, IMAGES[0], 0.0)
        goes_on.wait()

    stop = Event()
    frames = read_ahead(stalled(), should_stop=stop.is_set)
    assert next(frames)[0].index == 1
    stop.set()
    assert list(frames) == []
    goes_on.set()


def test_a_first_frame_is_waited_for_no_longer_than_wanted(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "000001.png")
    assert list(read_ahead(open_source(tmp_path), should_stop=lambda: True)) == []
    os.close(os.open(tmp_path / "000001.png", os.O_RDWR))  # whoever waits for a writer has met one


def test_what_does_not_open_is_waited_for_no_longer_than_wanted(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Interrupted):
        open_source(tmp_path / "pipe", should_stop=lambda: True)
    os.close(os.open(tmp_path / "pipe", os.O_RDWR))  # whoever waits for a writer has met one


def test_what_comes_only_once_is_not_taken_twice(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "video.mp4").touch()
    for once in (tmp_path / "pipe", "/dev/null", "rtsp://camera/stream"):
        with pytest.raises(InvalidInput, match="come only once, and looking back takes them twice: record them"):
            expect_kept(once, purpose="looking back")
    for kept in (tmp_path / "video.mp4", tmp_path, tmp_path / "nothing.mp4"):
        expect_kept(kept, purpose="looking back")


def test_an_error_while_decoding_ahead_reaches_the_reader(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "frames", ["1.png", "2.png"])
    (folder / "1.png").write_bytes(b"nothing")
    with pytest.raises(InvalidFile):
        next(read_ahead(open_source(folder)))


def test_real_videos_are_read_whole(shared_data: Path) -> None:
    for name, count, rate in (("vtest.avi", 795, 10), ("people-detection.264", 596, 24)):
        source = open_source(shared_data / "videos" / name)
        assert source.frame_rate == rate
        assert sum(1 for _ in source) == count
        assert source.warning is None
        source.close()
