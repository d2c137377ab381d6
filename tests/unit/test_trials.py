"""`reidkit targets`: what is told of a target is what came of it, kept, and shown."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="trying targets needs the extra 'export'")
for library in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(library, reason="trying targets needs the extra 'export'")

from reidkit.export.backbones.card import IMAGENET_256X128, ModelCard  # noqa: E402
from reidkit.export.commands.targets import targets  # noqa: E402
from reidkit.export.trials import Trial, Trials, try_targets  # noqa: E402
from reidkit.export.trials_page import markdown  # noqa: E402
from reidkit.runtime.errors import InvalidFile  # noqa: E402
from reidkit.targets import Precision, find_target  # noqa: E402

SMALL_SIZE = replace(IMAGENET_256X128, height=32, width=16)


class Small(torch.nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, width, 9, stride=8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).mean((2, 3))


CARD = ModelCard(name="small", family="small", build=partial(Small, 16), preprocessing=SMALL_SIZE, source="", terms="")

RAN = Trial(
    backbone="osnet_x0_25",
    target="onnxruntime",
    precision="fp32",
    status="runs",
    reason="",
    cosine_min=0.99999951,
    megabytes=1.5,
    build_cpu_s=0.3,
    weights="embedded",
    toolchain={"onnxruntime": "1.32.0"},
)
FAR = replace(RAN, precision="fp16", status="differs", reason="it differs from torch", cosine_min=None, toolchain={})


def test_each_export_is_told_as_it_went() -> None:
    told: list[str] = []
    wanted = [
        (find_target("onnxruntime"), Precision.FP32),
        (find_target("onnxruntime"), Precision.FP16),
        (find_target("onnxruntime"), Precision.INT8),
        (find_target("onnxruntime"), Precision.BF16),
    ]
    whole, half, eighth, brain = try_targets(CARD, wanted, progress=told.append)
    assert [trial.key for trial in (whole, half)] == [("small", "onnxruntime", p) for p in ("fp32", "fp16")]
    for trial, least in ((whole, 0.99999), (half, 0.999)):
        assert (trial.status, trial.reason, trial.weights) == ("runs", "", "random")
        assert trial.cosine_min is not None
        assert trial.cosine_min >= least
        assert trial.megabytes is not None
        assert trial.build_cpu_s is not None
        assert "onnxruntime" in trial.toolchain
    for trial, reason in ((eighth, "calibrat"), (brain, "does not build bf16")):
        assert (trial.status, trial.cosine_min, trial.megabytes) == ("refused", None, None)
        assert reason in trial.reason
    assert told[0].startswith("small, onnxruntime, fp32: ")


def test_what_was_found_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "targets.json"
    assert Trials.read(path).trials == {}
    found = Trials.read(path).with_one(RAN, machine="one").with_one(FAR, machine="another")
    found.write(path)
    assert Trials.read(path) == found
    again = found.with_one(replace(RAN, megabytes=2.0), machine="a third")
    assert (len(again.trials), again.trials[RAN.key].megabytes, again.machine) == (2, 2.0, "a third")


@pytest.mark.parametrize("content", ["", "[]", '{"machine": "a box", "trials": [{"no": "trial"}]}'])
def test_a_file_that_holds_something_else_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "targets.json").write_text(content)
    with pytest.raises(InvalidFile, match="does not hold what reidkit targets measured"):
        Trials.read(tmp_path / "targets.json")


def test_what_no_target_offers_is_refused() -> None:
    done = CliRunner().invoke(targets, ["osnet_x0_25", "--target", "onnxruntime", "--precision", "bf16"])
    assert done.exit_code == 1
    assert "onnxruntime offer no bf16" in done.stderr


def test_without_torch_the_command_says_which_extra_it_needs() -> None:
    program = "import sys; sys.modules['torch'] = None; from reidkit.export.commands.targets import targets; targets()"
    done = subprocess.run([sys.executable, "-c", program, "osnet_x0_25"], capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (5, 1), done.stderr
    assert "pip install 'reidkit[export]'" in done.stderr


def test_the_page_has_a_row_for_each_network_and_a_note_for_each_reason() -> None:
    page = markdown(Trials(machine="a box", trials={RAN.key: RAN, FAR.key: FAR}))
    assert "| `onnxruntime` | 1 runs | 1 differs | - |" in page
    assert "| `openvino` | not tried | not tried | not tried |" in page
    assert "## onnxruntime\n\nonnxruntime 1.32.0\n" in page
    assert "| `osnet_x0_25` | runs, 1.000000, 1.5 MB, 0.3 s | differs (1), 1.5 MB, 0.3 s |" in page
    assert page.endswith("\n1. it differs from torch\n")


def test_the_command_goes_on_where_it_was_and_writes_the_page(tmp_path: Path) -> None:
    measured, table = tmp_path / "targets.json", tmp_path / "targets.md"
    Trials(machine="a box", trials={RAN.key: RAN}).write(measured)
    arguments = ["osnet_x0_25", "--target", "onnxruntime", "--precision", "fp32", "--measured", str(measured)]
    result = CliRunner().invoke(targets, [*arguments, "--table", str(table), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"machine": "a box", "trials": [asdict(RAN)]}
    assert "| `osnet_x0_25` | runs, 1.000000, 1.5 MB, 0.3 s |" in table.read_text()
    assert CliRunner().invoke(targets, ["osnet_x0_26"]).exit_code == 1
    assert CliRunner().invoke(targets, ["--target", "onnxruntme"]).exit_code == 1
