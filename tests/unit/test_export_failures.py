"""What `reid-export` leaves behind when a gate refuses, a compiler or the disk fails, or nobody waits: nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

for library in ("torch", "onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(library, reason="exporting needs the extra 'export'")

from export_plug_in import assert_refused, installed_plug_in, random  # noqa: E402

from reidkit.runtime.artifact.folder import read_artifact  # noqa: E402
from reidkit.runtime.engines import open_artifact  # noqa: E402
from reidkit.runtime.errors import ReidkitError  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def plug_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the installed package."""
    with installed_plug_in(tmp_path_factory.mktemp("site-packages")) as folder:
        yield folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "artifacts"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("model", "target", "what", "figure"),
    [
        ("unfaithful", "onnxruntime", "the ONNX graph differs from torch", "cosine_min"),
        ("tiny", "halving", "the halving engine differs from torch", "norm_ratio_max_deviation 0.5"),
        ("tiny", "exploding", "the exploding engine differs from torch", "it is not finite"),
    ],
)
def test_an_unfaithful_export_exits_3_and_leaves_nothing(
    model: str, target: str, what: str, figure: str, output: Path
) -> None:
    assert_refused(random(output, model=model, target=target), output, code=3, saying=what)
    done = random(output, "--json", model=model, target=target)
    assert done.exit_code == 3
    report = json.loads(done.stdout)
    assert figure in report["error"]["message"]
    assert report["error"]["type"] == "GateFailure"
    assert report["artifact"] is None
    assert report["passed"] is False
    statuses = {name: gate["status"] for name, gate in report["gates"].items()}
    assert statuses.pop("embedding") == "failed"
    assert statuses == {"retrieval": "not_run", "tracking": "not_run", "worth_it": "not_run"}
    assert list(output.iterdir()) == []


def test_a_failed_export_leaves_the_older_artifact_as_it_was(output: Path) -> None:
    random(output, "--name", "mine")
    before = (output / "mine" / "manifest.json").read_bytes()
    assert random(output, "--name", "mine", target="halving").exit_code == 3
    assert (output / "mine" / "manifest.json").read_bytes() == before
    read_artifact(output / "mine")


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("mine", ["--name", "mine", "--crops", "nowhere"]),
        ("unfaithful-onnxruntime-fp16", ["--precision", "auto"]),
    ],
)
def test_a_folder_of_something_else_is_not_overwritten_and_told_before_the_work(
    name: str, asked: list[str], output: Path
) -> None:
    (output / name).mkdir()
    (output / name / "thesis.txt").touch()
    done = random(output, *asked, model="unfaithful")
    assert done.exit_code == 1
    assert "exists and is not an artifact" in done.stderr
    assert [path.name for path in (output / name).iterdir()] == ["thesis.txt"]
    assert [path.name for path in output.iterdir()] == [name]


@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_an_output_that_cannot_be_made_is_told(precision: str, tmp_path: Path) -> None:
    (tmp_path / "afile").touch()
    done = random(tmp_path / "afile" / "sub", "--precision", precision, "--json")
    assert done.exit_code == 1
    error = json.loads(done.stdout)["error"]
    assert error["type"] == "InvalidFile"
    assert re.search(r"cannot write .*afile/sub/.* \(Not a directory\)", error["message"])


@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_a_refused_export_leaves_no_folder_that_it_made(precision: str, tmp_path: Path) -> None:
    done = random(tmp_path / "new" / "out", "--precision", precision, target="halving")
    assert done.exit_code == 3, done.output
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_is_told(output: Path) -> None:
    done = random(output, target="filling")
    assert_refused(done, output, code=1, saying=f"cannot write {output / 'tiny-filling-fp32'} (File too large)")


def test_ctrl_c_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    done = random(tmp_path / "out", target="interrupted")
    assert (done.exit_code, done.stdout, done.stderr) == (130, "", "interrupted\n")
    done = random(tmp_path / "out", "--json", "--precision", "auto", target="interrupted")
    assert (done.exit_code, json.loads(done.stdout)["error"]["type"]) == (130, "Interrupted")
    assert list(tmp_path.iterdir()) == []


def test_auto_leaves_out_what_the_library_refuses_to_open(output: Path) -> None:
    done = random(output, "--precision", "auto", "--json", target="garbling")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["precision_built"] == "fp32"
    assert "refuses tiny-garbling-fp16" in report["auto"]["left_out"]["fp16"]
    assert [path.name for path in output.iterdir()] == ["tiny-garbling-fp32"]


def opens(folder: Path) -> bool:
    """Whether the artifact opens, which embeds its golden crops and compares."""
    try:
        open_artifact(folder).close()
    except ReidkitError:
        return False
    return True


@pytest.mark.slow
def test_a_killed_export_leaves_no_artifact_that_opens_and_is_wrong(output: Path, plug_in: Path) -> None:
    program = "from reidkit.export.commands.export import export; export()"
    arguments = ["--model", "tiny", "--random-weights", "--target", "onnxruntime", "--output", str(output)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(plug_in), os.environ.get("PYTHONPATH", "")])}
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", program, *arguments], env=environment, capture_output=True, check=True)
    whole_s = time.monotonic() - started
    draw = np.random.default_rng(0)
    for _ in range(4):
        victim = subprocess.Popen([sys.executable, "-c", program, *arguments], env=environment, stdout=subprocess.PIPE)
        try:
            victim.communicate(timeout=draw.uniform(0.2, 1.1) * whole_s)
        except subprocess.TimeoutExpired:
            victim.kill()
            victim.communicate()
        assert all(folder.name.startswith(".") for folder in output.iterdir() if not opens(folder))
    assert random(output).exit_code == 0
    assert [folder.name for folder in output.iterdir()] == ["tiny-onnxruntime-fp32"]
