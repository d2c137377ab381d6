"""`reidkit tune`: settings that fit a labelled sequence, and the truth about their gain."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner
from small_videos import stalled_images
from tiny_artifact import tiny_artifact

pytest.importorskip("optuna", reason="needs the extra 'tune'")
pytest.importorskip("av", reason="needs the extra 'video'")

from reidkit.calibration.commands.tune import tune_settings
from reidkit.calibration.street.sequence import write_sequence
from reidkit.calibration.street.street import Street, StreetConfig
from reidkit.calibration.tuning import Tuning, record, search, tune
from reidkit.calibration.tuning.recording import pieces_of
from reidkit.runtime.tracking import BotSortConfig
from reidkit.runtime.video.sequence_info import read_sequence_info

TOO_STRICT = BotSortConfig(with_reid=False, high_score=0.95, new_track_score=0.97, frame_rate=15)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tune") / "street"
    write_sequence(Street(StreetConfig(people=6, frames=60)), folder, images=True, on_frame=lambda number: None)
    return folder


def test_settings_that_miss_everybody_are_found_better_ones(street: Path) -> None:
    take = record(street, detections=None, truth=None, engine=None, config=TOO_STRICT)
    assert take.frames == 60
    tuning = tune(pieces_of([take], 2), TOO_STRICT, metric="IDF1", trials=4)
    assert tuning.trials == 3 * 4
    assert tuning.verdict.holds
    assert tuning.verdict.found > tuning.verdict.given
    again = [piece.scores(tuning.config)["IDF1"] for piece in pieces_of([take], 2)]
    assert [piece["found"] for piece in tuning.pieces] == again


def test_a_sequence_that_stalls_is_waited_for_no_longer_than_wanted(street: Path, tmp_path: Path) -> None:
    boxes, truth = street / "det" / "det.txt", street / "gt" / "gt.txt"
    with stalled_images(tmp_path / "stalled") as images:
        take = record(images, detections=boxes, truth=truth, engine=None, config=TOO_STRICT, should_stop=lambda: True)
    assert take.frames == 0


def test_pieces_cover_the_sequence_once(street: Path) -> None:
    take = record(street, detections=None, truth=None, engine=None, config=TOO_STRICT)
    pieces = take.split(4)
    assert [piece.frames for piece in pieces] == [15] * 4
    assert sum(len(piece.truth) for piece in pieces) == len(take.truth)


def test_frames_are_timed_by_who_says_the_frame_rate(street: Path) -> None:
    def last(source: Path, fps: float | None = None) -> float:
        boxes, truth = street / "det" / "det.txt", street / "gt" / "gt.txt"
        take = record(source, detections=boxes, truth=truth, engine=None, config=TOO_STRICT, fps=fps)
        return take._moments[-1].timestamp_s

    rate = read_sequence_info(street / "seqinfo.ini").frame_rate
    assert last(street) == last(street / "img1") == pytest.approx(59 / rate)
    assert last(street, fps=5) == pytest.approx(59 / 5)


def test_seconds_of_the_settings_are_frames_at_each_sequences_own_rate(street: Path) -> None:
    def lasting(seconds: float, frame_rate: float) -> BotSortConfig:
        given = {"with_reid": False, "max_lost_s": seconds}
        return BotSortConfig.from_schema("reidkit", given, frame_rate=frame_rate)

    slow = record(street, detections=None, truth=None, engine=None, config=TOO_STRICT, fps=5)
    assert [piece.frame_rate for piece in slow.split(2)] == [5, 5]
    assert slow.scores(lasting(0.4, 15)) == slow.scores(lasting(0.4, 5)) != slow.scores(lasting(1.2, 5))


def test_the_command_writes_settings_that_load(street: Path, tmp_path: Path) -> None:
    start = tmp_path / "start.yaml"
    start.write_text("schema: reidkit\nhigh_score: 0.95\nnew_track_score: 0.97\n")
    arguments = ["--input", street, "--reid", "none", "--tracker", start, "--folds", 2, "--trials", 3, "--json"]
    result = run(*arguments, "--output", tmp_path / "gate.yaml")
    assert result.exit_code == 0, result.output
    report = json.loads(result.output)
    config = BotSortConfig.load(tmp_path / "gate.yaml", frame_rate=15)
    assert config.high_score == report["settings"]["high_score"]
    assert not config.with_reid
    assert f"{report['expected']:.2f}" in (tmp_path / "gate.yaml").read_text()


def test_no_win_is_said_and_nothing_written(street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SEARCHED", {"match_cost": search.Range(0.01, 0.02)})
    given = ["--input", street, "--reid", "none", "--folds", 2, "--trials", 2, "--output", tmp_path / "gate.yaml"]
    result = run(*given)
    assert result.exit_code == 3
    assert "no win here" in result.output
    assert not (tmp_path / "gate.yaml").exists()
    as_json = run(*given, "--json")
    answer = json.loads(as_json.stdout)
    assert (as_json.exit_code, answer["error"]["type"], answer["output"]) == (3, "GateFailure", None)
    assert answer["expected"] <= answer["given"]


def test_native_code_from_elsewhere_runs_only_when_trusted(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reidkit.runtime.engines.onnxruntime import OnnxRuntimeEngine

    monkeypatch.setattr(OnnxRuntimeEngine, "runs_native_code", True)
    monkeypatch.setattr(search, "SEARCHED", {"match_cost": search.Range(0.01, 0.02)})
    given = ["--input", street, "--reid", tiny_artifact(tmp_path, vouched=False), "--folds", 2, "--trials", 1]
    refused = run(*given, "--output", tmp_path / "gate.yaml")
    assert (refused.exit_code, "--trust" in refused.stderr) == (4, True)
    assert "no win here" in run(*given, "--output", tmp_path / "gate.yaml", "--trust").stderr


def test_a_search_that_is_broken_off_promises_nothing(street: Path) -> None:
    pieces = pieces_of([record(street, detections=None, truth=None, engine=None, config=TOO_STRICT)], 2)
    trials: list[int] = []
    tuning = tune(
        pieces, TOO_STRICT, trials=4, on_trial=lambda n, _: trials.append(n), should_stop=lambda: len(trials) == 9
    )
    assert tuning.verdict.expected > tuning.verdict.given
    assert not tuning.verdict.holds


def test_ctrl_c_in_the_search_writes_nothing(street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*pieces: object, **settings: object) -> Tuning:
        signal.raise_signal(signal.SIGINT)
        return tune(*pieces, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr("reidkit.calibration.commands.tune.tune", interrupted)
    result = run("--input", street, "--reid", "none", "--folds", 2, "--trials", 2, "--output", tmp_path / "gate.yaml")
    assert result.exit_code == 130
    assert "nothing is written" in result.stderr
    assert not (tmp_path / "gate.yaml").exists()


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("min_cosine: auto", "tiny recommends none"),
        ("embedding_dim: 7", "the settings say embedding_dim: 7, tiny gives"),
    ],
)
def test_settings_that_do_not_fit_the_artifact_are_refused(
    setting: str, reason: str, street: Path, tmp_path: Path
) -> None:
    (tmp_path / "start.yaml").write_text(f"schema: reidkit\n{setting}\n")
    given = ["--reid", tiny_artifact(tmp_path), "--tracker", tmp_path / "start.yaml"]
    result = run("--input", street, *given, "--output", tmp_path / "gate.yaml")
    assert result.exit_code == 1
    assert reason in result.output


def test_missing_labels_are_named(street: Path, tmp_path: Path) -> None:
    result = run("--input", street / "img1", "--reid", "none", "--output", tmp_path / "gate.yaml")
    assert result.exit_code == 1
    assert "--detections" in result.output


def test_a_pipe_is_not_waited_for_twice(street: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    labelled = ("--detections", street / "det" / "det.txt", "--gt", street / "gt" / "gt.txt")
    result = run("--input", tmp_path / "pipe", *labelled, "--reid", "none", "--output", tmp_path / "gate.yaml")
    assert (result.exit_code, "come only once" in result.output) == (1, True)


def run(*arguments: object):
    return CliRunner().invoke(tune_settings, [str(argument) for argument in arguments])
