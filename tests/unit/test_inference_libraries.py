"""The vendors' libraries are imported so that they report to nobody, and missing ones are named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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


@pytest.mark.skipif(sys.platform != "linux", reason="signal stacks of OpenVINO's are Linux's")
def test_ctrl_c_after_openvinos_networks_were_closed_in_turn_is_pythons() -> None:
    pytest.importorskip("openvino")
    script = """
import signal
from reidkit.runtime.inference_libraries import import_openvino, shared_core
openvino = import_openvino("a test")
shape = openvino.opset1.parameter([1, 4])
network = openvino.Model([openvino.opset1.relu(shape)], [shape])
signal.signal(signal.SIGINT, lambda number, frame: print("stopped"))
opened = [shared_core(openvino).compile_model(network, "CPU") for _ in range(2)]
while opened:
    del opened[0]
signal.raise_signal(signal.SIGINT)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "stopped\n")


def test_onnxruntime_leaves_no_number_for_the_machine(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    script = 'from reidkit.runtime.inference_libraries import import_onnxruntime; import_onnxruntime("a test")'
    # Both silence it as well.
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    at_home = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), str(tmp_path))
    subprocess.run([sys.executable, "-c", script], env={**kept, **at_home}, check=True)
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("library", [import_onnxruntime, import_openvino], ids=lambda library: library.__name__)
def test_one_that_is_not_installed_is_named(library, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    name = library.__name__.removeprefix("import_")
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependency, match=rf"A test needs {name}, .*reidkit\[{name}\]"):
        library("A test")
    assert "openvino_telemetry" not in sys.modules or sys.modules["openvino_telemetry"] is not None
