"""The vendors' libraries are imported so that they report to nobody, and missing ones are named."""

from __future__ import annotations

import subprocess
import sys

import pytest

from reidkit.runtime.errors import MissingDependency
from reidkit.runtime.inference_libraries import import_onnxruntime, import_openvino


def test_openvino_comes_without_what_reports_and_starts_no_process() -> None:
    pytest.importorskip("openvino_telemetry", reason="this OpenVINO has nothing that reports")
    script = """
import os, sys
from reidkit.runtime.inference_libraries import import_openvino
forks = []
os.register_at_fork(before=lambda: forks.append(1))
openvino = import_openvino("a test")
print(forks, "openvino_telemetry" in sys.modules, callable(openvino.convert_model))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "False", "True"]


@pytest.mark.parametrize("library", [import_onnxruntime, import_openvino], ids=lambda library: library.__name__)
def test_one_that_is_not_installed_is_named(library, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    name = library.__name__.removeprefix("import_")
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependency, match=rf"A test needs {name}, .*reidkit\[{name}\]"):
        library("A test")
    assert "openvino_telemetry" not in sys.modules or sys.modules["openvino_telemetry"] is not None
