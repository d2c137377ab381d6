"""The shell scripts: sound in form, and those that set up a box say what they would do. None was run on a device."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from importlib.metadata import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETUP = ROOT / "docs" / "boxes" / "setup"
SCRIPTS = [SETUP, *(ROOT / ".ci" / name for name in ("aarch64", "box", "run"))]
BOXES = ["jetpack6", "jetpack7", "raspberry-pi"]


def setup(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SETUP, *arguments], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_bash_reads_it(script: Path) -> None:
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_shellcheck_warns_of_nothing(script: Path) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shell scripts are NOT linted: shellcheck is missing (Debian: apt install shellcheck)")
    done = subprocess.run(["shellcheck", "--severity=warning", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("box", BOXES)
def test_a_dry_run_says_every_command_and_does_none(box: str, tmp_path: Path) -> None:
    done = setup(box, "--dry-run", "env", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    *commands, advice = done.stdout.splitlines()
    assert all(command.startswith("+ '") for command in commands)
    assert commands[-1] == "+ 'env/bin/reidkit' 'doctor'"
    assert advice.startswith("Next, ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("box", BOXES)
def test_it_asks_for_extras_that_there_are(box: str, tmp_path: Path) -> None:
    asked = re.search(rf"'{re.escape(str(ROOT))}\[(.+?)\]'", setup(box, "--dry-run", folder=tmp_path).stdout)
    assert asked is not None
    assert set(asked[1].split(",")) <= set(metadata("reidkit").get_all("Provides-Extra"))


@pytest.mark.parametrize(
    ("box", "cuda"), [("jetpack6", "'cuda-bindings>=12.6,<13'"), ("jetpack7", "'cuda-bindings>=13,<14'")]
)
def test_a_jetson_sees_the_systems_tensorrt_and_its_own_cuda(box: str, cuda: str, tmp_path: Path) -> None:
    said = setup(box, "--dry-run", folder=tmp_path).stdout
    assert "'-m' 'venv' '--system-site-packages'" in said
    assert "'python3-libnvinfer'" in said
    assert cuda in said


def test_a_raspberry_pi_has_an_environment_of_its_own(tmp_path: Path) -> None:
    assert "'-m' 'venv' '.venv'" in setup("raspberry-pi", "--dry-run", folder=tmp_path).stdout


def test_an_unknown_box_is_refused(tmp_path: Path) -> None:
    done = setup("abacus", "--dry-run", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "'abacus' is not one of jetpack6, jetpack7, raspberry-pi" in done.stderr


@pytest.mark.skipif(platform.machine() == "aarch64", reason="this may be such a box")
@pytest.mark.parametrize("box", BOXES)
def test_another_machine_is_left_alone(box: str, tmp_path: Path) -> None:
    done = setup(box, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{box} is 64-bit ARM, this is {platform.machine()}" in done.stderr
