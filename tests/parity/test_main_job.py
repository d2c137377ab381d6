"""The main job as people type it: a weights file to an artifact, a real video to tracks, tracks to scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click import Command
from click.testing import CliRunner

for library in ("torch", "onnx", "openvino", "av", "cv2"):
    pytest.importorskip(library, reason=f"the main job needs {library}")

from reidkit.calibration.commands.evaluate import evaluate  # noqa: E402
from reidkit.export.commands.export import export  # noqa: E402
from reidkit.runtime.commands.track import track  # noqa: E402

pytestmark = pytest.mark.slow


def run(command: Command, *arguments: object) -> dict[str, Any]:
    result = CliRunner().invoke(command, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert isinstance(report, dict)
    return report


@pytest.fixture(scope="module")
def sequence(shared_data: Path) -> Path:
    return shared_data / "mot" / "MOT15" / "PETS09-S2L1"


@pytest.fixture(scope="module")
def artifact(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    weights = shared_data / "reid_weights" / "osnet_x0_25_msmt17.pt"
    output = tmp_path_factory.mktemp("artifacts")
    report = run(
        export, "--model", "osnet_x0_25", "--weights", weights, "--target", "openvino", "--precision", "fp32",
        "--output", output,
    )  # fmt: skip
    assert report["passed"]
    assert report["precision_built"] == "fp32"
    assert report["parity"]["cosine_min"] >= 0.99999
    assert report["gates"]["embedding"]["status"] == "passed"
    assert report["artifact"] == str(output / "osnet_x0_25-openvino-fp32")
    return str(report["artifact"])


def test_the_authors_settings_with_a_drawn_video(
    shared_data: Path, sequence: Path, artifact: str, tmp_path: Path
) -> None:
    summary = run(
        track, "--input", shared_data / "videos" / "vtest.avi", "--detections", sequence / "det" / "det.txt",
        "--reid", artifact, "--tracker", "botsort.yaml", "--output", tmp_path, "--draw", "--max-frames", 60,
    )  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {"tracks.txt", "annotated.mp4", "summary.json"}
    assert (summary["frames"], summary["frame_rate"]) == (60, 7.0)
    assert summary["appearance"]["decided"] > 100


@pytest.mark.parametrize(
    ("boxes", "hota", "idf1"), [("given", 48.0, 70.0), ("yolox_nano_416.onnx", 58.0, 82.0)], ids=["given", "yolox"]
)
def test_the_tuned_preset_keeps_identities(
    shared_data: Path, sequence: Path, artifact: str, tmp_path: Path, boxes: str, hota: float, idf1: float
) -> None:
    source = (
        ("--detections", sequence / "det" / "det.txt")
        if boxes == "given"
        else ("--detector", shared_data / "detectors" / boxes)
    )
    run(
        track, "--input", shared_data / "videos" / "vtest.avi", *source,
        "--reid", artifact, "--tracker", "tuned.yaml", "--output", tmp_path,
    )  # fmt: skip
    scores = run(evaluate, "--gt", sequence / "gt" / "gt.txt", "--tracks", tmp_path / "tracks.txt")
    print({name: round(scores[name], 2) for name in ("HOTA", "DetA", "AssA", "IDF1", "MOTA")})
    assert scores["HOTA"] >= hota
    assert scores["IDF1"] >= idf1
    assert scores["IDSW"] < 50
