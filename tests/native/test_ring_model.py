"""The ring under the model checker, in short: every scenario holds, and every fault planted in it is found.

The long form, with all schedules of few switches between threads, is ``make proof-ring``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NATIVE = HERE.parents[1] / "runtime" / "native"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ring_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = os.environ.get("CXX") or shutil.which("g++")
    if compiler is None:
        pytest.skip("the ring's model needs g++, which is not here")
    program = tmp_path_factory.mktemp("ring") / "ring_model"
    found = subprocess.run(
        [compiler, "-std=c++20", "-E", "-x", "c++", "-"],
        input="#include <relacy/base.hpp>",
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        pytest.skip("the ring's model needs the Relacy headers (Debian: relacy-dev), which are not here")
    options = ["-O1", "-w", "-fpermissive", "-fno-sized-deallocation", f"-I{NATIVE}"]
    subprocess.run([compiler, "-std=c++20", *options, HERE / "ring_model.cpp", "-o", program], check=True)
    return program


def run(*words: str | Path) -> list[str]:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines()


def test_the_ring_holds_in_every_scenario(ring_model: Path) -> None:
    lines = run(ring_model, "--random", "3000")
    assert sum("holds" in line for line in lines) >= 10


def test_no_planted_fault_survives(ring_model: Path) -> None:
    lines = run(ring_model, "--random", "6000", "--mutants")
    assert sum("found by" in line for line in lines) >= 16
    assert not any("SURVIVES" in line for line in lines)
