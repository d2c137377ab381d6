"""Options that could change nothing are refused: whoever gives one believes that it does."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest
from click.testing import CliRunner


@pytest.mark.parametrize(
    ("command", "needed", "idle"),
    [
        ("bench", "artifact", "--people 9"),
        ("calibrate", "--crops . --output a.cal", "--trust"),
        ("calibrate", "--crops . --output a.cal", "--detector nosuch.onnx"),
        ("calibrate", "--crops . --output a.cal", "--frames 9"),
        ("tune", "--input shop.mp4 --output a.yaml --reid none", "--trust"),
        ("ranges", "artifact --calibration crops --output ranges.json", "--observer mse"),
    ],
)
def test_an_option_that_can_change_nothing_is_a_usage_error(command: str, needed: str, idle: str) -> None:
    (entry,) = entry_points(group="reidkit.commands", name=command)
    result = CliRunner().invoke(entry.load(), [*needed.split(), *idle.split()])
    assert result.exit_code == 2, result.output
    assert f"{idle.split()[0]} can change nothing" in " ".join(result.output.split())
