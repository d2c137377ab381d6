"""`reidkit calibrate`: crops that stand for a camera, in a folder that can be trusted."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from small_videos import stalled_images, write_detections

cv2 = pytest.importorskip("cv2", reason="needs the extra 'video'")
pytest.importorskip("av", reason="needs the extra 'video'")

from reidkit.calibration.commands.calibrate import calibrate  # noqa: E402
from reidkit.calibration.crops import find_crops  # noqa: E402
from reidkit.calibration.crops.cutting import people_in  # noqa: E402
from reidkit.calibration.crops.selection import Candidate, balanced_choice, candidates_of_video, thumbnails  # noqa: E402
from reidkit.calibration.street.sequence import write_sequence  # noqa: E402
from reidkit.calibration.street.street import Street, StreetConfig  # noqa: E402
from reidkit.runtime.errors import InvalidFile  # noqa: E402


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibrate") / "street"
    write_sequence(Street(StreetConfig(people=5, frames=40)), folder, images=True, on_frame=lambda number: None)
    return folder


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(calibrate, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def test_a_sequence_becomes_a_set_with_a_digest_and_a_sheet(street: Path, tmp_path: Path) -> None:
    code, output = run("--input", street, "--output", tmp_path / "a.cal", "--count", 12, "--json")
    assert code == 0, output
    report = json.loads(output)
    paths = find_crops(tmp_path / "a.cal", limit=100)
    assert [path.name for path in paths] == [crop["file"] for crop in report["crops"]]
    assert len(paths) == 12
    for path, crop in zip(paths, report["crops"], strict=True):
        assert cv2.imread(str(path)).shape[:2] == (crop["height"], crop["width"])
    assert cv2.imread(str(tmp_path / "a.cal" / "contact-sheet.jpg")).shape == (96, 12 * 48, 3)


@pytest.mark.parametrize("people", [True, False], ids=["while comparing", "before anybody was found"])
def test_ctrl_c_writes_nothing_and_says_so(
    people: bool, street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object, **options: object) -> Iterator[Candidate]:
        signal.raise_signal(signal.SIGINT)
        return candidates_of_video(*arguments, **options) if people else iter(())  # type: ignore[arg-type]

    monkeypatch.setattr("reidkit.calibration.commands.calibrate.candidates_of_video", interrupted)
    code, output = run("--input", street, "--output", tmp_path / "a.cal", "--json")
    assert code == 130
    assert json.loads(output)["error"]["type"] == "Interrupted"
    assert not (tmp_path / "a.cal").exists()


def test_a_video_that_stalls_is_waited_for_no_longer_than_wanted(tmp_path: Path) -> None:
    boxes = write_detections(tmp_path / "det.txt", 1)
    with stalled_images(tmp_path / "stalled") as images:
        assert list(people_in(images, detections=boxes, should_stop=lambda: True)) == []


def test_the_same_seed_chooses_the_same(street: Path, tmp_path: Path) -> None:
    digests = []
    for name in ("a", "b"):
        assert run("--input", street, "--output", tmp_path / name, "--count", 20, "--seed", 3)[0] == 0
        digests.append(json.loads((tmp_path / name / "crops.json").read_text())["digest"])
    assert digests[0] == digests[1]


def test_crops_are_cut_as_they_are_in_the_frame(street: Path, tmp_path: Path) -> None:
    assert run("--input", street, "--output", tmp_path / "a.cal", "--count", 3)[0] == 0
    crop = json.loads((tmp_path / "a.cal" / "crops.json").read_text())["crops"][0]
    frame_index = int(crop["name"].partition("#")[2].partition(".")[0])
    frame = cv2.imread(str(sorted((street / "img1").iterdir())[frame_index - 1]))
    cut = cv2.imread(str(tmp_path / "a.cal" / "crops" / crop["file"]))
    assert cv2.matchTemplate(frame, cut, cv2.TM_SQDIFF).min() <= 16 * cut.size  # decoders round differently


def test_a_changed_or_missing_crop_is_refused(street: Path, tmp_path: Path) -> None:
    assert run("--input", street, "--output", tmp_path / "a.cal", "--count", 3)[0] == 0
    first = find_crops(tmp_path / "a.cal", limit=9)[0]
    data = bytearray(first.read_bytes())
    data[-20] ^= 1
    first.write_bytes(data)
    with pytest.raises(InvalidFile, match="was changed"):
        find_crops(tmp_path / "a.cal", limit=9)
    first.unlink()
    with pytest.raises(InvalidFile, match="missing"):
        find_crops(tmp_path / "a.cal", limit=9)


def test_a_set_replaces_a_set_and_nothing_else(street: Path, tmp_path: Path) -> None:
    for count in (3, 4):
        assert run("--input", street, "--output", tmp_path / "a.cal", "--count", count)[0] == 0
    assert len(find_crops(tmp_path / "a.cal", limit=9)) == 4
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("irreplaceable")
    code, output = run("--input", street, "--output", tmp_path / "mine")
    assert code != 0
    assert "is not a set of crops" in output
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "irreplaceable"


def test_a_folder_of_crops_is_a_source_too(street: Path, tmp_path: Path) -> None:
    assert run("--input", street, "--output", tmp_path / "a.cal", "--count", 12)[0] == 0
    code, output = run("--crops", tmp_path / "a.cal", "--output", tmp_path / "b.cal", "--count", 5, "--json")
    assert code == 0, output
    assert json.loads(output)["candidates"] == {"a.cal": 12}


def test_native_code_from_elsewhere_runs_only_when_trusted(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra 'onnxruntime'")
    from tiny_artifact import tiny_artifact

    from reidkit.runtime.engines.onnxruntime import OnnxRuntimeEngine

    monkeypatch.setattr(OnnxRuntimeEngine, "runs_native_code", True)
    given = ["--input", street, "--output", tmp_path / "a.cal", "--reid", tiny_artifact(tmp_path, vouched=False)]
    code, output = run(*given)
    assert (code, "--trust" in output) == (4, True)
    assert run(*given, "--trust")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name --input or --crops"),
        (["--crops", "nowhere"], "not a folder"),
        (["--input", "nowhere.mp4"], "nowhere.mp4"),
        (["--crops", ".", "--detections", "det.txt"], "goes with one --input"),
    ],
)
def test_what_is_missing_is_said(arguments: list[str], message: str, tmp_path: Path) -> None:
    code, output = run(*arguments, "--output", tmp_path / "a.cal")
    assert code != 0
    assert message in output
    assert not (tmp_path / "a.cal").exists()


def test_the_choice_is_balanced_over_light_size_and_time() -> None:
    rng = np.random.default_rng(0)
    # Nine of ten crops are of one kind: near, bright, early.
    candidates = []
    for number in range(300):
        rare = number % 10 == 0
        shape, level, time = ((40, 20, 3), 40, 0.9) if rare else ((160, 80, 3), 200, 0.1)
        image = np.clip(rng.normal(level, 20, shape), 0, 255).astype(np.uint8)
        candidates.append(Candidate("camera", str(number), image, time))
    chosen = balanced_choice(candidates, thumbnails(candidates), 40, seed=0)
    assert len(set(chosen.tolist())) == 40
    rare = sum(candidates[row].time == 0.9 for row in chosen)
    assert rare >= 8  # as many as any other group; by chance there would be 4


def test_within_a_group_the_least_alike_come_first() -> None:
    images = [np.full((64, 32, 3), level, np.uint8) for level in (100, 100, 100, 100)]
    embeddings = np.array([[1, 0], [1, 0.01], [1, 0.02], [0, 1]], np.float32)
    candidates = [Candidate("camera", str(row), image, None) for row, image in enumerate(images)]
    chosen = balanced_choice(candidates, embeddings, 2, seed=0)
    assert 3 in chosen.tolist()
    assert set(balanced_choice(candidates, embeddings, 99, seed=0).tolist()) == {0, 1, 2, 3}
