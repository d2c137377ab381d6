"""`reidkit eval` prints the contract's keys and refuses what it cannot judge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from reidkit.calibration.commands.evaluate import evaluate

TRUTH = "1,1,0,0,10,20,1,-1,-1,-1\n2,1,1,0,10,20,1,-1,-1,-1\n"


@pytest.fixture
def gt(tmp_path: Path) -> Path:
    path = tmp_path / "gt.txt"
    path.write_text(TRUTH)
    return path


def run(gt: Path, tracks: str, *options: str) -> Result:
    path = gt.parent / "tracks.txt"
    path.write_text(tracks)
    return CliRunner().invoke(evaluate, ["--gt", str(gt), "--tracks", str(path), *options])


def test_json_has_the_keys_of_the_contract(gt: Path) -> None:
    result = run(gt, TRUTH, "--json")
    report = json.loads(result.output)
    assert result.exit_code == 0
    assert [report[key] for key in ("HOTA", "DetA", "AssA", "IDF1", "MOTA")] == [100.0] * 5
    assert [report[key] for key in ("IDSW", "Frag", "FP", "FN")] == [0] * 4
    assert report["benchmark"] == "mot15"


def test_people_get_a_table(gt: Path) -> None:
    lines = run(gt, TRUTH).output.splitlines()
    assert lines[1].split()[:3] == ["HOTA", "DetA", "AssA"]
    assert lines[2].split()[:3] == ["100.00"] * 3
    assert lines[4].split()[:4] == ["IDSW", "Frag", "FP", "FN"]


def test_several_trackers_stand_one_below_the_other(gt: Path) -> None:
    other = gt.with_name("other.txt")
    other.write_text("")
    first, second = str(gt.with_name("tracks.txt")), str(other)
    lines = [line.split() for line in run(gt, TRUTH, "--tracks", second).output.splitlines()]
    rows = [line[:2] for line in lines if line[0] in (first, second)]
    assert rows == [[first, "100.00"], [second, "0.00"], [first, "0"], [second, "0"]]
    report = json.loads(run(gt, TRUTH, "--tracks", second, "--json").output)["tracks"]
    assert [report[name]["HOTA"] for name in (first, second)] == [100, 0]


def test_an_empty_file_of_tracks_scores_zero(gt: Path) -> None:
    report = json.loads(run(gt, "", "--json").output)
    assert report["HOTA"] == report["IDF1"] == report["MOTA"] == 0
    assert report["FN"] == 2


@pytest.mark.parametrize(
    ("truth", "tracks", "reason"),
    [
        pytest.param("", TRUTH, "holds no boxes", id="no ground truth"),
        pytest.param(TRUTH, TRUTH + TRUTH, "stands twice", id="an id twice in a frame"),
        pytest.param(TRUTH, "1,1,0,0,ten,20,1\n", "tracks.txt:1", id="a word for a number"),
    ],
)
def test_files_that_cannot_be_judged_are_named(gt: Path, truth: str, tracks: str, reason: str) -> None:
    gt.write_text(truth)
    result = run(gt, tracks, "--json")
    error = json.loads(result.output)["error"]
    assert result.exit_code == 1
    assert error["type"] == "InvalidFile"
    assert reason in error["message"]


def test_the_benchmark_can_be_named(gt: Path) -> None:
    gt.write_text("1,1,0,0,10,20,1,1,1\n1,2,50,0,10,20,0,6,1\n")
    tracks = "1,1,0,0,10,20,1,-1,-1,-1\n1,2,50,0,10,20,1,-1,-1,-1\n"
    assert json.loads(run(gt, tracks, "--json").output)["FP"] == 1
    assert json.loads(run(gt, tracks, "--json", "--benchmark", "mot20").output)["FP"] == 0
