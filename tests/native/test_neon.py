"""The NEON kernels, compiled for 64-bit ARM and run as a Cortex-A72 would run them."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"


@pytest.mark.skipif(platform.machine() == "aarch64", reason="the other tests run NEON itself here")
@pytest.mark.parametrize("part", ["crops", "assignment"])
def test_the_kernels_own_tests_pass_on_arm(part: str, tmp_path: Path) -> None:
    for tool, package in ((COMPILER, "g++-aarch64-linux-gnu"), (EMULATOR, "qemu-user")):
        if shutil.which(tool) is None:
            pytest.skip(f"NEON is NOT tested: {tool} is missing (Debian: apt install {package})")
    program = tmp_path / part
    source = ROOT / "tests" / "native" / f"{part}_test.cpp"
    options = ["-std=c++20", "-O2", "-static", "-pthread", "-ffp-contract=off", f"-I{ROOT / 'runtime' / 'native'}"]
    subprocess.run([COMPILER, *options, "-Wno-mismatched-new-delete", source, "-o", program], check=True)
    done = subprocess.run([EMULATOR, "-cpu", "cortex-a72", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "neon" in done.stdout
