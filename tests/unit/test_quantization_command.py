"""What `reid-export` says to who asks for int8 and gives too little or too much."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("torch", reason="exporting needs the extra 'export'")

from reidkit.export.commands.export import export
from reidkit.export.pipeline import ExportJob
from reidkit.export.pipeline import export as run
from reidkit.runtime.errors import InvalidInput
from reidkit.targets import Precision

COMMON = ["--model", "osnet_x0_25", "--random-weights", "--output", "out"]


@pytest.mark.parametrize("target", ["litert", "ncnn", "onnxruntime", "openvino", "tensorrt", "tensorrt_rtx"])
def test_int8_without_crops_is_a_usage_error_with_a_remedy(target: str) -> None:
    result = CliRunner().invoke(export, [*COMMON, "--target", target, "--precision", "int8"])
    assert result.exit_code == 2
    said = " ".join(result.output.split())
    assert "int8 takes crops to calibrate with, none were given: choose some with reidkit calibrate" in said
    assert "--calibration" in said


@pytest.mark.parametrize("target", ["litert", "ncnn", "openvino"])
def test_a_job_in_int8_without_crops_is_refused_before_its_network_is_read(target: str, tmp_path: Path) -> None:
    job = ExportJob(
        original=lambda: pytest.fail("was read"), target=target, precision=Precision.INT8, output=tmp_path / "out"
    )
    with pytest.raises(InvalidInput, match="int8 takes crops to calibrate with"):
        run(job)


@pytest.mark.parametrize("precision", ["int8", "auto"])
def test_crops_are_refused_where_an_option_does_without(precision: str, tmp_path: Path) -> None:
    asked = ["--target", "litert", "--precision", precision, "--option", "int8=dynamic", "--calibration", str(tmp_path)]
    result = CliRunner().invoke(export, [*COMMON, *asked])
    assert result.exit_code == 2
    assert "--calibration is not for target litert, int8=dynamic: int8 takes no crops there" in result.output


def test_crops_to_calibrate_with_are_for_int8(tmp_path: Path) -> None:
    arguments = [*COMMON, "--target", "openvino", "--precision", "fp16", "--calibration", str(tmp_path)]
    result = CliRunner().invoke(export, arguments)
    assert result.exit_code == 2
    assert "--calibration is for --precision int8, not fp16" in result.output


def test_an_empty_folder_has_nothing_to_calibrate_with(tmp_path: Path) -> None:
    arguments = [*COMMON, "--target", "onnxruntime", "--precision", "int8", "--calibration", str(tmp_path)]
    result = CliRunner().invoke(export, arguments)
    assert result.exit_code == 1
    assert "holds no images" in result.output


def test_an_unknown_observer_is_told_with_those_there_are(tmp_path: Path) -> None:
    arguments = [*COMMON, "--target", "openvino", "--precision", "int8", "--calibration", str(tmp_path)]
    result = CliRunner().invoke(export, [*arguments, "--observer", "average"])
    assert result.exit_code == 2
    assert "'min-max', 'percentile', 'entropy', 'mse'" in result.output


@pytest.mark.parametrize(
    ("asked", "idle"),
    [
        ("--target onnxruntime --precision fp32 --observer mse", "--observer can change nothing with --precision fp32"),
        ("--target onnxruntime --precision fp16 --budget 5", "--budget can change nothing with --precision fp16"),
        (
            "--target onnxruntime --budget 5 --allow-slower",
            "--budget, --allow-slower can change nothing with --precision fp32",
        ),
        ("--target onnxruntime --precision auto --allow-slower", "--allow-slower can change nothing with --precision"),
        ("--target onnxruntime --precision auto --budget 5", "--budget can change nothing without --calibration"),
        (
            "--target litert --precision int8 --calibration {crops} --observer mse --budget 5",
            "--observer, --budget can change nothing with target litert",
        ),
        ("--target coreml --precision int8 --budget 5", "--budget can change nothing with target coreml"),
    ],
)
def test_options_that_can_change_nothing_are_refused(asked: str, idle: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(export, [*COMMON, *asked.format(crops=tmp_path).split()])
    assert result.exit_code == 2
    assert idle in " ".join(result.output.split())
