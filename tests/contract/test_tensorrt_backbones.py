"""TensorRT's parser and compiler take the graph of every family of networks, in float32 and in half precision.

Built with TensorRT-RTX, which needs no GPU; nothing is run, so numbers are another test's affair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="networks need the extra 'export'")
for library in ("onnx", "onnxscript"):
    pytest.importorskip(library, reason="exporting needs the extra 'export'")
pytest.importorskip("tensorrt_rtx", reason="needs the extra 'tensorrt_rtx'")

from small_networks import SMALL  # noqa: E402

from reidkit.export.backbones.card import IMAGENET_256X128  # noqa: E402
from reidkit.export.backbones.osnet import OSNet  # noqa: E402
from reidkit.export.onnx import CropEmbedder, write_onnx  # noqa: E402
from reidkit.runtime.artifact.manifest import Batch  # noqa: E402
from reidkit.targets import BuildJob, Precision, find_target  # noqa: E402

pytestmark = pytest.mark.slow

SMALL_SIZE = replace(IMAGENET_256X128, height=64, width=32)
NETWORKS = {name: (build, SMALL_SIZE) for name, build in SMALL.items()} | {
    "osnet_x0_25": (lambda: OSNet((16, 64, 96, 128)), IMAGENET_256X128)
}


class Halved(torch.nn.Module):
    """A network in half precision, float32 outside."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network.half()

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        embeddings: torch.Tensor = self.network(crops.half()).float()
        return embeddings


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
@pytest.mark.parametrize("name", NETWORKS)
def test_it_builds(name: str, precision: Precision, tmp_path: Path) -> None:
    build: Callable[[], torch.nn.Module]
    build, preprocessing = NETWORKS[name]
    torch.manual_seed(0)
    network = build()
    write_onnx(
        CropEmbedder(network if precision is Precision.FP32 else Halved(network), preprocessing),
        tmp_path / "graph.onnx",
    )
    built = find_target("tensorrt_rtx").build(
        BuildJob(
            onnx_path=tmp_path / "graph.onnx",
            folder=tmp_path,
            precision=precision,
            batch=Batch(dynamic=True, max=32, buckets=[1, 8, 32]),
        )
    )
    assert built.precision_built is precision
    assert (tmp_path / built.engine_file).stat().st_size > 0
