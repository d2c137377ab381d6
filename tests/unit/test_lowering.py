"""Half precision in the graph: what computes in it, what stays in float32, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="exporting needs the extra 'export'")
onnx = pytest.importorskip("onnx", reason="exporting needs the extra 'export'")
for library in ("onnxscript", "onnxruntime"):
    pytest.importorskip(library, reason="exporting needs the extra 'export'")

from small_networks import SMALL  # noqa: E402

from reidkit.calibration.gates import EMBEDDING_LIMITS, compare_embeddings, embedding_gate  # noqa: E402
from reidkit.calibration.street import render_crops  # noqa: E402
from reidkit.export.backbones.card import IMAGENET_256X128  # noqa: E402
from reidkit.export.ensembles.network import Join  # noqa: E402
from reidkit.export.onnx import CropEmbedder, lower, run_onnx, write_onnx  # noqa: E402
from reidkit.runtime.errors import ExportFailure  # noqa: E402
from reidkit.targets import Precision  # noqa: E402

SIZE = replace(IMAGENET_256X128, height=64, width=32)
HALF, FULL = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.ascontiguousarray(render_crops(8, seed=0, height=64, width=32).transpose(0, 3, 1, 2))


def written(network: torch.nn.Module, folder: Path) -> Path:
    write_onnx(CropEmbedder(network, SIZE), folder / "graph.onnx")
    return folder / "graph.onnx"


def types(path: Path) -> dict[str, set[int]]:
    """The types in which the operators of each kind compute."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True)
    values = (*model.graph.value_info, *model.graph.output)
    elements = {value.name: value.type.tensor_type.elem_type for value in values}
    found: dict[str, set[int]] = {}
    for node in model.graph.node:
        found.setdefault(node.op_type, set()).add(elements[node.output[0]])
    return found


@pytest.mark.parametrize("family", SMALL)
def test_every_family_computes_the_same_in_half_precision(family: str, crops: np.ndarray, tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = written(SMALL[family](), tmp_path)
    expected = run_onnx(path)(crops)
    lower(path, Precision.FP16, crops=crops)
    found = run_onnx(path)(crops)
    assert found.dtype == np.float32
    assert embedding_gate(compare_embeddings(expected, found), EMBEDDING_LIMITS["fp16"]).status == "passed"
    kinds = types(path)
    assert all(kinds[product] == {HALF} for product in {"Conv", "Gemm", "MatMul"} & kinds.keys())
    sensitive = {"Pow", "Softmax", "LayerNormalization", "InstanceNormalization", "BatchNormalization", "ReduceMean"}
    assert all(kinds[operator] == {FULL} for operator in sensitive & kinds.keys())
    weights = {tensor.data_type for tensor in onnx.load(path).graph.initializer if len(tensor.dims) == 4}
    assert HALF in weights


def test_nothing_in_the_small_networks_is_without_a_product_or_a_sensitive_part(
    crops: np.ndarray, tmp_path: Path
) -> None:
    kinds: set[str] = set()
    for family, build in SMALL.items():
        folder = tmp_path / family
        folder.mkdir()
        kinds |= types(written(build(), folder)).keys()
    assert kinds >= {"Conv", "Gemm", "MatMul", "Pow", "Softmax", "LayerNormalization", "InstanceNormalization"}


def test_a_generalised_mean_is_float32_from_its_epsilon_on(crops: np.ndarray, tmp_path: Path) -> None:
    path = written(SMALL["resnet"](), tmp_path)
    lower(path, Precision.FP16, crops=crops)
    assert types(path)["Clip"] == {FULL}


def test_a_clip_at_six_is_half(crops: np.ndarray, tmp_path: Path) -> None:
    path = written(SMALL["mobilenetv2"](), tmp_path)
    lower(path, Precision.FP16, crops=crops)
    assert types(path)["Clip"] == {HALF}


class Joined(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 8, stride=8)
        self.join = Join([1.0, 0.5])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = self.conv(x).mean((2, 3))
        joined: torch.Tensor = self.join([rows, rows * 1e-5])
        return joined


def test_an_ensembles_join_is_float32(crops: np.ndarray, tmp_path: Path) -> None:
    path = written(Joined(), tmp_path)
    lower(path, Precision.FP16, crops=crops)
    nodes = [node for node in onnx.load(path).graph.node if node.name.startswith("backbone.join")]
    assert nodes
    lengths = np.linalg.norm(run_onnx(path)(crops).reshape(-1, 2, 8), axis=2)
    np.testing.assert_allclose(lengths, [[1, 0.5]] * len(crops), rtol=1e-6)


class Large(torch.nn.Module):
    def __init__(self, *, first: float, second: float) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 4, 8, stride=8)
        self.second = torch.nn.Conv2d(4, 4, 1)
        torch.nn.init.constant_(self.first.weight, first)
        torch.nn.init.constant_(self.second.weight, second)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows: torch.Tensor = self.second(self.first(x)).mean((2, 3))
        return rows


@pytest.mark.parametrize(
    ("network", "saying"),
    [
        (Large(first=6e4, second=1e-3), r"an activation of backbone\.first \(Conv\) is as large as [\de.+]+"),
        (Large(first=0, second=7e4), r"a weight of backbone\.second \(Conv\) is as large as 70000"),
    ],
    ids=["activation", "weight"],
)
def test_what_is_too_large_for_half_precision_names_its_module(
    network: torch.nn.Module, saying: str, crops: np.ndarray, tmp_path: Path
) -> None:
    path = written(network, tmp_path)
    before = path.read_bytes()
    with pytest.raises(ExportFailure, match=f"{saying}.*half precision ends at 65504"):
        lower(path, Precision.FP16, crops=crops)
    assert path.read_bytes() == before


@pytest.mark.parametrize("precision", [Precision.BF16, Precision.INT8])
def test_other_precisions_are_not_written(precision: Precision, crops: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ExportFailure, match=f"no graphs are written in {precision}"):
        lower(tmp_path / "none", precision, crops=crops)


def branching() -> onnx.ModelProto:
    branch = onnx.parser.parse_graph("branch () => (float[n, 3, 8, 8] y) { y = Identity (x) }")
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 18]> g (uint8[n, 3, 8, 8] images, bool which) '
        "=> (float[n, 3, 8, 8] embeddings) { x = Cast <to = 1> (images) embeddings = Relu (x) }"
    )
    choice = onnx.helper.make_node("If", ["which"], ["z"], then_branch=branch, else_branch=branch)
    model.graph.node.insert(1, choice)
    model.graph.node[2].input[0] = "z"
    return model


def unknown() -> onnx.ModelProto:
    return onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 18, "theirs" : 1]> g (uint8[n, 3, 8, 8] images) '
        "=> (float[n, 3, 8, 8] embeddings) { x = Cast <to = 1> (images) y = theirs.Own (x) embeddings = Relu (y) }"
    )


@pytest.mark.parametrize(
    ("model", "saying"),
    [(branching, "If .*holds a graph of its own"), (unknown, "the type of y, which Own gives, is not known")],
    ids=["branches", "unknown operator"],
)
def test_a_graph_that_cannot_be_typed_is_refused(
    model: Callable[[], onnx.ModelProto], saying: str, crops: np.ndarray, tmp_path: Path
) -> None:
    onnx.save_model(model(), tmp_path / "graph.onnx")
    with pytest.raises(ExportFailure, match=saying):
        lower(tmp_path / "graph.onnx", Precision.FP16, crops=crops)


def test_a_tensor_read_in_both_types_is_cast_once(crops: np.ndarray, tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = written(SMALL["osnet"](), tmp_path)
    lower(path, Precision.FP16, crops=crops)
    casts = [tuple(node.input) for node in onnx.load(path).graph.node if node.op_type == "Cast"]
    assert len(casts) == len(set(casts))
