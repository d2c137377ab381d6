"""Importing the runtime on a box costs NumPy and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ["torch", "onnx", "onnxruntime", "openvino", "scipy", "cv2", "av", "yaml", "click"]


@pytest.mark.parametrize("statement", ["import reidkit.runtime", "from reidkit.runtime import BotSort; BotSort()"])
def test_importing_the_runtime_loads_no_heavy_library(statement: str) -> None:
    script = f"{statement}; import sys, json; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert json.loads(loaded) == []


def test_unknown_public_name_is_an_attribute_error() -> None:
    import reidkit.runtime

    with pytest.raises(AttributeError, match="BotSrt"):
        reidkit.runtime.BotSrt  # noqa: B018
