"""`reidkit backbones`: what is counted is counted right, and written as a page and as data."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="measuring networks needs the extra 'export'")
for library in ("onnx", "onnxscript"):
    pytest.importorskip(library, reason="measuring networks needs the extra 'export'")

from reidkit.export.backbones.card import IMAGENET_256X128, ModelCard  # noqa: E402
from reidkit.export.catalogue.measurements import Measurements  # noqa: E402
from reidkit.export.commands.backbones import backbones  # noqa: E402
from reidkit.export.survey import costs, markdown, survey  # noqa: E402
from reidkit.runtime.latencies import this_machine  # noqa: E402


class Small(torch.nn.Module):
    """A strided convolution, a mean, attention over two tokens and a linear layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 9, stride=8)
        self.norm = torch.nn.BatchNorm2d(8)
        self.fc = torch.nn.Linear(8, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.norm(self.conv(x)).unflatten(2, (1, -1)).mean((3, 4)).transpose(1, 2).expand(-1, 2, -1)[:, None]
        seen = torch.nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
        return self.fc(seen[:, 0, 0])


SMALL = ModelCard(
    name="small", family="small", build=partial(Small, 16), preprocessing=IMAGENET_256X128, source="", terms=""
)

MACS = 3 * 9 * 9 * 8 * (31 * 15) + 2 * (2 * 2 * 8) + 8 * 16
PARAMETERS = 3 * 9 * 9 * 8 + 8 + 2 * 8 + 8 * 16 + 16


def test_costs_are_counted_without_computing() -> None:
    assert costs(SMALL) == (16, PARAMETERS, MACS)
    counted = survey([SMALL], export=False).backbones["small"]
    assert (counted.macs, counted.onnx_bytes, counted.export_cpu_s) == (MACS, None, None)


def test_a_survey_measures_the_graph_and_names_the_machine(tmp_path: Path) -> None:
    named: list[str] = []
    found = survey([SMALL], progress=named.append)
    assert named == ["small"]
    measured = found.backbones["small"]
    assert measured.onnx_bytes is not None
    assert measured.export_cpu_s is not None
    assert (measured.embedding_dim, measured.parameters, measured.macs) == (16, PARAMETERS, MACS)
    assert (measured.height, measured.width) == (256, 128)
    assert measured.onnx_bytes > 4 * PARAMETERS
    assert measured.export_cpu_s > 0
    assert found.source.endswith(this_machine())
    found.write(tmp_path / "measured.json")
    assert Measurements.from_json((tmp_path / "measured.json").read_text()) == found
    page = markdown(found)
    assert f"on {this_machine()}." in page
    assert f"| `small` | 256x128 | 16 | {PARAMETERS / 1e6:.2f} M | {MACS / 1e9:.3f} G |" in page


def test_the_command_writes_page_and_data(tmp_path: Path) -> None:
    table, data = tmp_path / "backbones.md", tmp_path / "measured.json"
    names = ["osnet_x0_25"]
    result = CliRunner().invoke(backbones, [*names, "--table", str(table), "--measured", str(data), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(data.read_text()) == json.loads(result.stdout)
    assert "| `osnet_x0_25` | 256x128 | 512 | 0.20 M | 0.082 G |" in table.read_text()
    assert CliRunner().invoke(backbones, ["osnet_x0_26"]).exit_code == 1
