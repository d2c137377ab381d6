"""The ONNX file: what goes in, what comes out, and what must not be in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="exporting needs the extra 'export'")
onnx = pytest.importorskip("onnx", reason="exporting needs the extra 'export'")
for library in ("onnxscript", "onnxruntime"):
    pytest.importorskip(library, reason="exporting needs the extra 'export'")

from reidkit.export.backbones.card import IMAGENET_256X128  # noqa: E402
from reidkit.export.onnx import CropEmbedder, run_onnx, write_onnx  # noqa: E402
from reidkit.runtime.errors import ExportFailure  # noqa: E402


def backbone() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 9, stride=8), torch.nn.BatchNorm2d(8), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )


@pytest.fixture(scope="module")
def embedder() -> CropEmbedder:
    return CropEmbedder(backbone(), IMAGENET_256X128)


@pytest.fixture(scope="module")
def path(embedder: CropEmbedder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "graph.onnx"
    write_onnx(embedder, path)
    return path


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (9, 3, 256, 128), np.uint8)


def test_the_normalisation_is_the_cards(crops: np.ndarray) -> None:
    seen = CropEmbedder(torch.nn.Flatten(), IMAGENET_256X128).embed(crops).reshape(crops.shape)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = (crops / 255 - mean.reshape(3, 1, 1)) / std.reshape(3, 1, 1)
    np.testing.assert_allclose(seen, expected, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 2, 9])
def test_any_batch_gives_what_torch_gives(batch: int, embedder: CropEmbedder, path: Path, crops: np.ndarray) -> None:
    np.testing.assert_allclose(run_onnx(path)(crops[:batch]), embedder.embed(crops[:batch]), atol=1e-5)


def described(tensors: Any) -> list[tuple[str, int, list[str | int]]]:
    kinds = [(tensor.name, tensor.type.tensor_type) for tensor in tensors]
    return [
        (name, kind.elem_type, [size.dim_param or size.dim_value for size in kind.shape.dim]) for name, kind in kinds
    ]


def test_it_takes_uint8_crops_by_name_and_gives_raw_embeddings(path: Path) -> None:
    graph = onnx.load(path).graph
    assert described(graph.input) == [("images", onnx.TensorProto.UINT8, ["batch", 3, 256, 128])]
    assert described(graph.output) == [("embeddings", onnx.TensorProto.FLOAT, ["batch", 8])]
    assert not {node.op_type for node in graph.node} & {"LpNormalization", "ReduceL2"}


def test_it_is_one_file_that_tells_nothing_of_this_machine(path: Path) -> None:
    assert [file.name for file in path.parent.iterdir()] == ["graph.onnx"]
    assert str(Path(__file__).parents[2]).encode() not in path.read_bytes()
    assert b"site-packages" not in path.read_bytes()


def test_the_same_weights_give_the_same_bytes(path: Path, tmp_path: Path) -> None:
    write_onnx(CropEmbedder(backbone(), IMAGENET_256X128), tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == path.read_bytes()


def test_the_exporter_keeps_its_progress_to_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_onnx(CropEmbedder(backbone(), IMAGENET_256X128), tmp_path / "graph.onnx")
    assert capfd.readouterr() == ("", "")


def test_what_torch_cannot_trace_is_an_error_in_one_line(tmp_path: Path) -> None:
    class Undecided(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3)) if x.sum() > 0 else x.amax((2, 3))

    with pytest.raises(ExportFailure, match="does not convert to ONNX") as caught:
        write_onnx(CropEmbedder(Undecided(), IMAGENET_256X128), tmp_path / "graph.onnx")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_backbone_that_takes_one_batch_size_only_is_refused(tmp_path: Path) -> None:
    class Counting(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3)) + torch.ones(3).expand(len(x), -1)

    with pytest.raises(
        ExportFailure, match=r"fixes the number of crops .*: let it take that number from x\.shape\[0\]"
    ):
        write_onnx(CropEmbedder(Counting(), IMAGENET_256X128), tmp_path / "graph.onnx")
    assert not list(tmp_path.iterdir())
