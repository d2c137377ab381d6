"""`reid-export` with gates: what passes is published with its figures, what fails is not; and `--precision auto`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

torch = pytest.importorskip("torch", reason="exporting needs the extra 'export'")
for library in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(library, reason="exporting needs the extra 'export'")
cv2 = pytest.importorskip("cv2", reason="crops are read by OpenCV: install the extra 'video'")

from small_gallery import write_gallery  # noqa: E402

from reidkit.export.commands.export import export  # noqa: E402
from reidkit.runtime.artifact.folder import read_artifact  # noqa: E402
from reidkit.runtime.tracking import BotSortConfig  # noqa: E402

PEOPLE = 20

BACKBONE = """
import torch
from reidkit.export.backbones.card import IMAGENET_256X128, ModelCard

class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 9, stride=8)
        self.fc = torch.nn.Linear(8, 16)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))

CARDS = (
    ModelCard(name="tiny_gated", family="tiny", build=Tiny, preprocessing=IMAGENET_256X128, source="", terms=""),
)
"""


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gallery(tmp_path_factory.mktemp("gallery"), people=PEOPLE)


@pytest.fixture(scope="module")
def backbones_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("backbones") / "tiny_gated.py"
    path.write_text(BACKBONE)
    return path


def run(output: Path, backbones_file: Path, *arguments: object) -> Result:
    own = ["--backbones", backbones_file, "--model", "tiny_gated", "--random-weights", "--target", "onnxruntime"]
    return CliRunner().invoke(export, [*map(str, [*own, *arguments]), "--output", str(output)])


def limits_file(folder: Path, text: str) -> Path:
    path = folder / "limits.yaml"
    path.write_text(text)
    return path


def test_what_passes_is_published_with_the_references_figures_and_its_thresholds(
    gallery: Path, backbones_file: Path, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    done = run(tmp_path / "out", backbones_file, "--gate", gallery, "--report", page, "--json")
    assert done.exit_code == 0, done.output
    report: dict[str, Any] = json.loads(done.stdout)
    statuses = {name: gate["status"] for name, gate in report["gates"].items()}
    assert statuses == {"embedding": "passed", "retrieval": "passed", "tracking": "not_run", "worth_it": "not_run"}
    manifest, _ = read_artifact(report["artifact"])
    assert manifest.gates["retrieval"]["figures"]["reference"]["map"] > 0
    assert manifest.thresholds == report["thresholds"]
    assert BotSortConfig(**manifest.thresholds).min_cosine == manifest.thresholds["min_cosine"]
    text = page.read_text()
    assert [tag for tag in ("http", "<script", "<img", "<link", "url(") if tag in text] == []
    assert "Found again in other cameras" in text


def test_what_a_gate_refuses_is_not_published_and_the_page_says_why(
    gallery: Path, backbones_file: Path, tmp_path: Path
) -> None:
    limits, page = limits_file(tmp_path, "retrieval: {map_drop: -1}"), tmp_path / "report.html"
    arguments = ("--gate", gallery, "--thresholds", limits, "--report", page, "--json")
    done = run(tmp_path / "out", backbones_file, *arguments)
    assert done.exit_code == 3, done.output
    report = json.loads(done.stdout)
    assert (report["artifact"], report["passed"], report["gates"]["retrieval"]["status"]) == (None, False, "failed")
    assert not (tmp_path / "out").exists()
    assert "failed" in page.read_text()


def test_auto_publishes_the_quickest_of_what_passes(backbones_file: Path, tmp_path: Path) -> None:
    done = run(tmp_path, backbones_file, "--precision", "auto", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    choices = report["auto"]["choices"]
    assert report["precision_built"] == choices[0]["precision"]
    assert [each["frame_ms"] for each in choices] == sorted(each["frame_ms"] for each in choices)
    assert {each["precision"] for each in choices} | report["auto"]["left_out"].keys() >= {"fp32", "fp16"}
    assert [path.name for path in tmp_path.iterdir()] == [f"tiny_gated-onnxruntime-{choices[0]['precision']}"]
    read_artifact(report["artifact"])


def test_auto_leaves_out_what_fails_a_gate(backbones_file: Path, tmp_path: Path) -> None:
    limits = limits_file(tmp_path, "embedding: {fp16: {cosine_min: 1.1}}")
    page = tmp_path / "report.html"
    asked = ["--precision", "auto", "--thresholds", limits, "--report", page, "--json"]
    done = run(tmp_path / "out", backbones_file, *asked)
    report = json.loads(done.stdout)
    assert "tiny_gated-onnxruntime-fp32" in page.read_text()
    assert report["precision_built"] == "fp32"
    assert "limit 1.1" in report["auto"]["left_out"]["fp16"]


@pytest.mark.parametrize("limit", ["embedding: {fp32: {cosine_min: 1.1}}", "retrieval: {map_drop: -1}"])
@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_the_page_says_why_nothing_was_published(
    precision: str, limit: str, gallery: Path, backbones_file: Path, tmp_path: Path
) -> None:
    limits, page = limits_file(tmp_path, limit), tmp_path / "report.html"
    arguments = ("--precision", precision, "--gate", gallery, "--thresholds", limits, "--report", page)
    done = run(tmp_path / "out", backbones_file, *arguments)
    assert done.exit_code == 3, done.output
    assert "tiny_gated-onnxruntime-fp32" in page.read_text()
    assert "failed" in page.read_text()
    assert not (tmp_path / "out").exists()
